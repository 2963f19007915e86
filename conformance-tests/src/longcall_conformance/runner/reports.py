# SPDX-License-Identifier: Apache-2.0
"""What people and their tools read of a run: a matrix in plain text, and JUnit XML."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from xml.etree import ElementTree

from .results import Results
from .verdict import FAILED, GREEN, JUDGED, Result, Verdict

_CONTROL = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def matrix(run: Results) -> str:
    """A table: groups of cases against subjects, what is green of what was judged.

    `7/8` one is red; `8/8*` some only by an alternative, a warning or a known failure; `-` nothing
    of the group applies to it; empty: it was not asked.
    """
    subjects = sorted({result.subject for result in run.results})
    groups: dict[str, dict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result in run.results:
        groups[result.case.rsplit("/", 1)[0]][result.subject].append(result)
    width = max((len(group) for group in groups), default=0)
    columns = [max(8, len(subject)) for subject in subjects]
    heads = zip(subjects, columns, strict=True)
    lines = [" " * width + "".join(f"  {name:>{column}}" for name, column in heads)]
    for group, row in sorted(groups.items()):
        cells = zip((_cell(row[subject]) for subject in subjects), columns, strict=True)
        lines.append(f"{group:<{width}}" + "".join(f"  {cell:>{column}}" for cell, column in cells))
    return "\n".join(line.rstrip() for line in lines)


def _cell(results: list[Result]) -> str:
    if not results:
        return ""
    judged = [result for result in results if result.verdict in JUDGED]
    if not judged:
        return "-"
    green = sum(result.verdict in GREEN for result in judged)
    plain = all(result.verdict is Verdict.PASS for result in judged)
    return f"{green}/{len(judged)}{'' if plain or green < len(judged) else '*'}"


def junit(run: Results) -> str:
    """JUnit XML: a suite a group, a test a play; warnings and known failures are skipped ones."""
    root = ElementTree.Element("testsuites", name="longcall conformance", time=str(run.seconds))
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in run.results:
        groups[result.case.rsplit("/", 1)[0]].append(result)
    for group, results in sorted(groups.items()):
        kinds = Counter(_kind(result.verdict) for result in results)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=group,
            tests=str(len(results)),
            failures=str(kinds["failure"]),
            errors=str(kinds["error"]),
            skipped=str(kinds["skipped"]),
            time=f"{sum(result.seconds for result in results):.3f}",
        )
        for result in results:
            _testcase(suite, result)
    if run.stale:
        suite = ElementTree.SubElement(
            root, "testsuite", name="known-failing", tests=str(len(run.stale)),
            failures=str(len(run.stale)), errors="0", skipped="0", time="0",
        )  # fmt: skip
        for text in run.stale:
            case = ElementTree.SubElement(suite, "testcase", name=_clean(text), classname="stale")
            ElementTree.SubElement(case, "failure", message=_clean(text), type="stale")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _kind(verdict: Verdict) -> str | None:
    if verdict in FAILED:
        return "failure"
    if verdict is Verdict.HARNESS_ERROR:
        return "error"
    return None if verdict in (Verdict.PASS, Verdict.ALTERNATIVE) else "skipped"


def _testcase(suite: ElementTree.Element, result: Result) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        name=_clean(result.label),
        classname=f"{result.case}.{result.subject}",
        time=f"{result.seconds:.3f}",
    )
    kind = _kind(result.verdict)
    if kind is None:
        return
    first = result.reason or (result.findings[0] if result.findings else "")
    message = _clean(f"{result.verdict}: {first}".splitlines()[0])
    told = ElementTree.SubElement(case, kind, message=message, type=str(result.verdict))
    told.text = _clean("\n".join(result.findings))


def _clean(text: str) -> str:
    """XML has no place for most control characters, escaped or not."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
