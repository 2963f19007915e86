# SPDX-License-Identifier: Apache-2.0
"""What a bulk operation is asked for, and what it answers."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from longcall_demo.bulk.documents import compile_schema
from longcall_demo.sources.columns import Kind

Item = Annotated[str, Field(min_length=1, max_length=255)]
ColumnName = Annotated[str, Field(min_length=1, max_length=100)]


class _Bulk(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    items: list[Item] = Field(
        min_length=1, max_length=1_000, description="files of the data folder, in this order"
    )
    continue_on_error: bool = Field(
        default=False, description="go on after an item that fails, and count it"
    )


class HashParams(_Bulk):
    """The SHA-256 of each file."""

    operation: Literal["hash"]


class ConvertParams(_Bulk):
    """Each file in another form: CSV with a header, or JSON Lines, an object a record.

    From CSV, cells without a value are null; a column all of whose values are written as JSON
    writes numbers becomes one of numbers, digit by digit the same (007 and +1 stay texts). From
    JSON Lines, the columns are the keys in the order in which they first come.
    """

    operation: Literal["convert"]
    to: Literal["csv", "jsonl"] | None = Field(
        default=None, description="null: what the file is not, by its ending .csv or .jsonl"
    )


class Rule(BaseModel):
    """What the cells of a CSV's column must keep to; a cell without a value only `required`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: ColumnName
    required: bool = Field(default=False, description="no cell without a value")
    type: Literal[Kind.NUMBER, Kind.DATE, Kind.TEXT] = Kind.TEXT
    unique: bool = Field(default=False, description="no value twice, as a text")
    min: float | None = Field(default=None, description="of numbers")
    max: float | None = Field(default=None, description="of numbers")
    max_length: int | None = Field(default=None, ge=0)
    one_of: list[str] | None = Field(default=None, min_length=1, max_length=1_000)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        bounded = self.min is not None or self.max is not None
        if bounded and self.type is not Kind.NUMBER:
            raise ValueError("min and max are for the type number")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max")
        return self


def _schema(schema: dict[str, Any] | bool | None) -> dict[str, Any] | bool | None:
    if schema is not None:
        compile_schema(schema)
    return schema


class ValidateParams(_Bulk):
    """Holds each file against rules (CSV) or a JSON Schema (a .json file is one document, of any
    other each line is one). A file with a problem is an item that failed.

    The schema may not refer to anything (`$ref`): then a document takes no longer than it is
    large. Its patterns are matched in linear time, so they have no look-around.
    """

    operation: Literal["validate"]
    rules: list[Rule] | None = Field(default=None, min_length=1, max_length=256)
    json_schema: Annotated[dict[str, Any] | bool | None, AfterValidator(_schema)] = Field(
        default=None, alias="schema"
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.rules is None) == (self.json_schema is None):
            raise ValueError("either rules or schema is needed, and not both")
        return self


BulkParams = Annotated[
    HashParams | ConvertParams | ValidateParams, Field(discriminator="operation")
]
"""The payload of `bulk_operation`."""


class HashOutput(BaseModel):
    """Of the file's content."""

    bytes: int
    sha256: str = Field(description="in hex")


class ConvertOutput(BaseModel):
    """A file of the result; it is downloaded under the request's id."""

    file: str
    records: int
    bytes: int
    sha256: str = Field(description="in hex")


class ValidateOutput(BaseModel):
    """Nothing is wrong with any of them."""

    records: int


class ItemError(BaseModel):
    """Why an item failed; the same codes and details as those of the other actions."""

    code: str
    message: str
    details: Any = None


class ItemResult(BaseModel):
    """A chunk of `bulk_operation`: one item, in the order asked for."""

    index: int = Field(description="in `items`, from 0")
    item: str
    ok: bool
    output: HashOutput | ConvertOutput | ValidateOutput | None = None
    error: ItemError | None = None


class BulkResult(BaseModel):
    """The result of `bulk_operation`."""

    operation: Literal["hash", "convert", "validate"]
    items: int
    ok: int
    failed: int
