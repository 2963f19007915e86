# SPDX-License-Identifier: Apache-2.0
"""What the pipelines answer: the results, and the rows that their chunks are lists of."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, Field, RootModel

from longcall_demo.process.params import Figure
from longcall_demo.sources.columns import Kind

Cell = str | bool | int | float | None


class _Result(BaseModel):
    source: str
    source_sha256: str
    records: int = Field(description="of the source")


class OutputFile(BaseModel):
    """A file of the result; it is downloaded under the request's id."""

    name: str
    bytes: int
    sha256: str = Field(description="in hex")


class NumberDescription(BaseModel):
    """Exact figures, each rounded once to a double."""

    min: float
    max: float
    mean: float
    median: float
    std: float | None = Field(description="of a sample (n - 1); null for a single value")
    quantiles: dict[str, float] = Field(
        description="interpolated between neighbours: 0 is the lowest value, 1 the highest"
    )


class DateDescription(BaseModel):
    """The range of a column of dates."""

    first: date
    last: date
    days: int = Field(description="different ones")


class ValueCount(BaseModel):
    """A text, and how often it comes."""

    value: str
    count: int


class ColumnDescription(BaseModel):
    """A row of `describe`. `type` is what more than half of the values are; `invalid` values are
    of another type, and have no part in the figures."""

    column: str
    type: Kind
    count: int = Field(description="cells with a value")
    missing: int
    distinct: int = Field(description="different values: numbers by what they are, texts trimmed")
    invalid: int
    invalid_examples: list[str]
    number: NumberDescription | None = None
    date: DateDescription | None = None
    top: list[ValueCount] | None = Field(
        default=None, description="of text: the most frequent, then in alphabetical order"
    )


class DescribeResult(_Result):
    """The descriptions are in the chunks, a row a column."""

    pipeline: Literal["describe"] = "describe"
    columns: list[str]


class DataRow(RootModel[dict[str, Cell]]):
    """A record of `clean` or `transform`: column -> value."""


class ColumnChanges(BaseModel):
    """What `clean` did to the cells of a column, in the records that it read."""

    column: str
    type: Kind
    trimmed: int = Field(description="had white space around")
    rewritten: int = Field(description="dates that were not written as 2012-01-31")
    invalid: int = Field(description="not of the column's type")
    invalid_examples: list[str]
    missing: int = Field(description="without a value, invalid ones included, before any filling")
    filled: int
    filled_with: float | None = Field(description="the mean or median that was filled in")


class CleanResult(_Result):
    """What was changed; the records that are left are in the chunks, the file, or both."""

    pipeline: Literal["clean"] = "clean"
    kept: int = Field(description="records that are left")
    dropped_invalid: int
    dropped_duplicates: int
    dropped_missing: int
    columns: list[ColumnChanges]
    file: OutputFile | None


class GroupRow(BaseModel):
    """A row of `aggregate`: a group and its figures."""

    start: date | None = Field(description="first day of the bucket; null without buckets")
    end: date | None = Field(description="its last day")
    group: dict[str, str | None] = Field(description="column -> value; null where it is missing")
    records: int
    figures: dict[str, dict[Figure, float | None]] = Field(
        description="column -> figure; null, but for sum and count, where there is no value"
    )


class AggregateResult(_Result):
    """The groups are in the chunks."""

    pipeline: Literal["aggregate"] = "aggregate"
    groups: int


class Anomaly(BaseModel):
    """A row of `anomalies`."""

    record: int = Field(description="its number in the source, from 1")
    date: str | None = Field(description="as the source writes it")
    position: int = Field(description="in the season, from 0")
    value: float
    expected: float = Field(description="the median of the position")
    score: float = Field(description="negative for a value that is too low")


class Season(BaseModel):
    """What is usual at a position of the season."""

    position: int
    count: int
    median: float | None
    mad: float | None = Field(description="median absolute deviation from the median")
    scale: Literal["mad", "mean_ad", "none"] = Field(description="what scores are measured in")
    unit: float | None = Field(description="a score of 1, in units of the value")


class AnomaliesResult(_Result):
    """The anomalies are in the chunks."""

    pipeline: Literal["anomalies"] = "anomalies"
    values: int = Field(description="records with a value")
    anomalies: int
    seasons: list[Season]


class TransformResult(_Result):
    """The records that are left are in the chunks, the file, or both."""

    pipeline: Literal["transform"] = "transform"
    kept: int = Field(description="records that passed every filter")
    columns: dict[str, Literal["number", "text", "date", "boolean"]] = Field(
        description="of the output: name -> type"
    )
    file: OutputFile | None


ProcessResult = Annotated[
    DescribeResult | CleanResult | AggregateResult | AnomaliesResult | TransformResult,
    Field(discriminator="pipeline"),
]
"""The result of `process_data`."""
