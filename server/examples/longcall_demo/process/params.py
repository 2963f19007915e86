# SPDX-License-Identifier: Apache-2.0
"""What a pipeline is asked for. Names of columns are looked up when the source is read."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from longcall_demo.process.expressions import check_syntax
from longcall_demo.sources.columns import Kind

ColumnName = Annotated[str, Field(min_length=1, max_length=100)]
Expression = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(check_syntax)]


def _once(names: list[str]) -> list[str]:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"{name!r} is there twice")
    return names


ColumnNames = Annotated[list[ColumnName], AfterValidator(_once)]


class _Pipeline(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="a CSV file in the data folder; null: the daily weather of Seattle",
    )


class Output(StrEnum):
    """Where the records of a pipeline go. A file alone leaves no checkpoint: a second attempt
    begins anew. Chunks fill the request's log, which has a limit (64 MiB, unless the server says
    otherwise): of a larger source ask for the file."""

    CHUNKS = "chunks"
    FILE = "file"
    BOTH = "both"


class DescribeParams(_Pipeline):
    """What each column holds: a chunk a column."""

    pipeline: Literal["describe"]
    columns: ColumnNames | None = Field(
        default=None, min_length=1, max_length=256, description="null: all of them"
    )
    quantiles: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        default=[0.25, 0.5, 0.75], max_length=20
    )
    top: int = Field(default=10, ge=0, le=100, description="so many of the most frequent texts")


class Missing(StrEnum):
    """What becomes of a cell without a value: it stays empty; its record is dropped; or it is
    filled with the mean or median of its column (of numbers; other columns keep it empty), or with
    the value before it in its column (none before: it stays empty)."""

    KEEP = "keep"
    DROP = "drop"
    MEAN = "mean"
    MEDIAN = "median"
    PREVIOUS = "previous"


class CleanParams(_Pipeline):
    """Gives each column one type, drops duplicates, and treats missing values by a rule.

    Cells are trimmed, and dates written as 2012-01-31. Then, in this order: `invalid` cells,
    `duplicates`, `missing` ones. Means and medians are those of what is left after the first two.
    """

    pipeline: Literal["clean"]
    types: dict[ColumnName, Literal[Kind.NUMBER, Kind.DATE, Kind.TEXT]] = Field(
        default={}, description="of columns; of others, what more than half of their values are"
    )
    invalid: Literal["missing", "drop", "fail"] = Field(
        default="missing",
        description="a cell that is not of its column's type: becomes missing, its record is "
        "dropped, or the request fails and says where it stands",
    )
    duplicates: Literal["drop", "keep"] = Field(
        default="drop", description="records that come again; the first one stays"
    )
    duplicates_by: ColumnNames | None = Field(
        default=None, min_length=1, description="the columns compared; null: all of them"
    )
    missing: Missing = Field(default=Missing.KEEP, description="the rule for every column …")
    missing_by_column: dict[ColumnName, Missing] = Field(default={}, description="… but for these")
    output: Output = Output.BOTH


class Figure(StrEnum):
    """What the numbers of a group come to."""

    SUM = "sum"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    COUNT = "count"
    MEDIAN = "median"


class BucketSize(StrEnum):
    """Of a bucket of time; weeks are those of ISO 8601, from Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class TimeBuckets(BaseModel):
    """Groups by time as well."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: ColumnName
    size: BucketSize


class AggregateParams(_Pipeline):
    """Figures of each group: the chunks are lists of groups, in order of time, then of values."""

    pipeline: Literal["aggregate"]
    group_by: ColumnNames = Field(default=[], max_length=8)
    time: TimeBuckets | None = None
    measures: dict[ColumnName, Annotated[list[Figure], Field(min_length=1)]] = Field(
        default={}, max_length=50, description="column of numbers -> figures"
    )


class AnomaliesParams(_Pipeline):
    """Values that lie far from what is usual at their place in the season.

    The value's place is its record's number (`record`: the source must be in order of `date`, if
    one is given) or its day's distance from the first record's day (`day`), modulo `period`. What
    is expected is the median of all values of the same place; the score is the distance from it in
    units of 1.4826 median absolute deviations (MAD), which for a normal distribution are standard
    deviations. Where the MAD is 0 (more than half of the values are alike) the unit is 1.2533 mean
    absolute deviations instead; where that is 0 as well, no value is an anomaly.
    """

    pipeline: Literal["anomalies"]
    value: ColumnName
    date: ColumnName | None = None
    position: Literal["record", "day"] = "record"
    period: int = Field(default=7, ge=1, le=1_500, description="1: no season")
    threshold: float = Field(default=3.5, gt=0, le=1e6, description="listed from this score on")

    @model_validator(mode="after")
    def _days_need_dates(self) -> Self:
        if self.position == "day" and self.date is None:
            raise ValueError("position 'day' needs the column of the date")
        return self


class RenameStep(BaseModel):
    """Gives columns other names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: Literal["rename"]
    columns: dict[ColumnName, ColumnName] = Field(min_length=1, description="old -> new")


class FilterStep(BaseModel):
    """Keeps the records for which an expression holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: Literal["filter"]
    where: Expression


class DeriveStep(BaseModel):
    """Adds a column, or puts another content into one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: Literal["derive"]
    column: ColumnName
    expression: Expression


Step = Annotated[RenameStep | FilterStep | DeriveStep, Field(discriminator="step")]


class TransformParams(_Pipeline):
    """Steps over each record, one after the other; see `expressions` for their language."""

    pipeline: Literal["transform"]
    steps: list[Step] = Field(min_length=1, max_length=50)
    output: Output = Output.BOTH


ProcessParams = Annotated[
    DescribeParams | CleanParams | AggregateParams | AnomaliesParams | TransformParams,
    Field(discriminator="pipeline"),
]
"""The payload of `process_data`."""
