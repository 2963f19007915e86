# SPDX-License-Identifier: Apache-2.0
import hashlib
from pathlib import Path

import pytest

from longcall_demo.make_csv import main


def made(path: Path, *options: str) -> bytes:
    assert main([*options, str(path)]) == 0
    return path.read_bytes()


def test_the_same_seed_makes_the_same_bytes_everywhere(tmp_path: Path) -> None:
    content = made(tmp_path / "new" / "a.csv", "--rows", "1000", "--seed", "7")
    digest = hashlib.sha256(content).hexdigest()
    assert digest == "648f165c42195dd0ab997c9d31425771f9defb9c247d1cd029ba5c10a7bcc7c9"
    assert made(tmp_path / "b.csv", "--rows", "1000", "--seed", "8") != content


def test_it_makes_the_number_of_records_asked_for_in_order(tmp_path: Path) -> None:
    for rows, days in ((1, 3653), (1000, 7), (500, 500)):
        lines = made(tmp_path / "a.csv", "--rows", str(rows), "--days", str(days)).splitlines()
        assert len(lines) == rows + 1
        assert lines[1:] == sorted(lines[1:], key=lambda line: line[:19])


def test_shuffled_days_are_not_in_order_and_not_lost(tmp_path: Path) -> None:
    content = made(tmp_path / "a.csv", "--rows", "300", "--days", "30", "--shuffle")
    days = [line[:10] for line in content.splitlines()[1:]]
    assert days != sorted(days)
    assert len(set(days)) == 30


@pytest.mark.parametrize("options", [["--rows", "0"], ["--rows", "x"], ["--start", "2015-13-01"]])
def test_bad_options_are_refused(tmp_path: Path, options: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*options, str(tmp_path / "a.csv")])
    assert stopped.value.code == 2
