# SPDX-License-Identifier: Apache-2.0
"""`transform`: renames, filters and derives, record by record.

A first pass finds the type of each column: number or date if all of its values are, else text. Then
the steps are compiled in their order, so that whatever does not fit together is said before the
first record goes out; a second pass applies them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from longcall_demo.process.compiler import Evaluate, EvaluationError, compile_expression
from longcall_demo.process.expressions import ExpressionError
from longcall_demo.process.functions import Type, Value, json_number, number_text
from longcall_demo.process.params import DeriveStep, FilterStep, RenameStep, TransformParams
from longcall_demo.process.results import Cell, TransformResult
from longcall_demo.process.run import Run
from longcall_demo.sources.cells import is_missing, parse_day, parse_numbers
from longcall_demo.sources.columns import Kind, KindCount
from longcall_demo.sources.reader import Batch
from longcall_server import HandlerError

TYPES = {
    Kind.NUMBER: Type.NUMBER,
    Kind.DATE: Type.DATE,
    Kind.TEXT: Type.TEXT,
    Kind.EMPTY: Type.TEXT,
}


@dataclass(frozen=True)
class _Action:
    """A step as it is applied: keep a record for which it holds, or append its value."""

    step: int
    evaluate: Evaluate
    keeps: bool


class Program:
    """The compiled steps. A record is the source's values, then one for each derivation.

    Raises HandlerError UNKNOWN_COLUMN, DUPLICATE_COLUMN or BAD_EXPRESSION; `details` has the step
    (from 0, as in the payload's pointer) and, for an expression, the place.
    """

    def __init__(self, header: Sequence[str], types: Sequence[Type]) -> None:
        self.columns = {
            name: (index, kind)
            for index, (name, kind) in enumerate(zip(header, types, strict=True))
        }
        """Of the output, in its order: name -> place in a record, type."""
        self.actions: list[_Action] = []
        self._width = len(header)

    def add(self, number: int, step: RenameStep | FilterStep | DeriveStep) -> None:
        """The next step."""
        match step:
            case RenameStep():
                self._rename(number, step.columns)
            case FilterStep():
                evaluate = self._compiled(number, step.where, Type.BOOLEAN)
                self.actions.append(_Action(number, evaluate, keeps=True))
            case DeriveStep():
                self._derive(number, step)

    def run(self, record: list[Value]) -> list[Value] | None:
        """The record with what was derived; None if it was filtered out."""
        for action in self.actions:
            try:
                value = action.evaluate(record)
            except EvaluationError as error:
                raise StepFailed(action.step, error) from error
            if not action.keeps:
                record.append(value)
            elif not value:
                return None
        return record

    def _rename(self, number: int, names: dict[str, str]) -> None:
        for old in names:
            if old not in self.columns:
                raise HandlerError(
                    "UNKNOWN_COLUMN",
                    f"step {number}: there is no column {old!r}",
                    details={"step": number, "column": old, "columns": list(self.columns)},
                )
        renamed: dict[str, tuple[int, Type]] = {}
        for name, place in self.columns.items():
            new = names.get(name, name)
            if new in renamed:
                raise HandlerError(
                    "DUPLICATE_COLUMN",
                    f"step {number}: two columns would be {new!r}",
                    details={"step": number, "column": new},
                )
            renamed[new] = place
        self.columns = renamed

    def _derive(self, number: int, step: DeriveStep) -> None:
        kind, evaluate = self._expression(number, step.expression)
        self.actions.append(_Action(number, evaluate, keeps=False))
        self.columns[step.column] = (self._width, kind)
        self._width += 1

    def _compiled(self, number: int, text: str, wanted: Type) -> Evaluate:
        kind, evaluate = self._expression(number, text)
        if kind is not wanted:
            raise _bad_expression(number, ExpressionError(1, f"a {wanted} is needed, not a {kind}"))
        return evaluate

    def _expression(self, number: int, text: str) -> tuple[Type, Evaluate]:
        try:
            compiled = compile_expression(text, self.columns)
        except ExpressionError as error:
            raise _bad_expression(number, error) from error
        return compiled.type, compiled.evaluate


class StepFailed(Exception):
    """A step has no value for a record."""

    def __init__(self, step: int, error: EvaluationError) -> None:
        super().__init__(step, error)
        self.step = step
        self.error = error


def _bad_expression(step: int, error: ExpressionError) -> HandlerError:
    return HandlerError(
        "BAD_EXPRESSION",
        f"step {step}, {error}",
        details={"step": step, "place": error.place},
    )


def transform(run: Run, params: TransformParams) -> TransformResult:
    """The rows are objects of the output's columns. Raises HandlerError EXPRESSION_FAILED, whose
    details name the step, the place in its expression, and the line of the source."""
    header = run.source.header
    counts = [KindCount() for _ in header]
    records = 0
    for batch in run.batches(0, 30, "finding the columns' types"):
        records += len(batch.records)
        for count, column in zip(counts, zip(*batch.records, strict=True), strict=True):
            count.add(column)
    types = [TYPES[count.all] for count in counts]
    program = Program(header, types)
    for number, step in enumerate(params.steps):
        program.add(number, step)
    with run.output("transformed", params.output, list(program.columns)) as table:
        for batch in run.batches(30, 100, "applying the steps"):
            for cells, texts in _transformed(run, program, types, batch):
                table.add(cells, texts)
    return TransformResult(
        source=run.source.name,
        source_sha256=run.sha256,
        records=records,
        kept=table.records,
        columns={name: kind.value for name, (_, kind) in program.columns.items()},
        file=table.file,
    )


def _transformed(
    run: Run, program: Program, types: Sequence[Type], batch: Batch
) -> Iterator[tuple[list[Cell], list[str]]]:
    by_column = zip(*batch.records, strict=True)
    columns = [_READ[kind](column) for kind, column in zip(types, by_column, strict=True)]
    places = [index for index, _ in program.columns.values()]
    width = len(types)
    records = zip(zip(*columns, strict=True), batch.records, strict=True)
    for number, (values, texts) in enumerate(records):
        try:
            record = program.run(list(values))
        except StepFailed as failed:
            raise _failed(run, batch, number, failed) from failed
        if record is None:
            continue
        cells: list[Cell] = []
        line: list[str] = []
        for index in places:
            value = record[index]
            # What was not derived goes out as it was written.
            text = texts[index].strip() if index < width and value is not None else _text(value)
            line.append(text)
            cells.append(text if isinstance(value, date) else _cell(value))
        yield cells, line


def _failed(run: Run, batch: Batch, number: int, failed: StepFailed) -> HandlerError:
    line = run.source.line_of(batch, number)
    return HandlerError(
        "EXPRESSION_FAILED",
        f"step {failed.step}, {failed.error} (line {line} of {run.source.name!r})",
        details={"step": failed.step, "place": failed.error.place, "line": line},
    )


def _numbers(texts: Sequence[str]) -> list[Value]:
    return [None if number is None else float(number) for number in parse_numbers(texts)]


def _days(texts: Sequence[str]) -> list[Value]:
    return [parse_day(text) for text in texts]


def _texts(texts: Sequence[str]) -> list[Value]:
    return [None if is_missing(text) else text.strip() for text in texts]


_READ: dict[Type, Callable[[Sequence[str]], list[Value]]] = {
    Type.NUMBER: _numbers,
    Type.DATE: _days,
    Type.TEXT: _texts,
}


def _cell(value: Value) -> Cell:
    if isinstance(value, date):
        return value.isoformat()
    return json_number(value) if isinstance(value, float) else value


def _text(value: Value) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return number_text(value)
        case date():
            return value.isoformat()
        case _:
            return value
