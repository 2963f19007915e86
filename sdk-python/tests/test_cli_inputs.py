# SPDX-License-Identifier: Apache-2.0
"""What the words of a command line mean, and what is said of those that mean nothing."""

from __future__ import annotations

import io
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from longcall.cli import inputs


def test_payload_is_json_or_a_file_or_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "payload.json"
    path.write_text('{"ä": [1, null]}', encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO('"piped"'))
    assert inputs.payload('[1, "two"]') == [1, "two"]
    assert inputs.payload(f"@{path}") == {"ä": [1, None]}
    assert inputs.payload("-") == "piped"
    with pytest.raises(ArgumentTypeError, match="standard input is empty, or was read before"):
        inputs.payload("-")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON at line 1, column 2"),
        ('{"a": 1,\n "b" 2}', "not JSON at line 2, column 6: Expecting ':' delimiter"),
        ("{a: 1}", """keep it whole for the shell: '{"key": "value"}'"""),
        ("monthly", "a string is '\"monthly\"'"),
        ("", "not JSON at line 1, column 1: Expecting value"),
        ('{"a": 1, "a": 2}', 'the key "a" stands twice'),
        ("[NaN]", "NaN is no JSON number"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_what_is_not_json_is_told_with_its_place_and_a_way_out(text: str, message: str) -> None:
    with pytest.raises(ArgumentTypeError) as caught:
        inputs.payload(text)
    assert message in str(caught.value)


def test_name_of_a_file_without_its_mark_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("payload.json").write_text("{}")
    with pytest.raises(ArgumentTypeError, match=r"to read the file: @payload\.json"):
        inputs.payload("payload.json")


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_bytes(b'"\xff"')
    with pytest.raises(ArgumentTypeError, match=r"broken\.json: not UTF-8 at byte 1"):
        inputs.payload(f"@{broken}")
    with pytest.raises(ArgumentTypeError, match="missing: No such file or directory"):
        inputs.payload(f"@{tmp_path / 'missing'}")
    broken.write_text("[1,\n2")
    with pytest.raises(ArgumentTypeError, match=r"broken\.json: not JSON at line 2"):
        inputs.payload(f"@{broken}")


def test_lines_are_a_payload_each_and_a_wrong_one_is_found(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text('{"a":1}\n\n"x\\u2028y"\r\n[]', encoding="utf-8")
    assert inputs.lines(str(path)) == inputs.lines(f"@{path}") == [{"a": 1}, "x\u2028y", []]
    path.write_text('1\n2\n{"a"}\n')
    with pytest.raises(ArgumentTypeError, match="not JSON at line 3, column 5"):
        inputs.lines(str(path))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("5m", 300), ("2h", 7200), ("7d", 604800), ("1.5", 1.5)],
)
def test_durations(text: str, seconds: float) -> None:
    assert inputs.duration(text) == seconds


@pytest.mark.parametrize(
    ("read", "text"),
    [
        *(
            (inputs.duration, text)
            for text in ("0", "-1", "1w", "", "1e3", "inf", "1 s", "9" * 400)
        ),
        *((inputs.count, text) for text in ("0", "-1", "1.5", "x")),
        *((inputs.priority, text) for text in ("10", "-1", "x", "")),
        *((inputs.pair, text) for text in ("key", "=value")),
        (inputs.folder, "no-such-folder"),
    ],
)
def test_what_is_none_is_refused(read: object, text: str) -> None:
    assert callable(read)
    with pytest.raises(ArgumentTypeError):
        read(text)


def test_value_of_a_pair_may_hold_the_sign() -> None:
    assert inputs.pair("key=a=b") == ("key", "a=b")
