# SPDX-License-Identifier: Apache-2.0
"""What an `Action` makes of payloads, results and chunks."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from longcall import Action, ConfigurationError, InvalidResult, ValidationError
from longcall.actions import named

MOMENT = datetime(2026, 11, 23, 18, 40, tzinfo=UTC)


class Params(BaseModel):
    first_page: int = Field(alias="firstPage", ge=1)
    since: datetime | None = None


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)

    at: datetime
    pages: tuple[int, ...]


@dataclass
class Point:
    x: float
    y: float = 0


@pytest.mark.parametrize(
    ("action", "payload", "expected"),
    [
        (
            Action[Params, None]("a"),
            Params(firstPage=2, since=MOMENT),
            {"firstPage": 2, "since": "2026-11-23T18:40:00Z"},
        ),
        (Action[Point, None]("a"), Point(1), {"x": 1.0, "y": 0.0}),
        (Action[list[Point], None]("a"), [Point(1, 2)], [{"x": 1, "y": 2}]),
        (Action[dict[str, Decimal] | None, None]("a"), {"d": Decimal("1.5")}, {"d": "1.5"}),
        (Action[None, None]("a"), None, None),
        (Action("a"), Point(1), {"x": 1, "y": 0}),
        (Action[Any, Any]("a"), (1, MOMENT), [1, "2026-11-23T18:40:00Z"]),
    ],
)
def test_payload_goes_out_as_json_by_its_type(
    action: Action[Any, Any, Any], payload: Any, expected: JsonValue
) -> None:
    assert action._encode(payload) == expected


@pytest.mark.parametrize(
    ("action", "payload", "pointer"),
    [
        (Action[Params, None]("a"), {"firstPage": 0}, "/payload/firstPage"),
        (Action[Params, None]("a"), Point(1), "/payload"),
        (Action[list[int], None]("a"), [1, "two"], "/payload/1"),
        (Action[Point, None]("a"), Point(float("nan")), "/payload/x"),
        (Action[int, None]("a"), 2**60, "/payload"),
        (Action("a"), {"x": {1}, "y": object()}, "/payload"),
        (Action[dict[str, dict[str, int]], None]("a"), {"a/b": {"c": "d"}}, "/payload/a~1b/c"),
    ],
)
def test_payload_that_does_not_fit_is_refused_with_its_place(
    action: Action[Any, Any, Any], payload: Any, pointer: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        action._encode(payload)
    assert caught.value.details == {"pointer": pointer}
    assert caught.value.origin == "client"


def test_results_and_chunks_come_in_as_their_types() -> None:
    action = Action[None, Strict, Point]("a")
    result = action._decode_result({"at": "2026-11-23T18:40:00Z", "pages": [1, 2]}, "r")
    assert result == Strict(at=MOMENT, pages=(1, 2))
    assert action._decode_chunk({"x": 1}, "r") == Point(1)
    assert Action[None, int | None]("a")._decode_result(None, "r") is None
    anything: JsonValue = {"a": [1, None]}
    assert Action("a")._decode_result(anything, "r") is anything
    assert Action[None, Point]("a")._decode_chunk(anything, "r") is anything


def test_result_that_does_not_fit_is_a_typed_error_that_survives_pickling() -> None:
    action = Action[None, list[Annotated[int, Field(ge=0)]]]("count")
    with pytest.raises(InvalidResult) as caught:
        action._decode_result([1, -2], "r-1")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.action, error.request_id, error.part) == ("count", "r-1", "result")
    assert (error.pointer, error.value) == ("/1", [1, -2])
    assert "greater than or equal to 0" in str(error)
    with pytest.raises(InvalidResult) as caught:
        Action[None, None, int]("count")._decode_chunk("x", "r-1")
    assert (caught.value.part, caught.value.pointer) == ("chunk", "")


def test_type_that_is_no_data_says_which() -> None:
    class Opaque:
        pass

    with pytest.raises(ConfigurationError, match=r"Opaque.* is no type of data"):
        Action[Opaque, None]("a")._encode(Opaque())
    undefined = Action["list[Undefined]", None]("a")  # type: ignore[name-defined]
    with pytest.raises(ConfigurationError, match=r"Undefined.* not known here"):
        undefined._encode([])
    with pytest.raises(ConfigurationError, match="a string, not 7"):
        Action(7)  # type: ignore[arg-type]


def test_action_says_its_types_and_a_name_is_one_of_any_json() -> None:
    action = Action[list[int], Point]("count")
    assert repr(action) == "Action[list, Point, JsonValue]('count')"
    assert named(action) is action
    assert repr(named("echo")) == "Action('echo')"
