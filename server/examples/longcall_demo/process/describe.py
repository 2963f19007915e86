# SPDX-License-Identifier: Apache-2.0
"""`describe`: what each column holds.

A pass counts the different texts of as many columns as fit in memory together; another attempt
begins with the first column that is not out yet.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from decimal import Context, Decimal, Inexact, localcontext
from fractions import Fraction
from itertools import accumulate

from longcall_demo.figures import double
from longcall_demo.process.params import DescribeParams
from longcall_demo.process.results import (
    ColumnDescription,
    DateDescription,
    DescribeResult,
    NumberDescription,
    ValueCount,
)
from longcall_demo.process.run import Run, too_large
from longcall_demo.sources.cells import is_missing, parse_day
from longcall_demo.sources.columns import MAX_SHOWN, Kind, KindCount, is_of

MAX_DISTINCT = 1_000_000
"""Different texts of all columns of a pass together: some 200 MB."""
MAX_EXAMPLES = 5
MAX_TEXT = 200
"""Characters of a text that are shown."""
_SQUARES = Context(prec=1_000, traps=[Inexact])
"""Numbers have up to 40 characters and two digits of exponent: their squares are exact in this."""
_ROOT = Context(prec=60)


def describe(run: Run, params: DescribeParams) -> DescribeResult:
    """The rows are ColumnDescription objects, a chunk each."""
    names = run.source.header if params.columns is None else params.columns
    indexes = [run.column(name) for name in names]
    done = min(run.emitter.already, len(names))
    run.emitter.skip(done)
    records = 0
    if done == len(names):
        records = sum(len(batch.records) for batch in run.batches(0, 100, "counting records"))
    while done < len(names):
        start, end = 100 * done / len(names), 100.0
        records, counted = _count(run, indexes[done:], names[done], start, end)
        for counts in counted:
            run.emitter.add(describe_column(names[done], records, counts, params))
            run.emitter.flush()
            done += 1
            run.progress(100 * done / len(names), f"{names[done - 1]!r} is described")
    return DescribeResult(
        source=run.source.name, source_sha256=run.sha256, records=records, columns=list(names)
    )


def _count(
    run: Run, indexes: Sequence[int], name: str, start: float, end: float
) -> tuple[int, list[Counter[str]]]:
    """The records, and the texts of as many of the columns as have room."""
    counted = [Counter[str]() for _ in indexes]
    records = 0
    # What a pass is worth is only known when it has ended: half of the way at the most.
    for batch in run.batches(start, start + (end - start) / 2, f"reading {name!r} and others"):
        records += len(batch.records)
        columns = list(zip(*batch.records, strict=True))
        for counts, index in zip(counted, indexes, strict=False):
            counts.update(columns[index])
        while sum(map(len, counted)) > MAX_DISTINCT:
            if len(counted) == 1:
                raise too_large(f"different values of column {name!r}", MAX_DISTINCT)
            counted.pop()
    return records, counted


def describe_column(
    name: str, records: int, texts: Counter[str], params: DescribeParams
) -> ColumnDescription:
    """What a column with these texts holds."""
    present: Counter[str] = Counter()
    kinds = KindCount()
    for text, count in texts.items():
        if not is_missing(text):
            present[text.strip()] += count
            kinds.add([text], count)
    kind = kinds.most
    valid = {text: count for text, count in present.items() if is_of(kind, text)}
    invalid = sorted(text for text in present if text not in valid)
    total = sum(present.values())
    description = ColumnDescription(
        column=name,
        type=kind,
        count=total,
        missing=records - total,
        distinct=len(present),
        invalid=total - sum(valid.values()),
        invalid_examples=[text[:MAX_SHOWN] for text in invalid[:MAX_EXAMPLES]],
    )
    match kind:
        case Kind.NUMBER:
            numbers: Counter[Decimal] = Counter()
            for text, count in valid.items():
                numbers[Decimal(text)] += count
            description.number = describe_numbers(numbers, params.quantiles)
            description.distinct = len(numbers) + len(invalid)
        case Kind.DATE:
            days = {day for text in valid if (day := parse_day(text)) is not None}
            description.date = DateDescription(first=min(days), last=max(days), days=len(days))
        case Kind.TEXT:
            ordered = sorted(valid.items(), key=lambda item: (-item[1], item[0]))
            description.top = [
                ValueCount(value=text[:MAX_TEXT], count=count)
                for text, count in ordered[: params.top]
            ]
        case Kind.EMPTY:
            pass
    return description


def describe_numbers(counts: Counter[Decimal], quantiles: Sequence[float]) -> NumberDescription:
    """Of one value or more."""
    values = sorted(counts)
    n = counts.total()
    with localcontext(_SQUARES):
        total = sum((value * counts[value] for value in values), Decimal(0))
        squares = sum((value * value * counts[value] for value in values), Decimal(0))
    below = list(accumulate(counts[value] for value in values))

    def quantile(q: float) -> float:
        place = Fraction(str(q)) * (n - 1)
        low = values[bisect_right(below, int(place))]
        high = values[bisect_right(below, min(int(place) + 1, n - 1))]
        exact = Fraction(low) + (Fraction(high) - Fraction(low)) * (place % 1)
        return float(exact) or 0.0

    std = None
    if n > 1:
        variance = (Fraction(squares) - Fraction(total) ** 2 / n) / (n - 1)
        std = float(_root(variance))
    return NumberDescription(
        min=double(values[0]),
        max=double(values[-1]),
        mean=float(Fraction(total) / n) or 0.0,
        median=quantile(0.5),
        std=std,
        quantiles={str(q): quantile(q) for q in quantiles},
    )


def _root(value: Fraction) -> Decimal:
    quotient = _ROOT.divide(Decimal(value.numerator), Decimal(value.denominator))
    return _ROOT.sqrt(quotient)
