# SPDX-License-Identifier: Apache-2.0
import re
import subprocess

from environment import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)


def test_every_verb_is_in_the_help_and_is_no_file() -> None:
    told = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    assert re.findall(r"^  make ([a-z-]+)", told, re.MULTILINE) == TARGETS
    (phony,) = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert sorted(phony.split()) == sorted(TARGETS)


def test_every_tool_that_a_verb_calls_is_there() -> None:
    tools = set(re.findall(r"tools/\w+\.\w+", MAKEFILE))

    assert tools
    assert [tool for tool in tools if not (ROOT / tool).is_file()] == []
