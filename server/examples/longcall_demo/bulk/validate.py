# SPDX-License-Identifier: Apache-2.0
"""`validate`: a CSV against rules, JSON against a schema. Problems are listed by their lines."""

from collections.abc import Callable, Iterator
from pathlib import Path

from longcall_demo.bulk.documents import Problem, compile_schema, documents, failed, problems_of
from longcall_demo.bulk.params import Rule, ValidateOutput, ValidateParams
from longcall_demo.process.run import too_large
from longcall_demo.sources.cells import is_missing
from longcall_demo.sources.columns import MAX_SHOWN, Kind, is_of
from longcall_demo.sources.reader import Source

MAX_PROBLEMS = 20
"""That are listed of one file; then it is read no further."""
MAX_UNIQUE = 1_000_000
"""Values of a file that are held to find one that comes again."""

Tick = Callable[[], None]


def validate(path: Path, params: ValidateParams, tick: Tick) -> ValidateOutput:
    """Raises HandlerError INVALID with the first problems, and BAD_SOURCE; `tick` may raise."""
    problems: list[Problem] = []
    records = 0
    check = _by_schema(path, params) if params.rules is None else _by_rules(path, params.rules)
    for so_far, found in check:
        tick()
        records = so_far
        problems += found
        if len(problems) > MAX_PROBLEMS:
            break
    if problems:
        raise failed(problems[:MAX_PROBLEMS], more=len(problems) > MAX_PROBLEMS)
    return ValidateOutput(records=records)


Checked = Iterator[tuple[int, list[Problem]]]
"""After each step: the records so far, and the problems of the step."""


def _by_schema(path: Path, params: ValidateParams) -> Checked:
    assert params.json_schema is not None
    validator = compile_schema(params.json_schema)
    for records, (line, document) in enumerate(documents(path), start=1):
        found = problems_of(validator, document, MAX_PROBLEMS + 1)
        yield records, [{"line": line, "problem": problem} for problem in found]


def _by_rules(path: Path, rules: list[Rule]) -> Checked:
    with Source(path) as source:
        absent = [rule.column for rule in rules if rule.column not in source.header]
        if absent:
            yield 0, [{"line": 1, "problem": f"there is no column {name!r}"} for name in absent]
            return
        checks = [_Check(rule, source.header.index(rule.column)) for rule in rules]
        records = 0
        for batch in source.batches():
            records += len(batch.records)
            found = sorted(
                (index, problem) for check in checks for index, problem in check.of(batch.records)
            )
            yield (
                records,
                [
                    {"line": source.line_of(batch, index), "problem": problem}
                    for index, problem in found[: MAX_PROBLEMS + 1]
                ],
            )
        source.raise_if_changed()


class _Check:
    """A rule, and what it has seen."""

    def __init__(self, rule: Rule, index: int) -> None:
        self._rule, self._index = rule, index
        self._seen: set[str] = set()

    def of(self, records: list[list[str]]) -> Iterator[tuple[int, str]]:
        """The problems of a batch: which record, and what."""
        for number, record in enumerate(records):
            problem = self._problem(record[self._index])
            if problem is not None:
                yield number, f"column {self._rule.column!r}: {problem}"

    def _problem(self, raw: str) -> str | None:
        rule, text = self._rule, raw.strip()
        if is_missing(raw):
            return "a value is required" if rule.required else None
        shown = repr(text[:MAX_SHOWN])
        if not is_of(rule.type, text):
            return f"{shown} is not a {rule.type}"
        if rule.one_of is not None and text not in rule.one_of:
            return f"{shown} is none of the values allowed"
        if rule.max_length is not None and len(text) > rule.max_length:
            return f"{shown} has {len(text)} characters, {rule.max_length} are allowed"
        return self._out_of_range(text) or self._repeated(text)

    def _out_of_range(self, text: str) -> str | None:
        rule = self._rule
        if rule.type is Kind.NUMBER and rule.min is not None and float(text) < rule.min:
            return f"{text} is below {rule.min:g}"
        if rule.type is Kind.NUMBER and rule.max is not None and float(text) > rule.max:
            return f"{text} is above {rule.max:g}"
        return None

    def _repeated(self, text: str) -> str | None:
        if not self._rule.unique:
            return None
        if text in self._seen:
            return f"{text[:MAX_SHOWN]!r} comes again"
        self._seen.add(text)
        if len(self._seen) > MAX_UNIQUE:
            raise too_large(f"values of column {self._rule.column!r}", MAX_UNIQUE)
        return None
