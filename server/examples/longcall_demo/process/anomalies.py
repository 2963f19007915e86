# SPDX-License-Identifier: Apache-2.0
"""`anomalies`: values far from the median of their place in the season, by robust z-scores.

A first pass collects the values of each position, and a second one lists those that lie far off.
See AnomaliesParams for what is measured, and what is done where the MAD is 0.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from longcall_demo.process.params import AnomaliesParams
from longcall_demo.process.results import AnomaliesResult, Anomaly, Season
from longcall_demo.process.run import Run, too_large
from longcall_demo.sources.cells import parse_days, parse_numbers
from longcall_demo.sources.columns import read_column
from longcall_server import HandlerError

MAX_VALUES = 5_000_000
"""Doubles held for the medians; sorting those of one position takes up to 200 MB."""
MAD_UNIT = 1.482602218505602
"""1 / Φ⁻¹(3/4): by it the MAD of a normal distribution is its standard deviation."""
MEAN_AD_UNIT = 1.2533141373155001
"""√(π/2): the same for the mean absolute deviation."""


def middle(values: Sequence[float]) -> float:
    """The median of one value or more."""
    ordered = sorted(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return (low + high) / 2


def season_of(position: int, values: Sequence[float]) -> Season:
    """What is usual among the values of a position."""
    if not values:
        return Season(position=position, count=0, median=None, mad=None, scale="none", unit=None)
    median = middle(values)
    distances = [abs(value - median) for value in values]
    mad = middle(distances)
    mean = sum(distances) / len(distances)
    season = Season(
        position=position, count=len(values), median=median, mad=mad, scale="none", unit=None
    )
    if mad > 0:
        season.scale, season.unit = "mad", MAD_UNIT * mad
    elif mean > 0:
        season.scale, season.unit = "mean_ad", MEAN_AD_UNIT * mean
    return season


@dataclass(frozen=True, slots=True)
class _Point:
    record: int
    date: str | None
    position: int
    value: float | None


class _Series:
    """The column as a series; raises HandlerError BAD_SOURCE and SOURCE_UNSORTED."""

    def __init__(self, run: Run, params: AnomaliesParams) -> None:
        self._run, self._params = run, params
        self._value = run.column(params.value)
        self._date = None if params.date is None else run.column(params.date)

    def points(self, start: float, end: float, message: str) -> Iterator[_Point]:
        """All of them, in the order of the source."""
        params, source = self._params, self._run.source
        record, first, last = 0, None, date.min
        for batch in self._run.batches(start, end, message):
            columns = list(zip(*batch.records, strict=True))
            values = read_column(source, batch, columns[self._value], params.value, parse_numbers)
            texts: Sequence[str | None] = [None] * len(values)
            days: Sequence[date] = []
            if self._date is not None and params.date is not None:
                texts = columns[self._date]
                days = read_column(source, batch, columns[self._date], params.date, parse_days)
                first = first or days[0]
                if params.position == "record":
                    last = _in_order(source.name, last, days)
            for index, (value, text) in enumerate(zip(values, texts, strict=True)):
                place = record
                if params.position == "day" and first is not None:
                    place = (days[index] - first).days
                record += 1
                number = None if value is None else float(value)
                yield _Point(record, text and text.strip(), place % params.period, number)


def _in_order(name: str, last: date, days: Sequence[date]) -> date:
    for day in days:
        if day < last:
            reason = f"{name!r} is not sorted by date, where {day} comes after {last}"
            raise HandlerError("SOURCE_UNSORTED", f"{reason}: sort it, or use position 'day'")
        last = day
    return last


def anomalies(run: Run, params: AnomaliesParams) -> AnomaliesResult:
    """The rows are Anomaly objects, in the order of the source."""
    series = _Series(run, params)
    values = [array("d") for _ in range(params.period)]
    records = count = found = 0
    for point in series.points(0, 50, "finding what is usual"):
        records = point.record
        if point.value is not None:
            values[point.position].append(point.value)
            count += 1
            if count > MAX_VALUES:
                raise too_large("values", MAX_VALUES)
    seasons = [season_of(position, found) for position, found in enumerate(values)]
    for point in series.points(50, 100, "looking for anomalies"):
        anomaly = _judged(point, seasons[point.position], params.threshold)
        if anomaly is not None:
            found += 1
            run.emitter.add(anomaly)
    run.emitter.flush()
    return AnomaliesResult(
        source=run.source.name,
        source_sha256=run.sha256,
        records=records,
        values=count,
        anomalies=found,
        seasons=seasons,
    )


def _judged(point: _Point, season: Season, threshold: float) -> Anomaly | None:
    if point.value is None or season.unit is None or season.median is None:
        return None
    score = (point.value - season.median) / season.unit
    if abs(score) < threshold:
        return None
    return Anomaly(
        record=point.record,
        date=point.date,
        position=point.position,
        value=point.value,
        expected=season.median,
        score=score,
    )
