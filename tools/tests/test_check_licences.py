# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from check_licences import IDENTIFIER, problems


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.py", f"# {IDENTIFIER}\nx = 1\n"),
        ("a.go", f"// {IDENTIFIER}\npackage a\n"),
        ("a.sh", f"#!/bin/sh\n# {IDENTIFIER}\n"),
        ("run", f"#!/usr/bin/env bash\n# {IDENTIFIER}\n"),
        ("empty.py", ""),
        ("data.json", "{}"),
    ],
)
def test_a_file_that_names_its_licence_or_is_no_source_passes(
    checkout: Path, name: str, text: str
) -> None:
    (checkout / name).write_text(text)

    assert problems(checkout, [Path(name)]) == []


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.py", "x = 1\n"),
        ("a.ts", f"// a file\n// {IDENTIFIER}\n"),
        ("a.go", "// SPDX-License-Identifier: MIT\npackage a\n"),
        ("run", "#!/bin/sh\necho\n"),
        ("b.py", f"x = 1  # {IDENTIFIER}\n"),
    ],
)
def test_a_source_without_the_line_at_its_head_is_named(
    checkout: Path, name: str, text: str
) -> None:
    (checkout / name).write_text(text)

    assert [problem.split(":")[0] for problem in problems(checkout, [Path(name)])] == [name]


def test_a_release_unit_carries_the_licence_word_for_word(checkout: Path) -> None:
    copy = checkout / "server" / "LICENSE"
    copy.parent.mkdir()
    assert problems(checkout, []) == ["server/LICENSE: must be a copy of LICENSE"]

    copy.write_text("another licence\n")
    assert problems(checkout, []) == ["server/LICENSE: must be a copy of LICENSE"]

    copy.write_text("the licence\n")
    assert problems(checkout, []) == []
