# SPDX-License-Identifier: Apache-2.0
"""`clean`: one type a column, no duplicates, missing values by a rule; and a report of it all.

Passes: the columns' types; the means and medians, if one is asked for; the records themselves.
Each of the last two reads the source through `_Cleaner`, so both see the same records.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from longcall_demo.figures import NumberTotal, median
from longcall_demo.process.functions import json_number, number_text
from longcall_demo.process.params import CleanParams, Missing
from longcall_demo.process.results import Cell, CleanResult, ColumnChanges
from longcall_demo.process.run import Run, too_large
from longcall_demo.sources.cells import EXACT, is_missing, iso_day
from longcall_demo.sources.columns import MAX_SHOWN, Kind, KindCount, is_of
from longcall_demo.sources.reader import Batch, bad_source
from longcall_server import HandlerError

MAX_RECORDS = 3_000_000
"""Of which duplicates can be told: their digests take some 300 MB."""
MAX_MEDIAN_VALUES = 2_000_000
MAX_EXAMPLES = 5
MAX_KNOWN = 65_536
_FILLS = (Missing.MEAN, Missing.MEDIAN)


@dataclass
class _Column:
    """A column: what it is to hold, and what was done to it."""

    name: str
    kind: Kind
    rule: Missing
    compared: bool
    """Whether duplicates are told by it."""
    counts: Counter[str] = field(default_factory=Counter)
    """By the names of ColumnChanges."""
    examples: list[str] = field(default_factory=list)
    fill: float | None = None
    known: dict[str, "_Read"] = field(default_factory=dict)
    """What was made of the texts of cells that came lately: many come again."""

    def read(self, raw: str) -> "_Read":
        """What the cell holds; counted."""
        read = self.known.get(raw)
        if read is None:
            if len(self.known) >= MAX_KNOWN:
                self.known.clear()
            read = self.known[raw] = self._read(raw)
        counts = self.counts
        counts["trimmed"] += read.trimmed
        counts["rewritten"] += read.rewritten
        counts["missing"] += read.text is None
        if read.invalid:
            counts["invalid"] += 1
            shown = raw.strip()[:MAX_SHOWN]
            if len(self.examples) < MAX_EXAMPLES and shown not in self.examples:
                self.examples.append(shown)
        return read

    def _read(self, raw: str) -> "_Read":
        if is_missing(raw):
            return _Read(None, "-")
        text = raw.strip()
        trimmed = text != raw
        if not is_of(self.kind, text):
            return _Read(None, "-", trimmed=trimmed, invalid=True)
        if self.kind is Kind.DATE:
            written = iso_day(text)
            return _Read(written, _key(written), trimmed=trimmed, rewritten=written != text)
        # Numbers are compared by what they are, not by how they are written.
        value = str(EXACT.normalize(Decimal(text))) if self.kind is Kind.NUMBER else text
        return _Read(text, _key(value), trimmed=trimmed)

    def cell(self, text: str | None) -> Cell:
        """The value of a chunk."""
        return json_number(Decimal(text)) if text and self.kind is Kind.NUMBER else text

    def changes(self) -> ColumnChanges:
        return ColumnChanges(
            column=self.name,
            type=self.kind,
            trimmed=self.counts["trimmed"],
            rewritten=self.counts["rewritten"],
            invalid=self.counts["invalid"],
            invalid_examples=self.examples,
            missing=self.counts["missing"],
            filled=self.counts["filled"],
            filled_with=self.fill if self.counts["filled"] else None,
        )


def _key(text: str) -> str:
    return f"{len(text)}:{text}"


@dataclass(frozen=True, slots=True)
class _Read:
    """What a cell holds."""

    text: str | None
    """As it goes out; None if there is no value."""
    key: str
    """Alike for values that are alike."""
    trimmed: bool = False
    rewritten: bool = False
    invalid: bool = False


class _Cleaner:
    """Takes records through types and duplicates, and counts what it does to them."""

    def __init__(self, run: Run, params: CleanParams, columns: list[_Column]) -> None:
        self.columns = columns
        self.records = 0
        self.counts: Counter[str] = Counter()
        """Records dropped, by the names of CleanResult."""
        self._run, self._params = run, params
        self._seen: set[bytes] = set()

    def kept(self, batch: Batch) -> Iterator[list[str | None]]:
        """The records of a batch that are left, before anything is filled."""
        for index, record in enumerate(batch.records):
            self.records += 1
            cells = [column.read(raw) for column, raw in zip(self.columns, record, strict=True)]
            if self._is_invalid(batch, index, cells):
                self.counts["dropped_invalid"] += 1
            elif self._params.duplicates == "drop" and self._is_repeated(cells):
                self.counts["dropped_duplicates"] += 1
            else:
                yield [cell.text for cell in cells]

    def _is_invalid(self, batch: Batch, index: int, cells: list[_Read]) -> bool:
        """Whether a record is dropped for a cell that is not of its column's type."""
        if self._params.invalid == "missing" or not any(cell.invalid for cell in cells):
            return False
        if self._params.invalid == "drop":
            return True
        place = next(place for place, cell in enumerate(cells) if cell.invalid)
        column, text = self.columns[place], batch.records[index][place][:MAX_SHOWN]
        reason = f"{text!r} is not a {column.kind}"
        line = self._run.source.line_of(batch, index)
        raise bad_source(reason, line=line, column=column.name)

    def _is_repeated(self, cells: list[_Read]) -> bool:
        pairs = zip(self.columns, cells, strict=True)
        key = "".join(cell.key for column, cell in pairs if column.compared)
        digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
        if digest in self._seen:
            return True
        self._seen.add(digest)
        if len(self._seen) > MAX_RECORDS:
            raise too_large("different records", MAX_RECORDS)
        return False


def clean(run: Run, params: CleanParams) -> CleanResult:
    """The rows are objects of the source's columns. Raises HandlerError BAD_RULE for a mean or
    median of a column that is named and does not hold numbers."""
    kinds = _kinds(run, params)
    columns = [_column(run, params, name, kind) for name, kind in kinds.items()]
    if any(column.rule in _FILLS for column in columns):
        fills = _fills(run, params, columns)
        columns = [_column(run, params, name, kind) for name, kind in kinds.items()]
        for column, fill in zip(columns, fills, strict=True):
            column.fill = fill
    cleaner = _Cleaner(run, params, columns)
    filler = _Filler(columns)
    with run.output("cleaned", params.output, run.source.header) as table:
        for batch in run.batches(60, 100, "cleaning"):
            for record in cleaner.kept(batch):
                filled = filler.fill(record)
                if filled is None:
                    cleaner.counts["dropped_missing"] += 1
                else:
                    table.add(*filled)
    return CleanResult(
        source=run.source.name,
        source_sha256=run.sha256,
        records=cleaner.records,
        kept=table.records,
        dropped_invalid=cleaner.counts["dropped_invalid"],
        dropped_duplicates=cleaner.counts["dropped_duplicates"],
        dropped_missing=cleaner.counts["dropped_missing"],
        columns=[column.changes() for column in columns],
        file=table.file,
    )


def _kinds(run: Run, params: CleanParams) -> dict[str, Kind]:
    """column -> type: what was asked for, or what most of its values are."""
    asked: dict[str, Kind] = {}
    for name, kind in params.types.items():
        run.column(name)
        asked[name] = kind
    for name in (*params.missing_by_column, *(params.duplicates_by or ())):
        run.column(name)
    counts = [KindCount() for _ in run.source.header]
    for batch in run.batches(0, 30, "finding the columns' types"):
        for count, texts in zip(counts, zip(*batch.records, strict=True), strict=True):
            count.add(texts)
    found = {name: count.most for name, count in zip(run.source.header, counts, strict=True)}
    return found | asked


def _column(run: Run, params: CleanParams, name: str, kind: Kind) -> _Column:
    rule = params.missing_by_column.get(name)
    numbers = kind in (Kind.NUMBER, Kind.EMPTY)
    if rule in _FILLS and not numbers:
        raise HandlerError(
            "BAD_RULE",
            f"column {name!r} holds {kind} values, which have no {rule}",
            details={"column": name, "type": kind.value},
        )
    if rule is None:
        rule = params.missing if numbers or params.missing not in _FILLS else Missing.KEEP
    compared = params.duplicates_by is None or name in params.duplicates_by
    return _Column(name, kind, rule, compared)


def _fills(run: Run, params: CleanParams, columns: list[_Column]) -> list[float | None]:
    """What each column's missing cells are filled with, where its rule is a mean or a median."""
    totals = [NumberTotal() for _ in columns]
    values: list[list[Decimal]] = [[] for _ in columns]
    cleaner = _Cleaner(run, params, columns)
    for batch in run.batches(30, 60, "finding means and medians"):
        records = list(cleaner.kept(batch))
        for place, column in enumerate(columns):
            if column.rule in _FILLS:
                found = [Decimal(text) for record in records if (text := record[place])]
                if column.rule is Missing.MEAN:
                    totals[place].add(found)
                else:
                    values[place] += found
        if sum(map(len, values)) > MAX_MEDIAN_VALUES:
            raise too_large("numbers for medians", MAX_MEDIAN_VALUES)
    return [
        total.figures().mean if total.count else median(found)
        for total, found in zip(totals, values, strict=True)
    ]


class _Filler:
    """Treats what is missing by each column's rule."""

    def __init__(self, columns: Sequence[_Column]) -> None:
        self._columns = columns
        self._before: list[str | None] = [None] * len(columns)

    def fill(self, record: list[str | None]) -> tuple[list[Cell], list[str]] | None:
        """The values of a record and their texts; None for one that is dropped."""
        before, self._before = (
            self._before,
            [text or last for text, last in zip(record, self._before, strict=True)],
        )
        if any(
            text is None and column.rule is Missing.DROP
            for column, text in zip(self._columns, record, strict=True)
        ):
            return None
        cells: list[Cell] = []
        texts: list[str] = []
        for column, text, last in zip(self._columns, record, before, strict=True):
            value = text
            if value is None and column.rule is Missing.PREVIOUS:
                value = last
            elif value is None and column.fill is not None:
                value = number_text(column.fill)
            column.counts["filled"] += text is None and value is not None
            cells.append(column.cell(value))
            texts.append(value or "")
        return cells, texts
