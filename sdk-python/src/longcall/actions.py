# SPDX-License-Identifier: Apache-2.0
"""Actions whose types are known: what goes in, what comes out, and what comes meanwhile.

::

    generate_report = Action[ReportParams, Report, Row]("generate_report")

    report = await client.call(generate_report, ReportParams(format="csv"))  # a Report
"""

from __future__ import annotations

from typing import Any, Final, Generic, cast, get_args

import pydantic
import pydantic_core
from pydantic import JsonValue, TypeAdapter

# A dependency of pydantic, as in the generated models: type variables with defaults.
from typing_extensions import TypeVar

from .codec import find_defect, invalid, to_json_value
from .errors import ConfigurationError, InvalidResult

ParamsT = TypeVar("ParamsT")
ParamsT_contra = TypeVar("ParamsT_contra", contravariant=True, default=object)
ResultT = TypeVar("ResultT", default=JsonValue)
ChunkT = TypeVar("ChunkT", default=JsonValue)

_AS_IT_IS: Final = (JsonValue, Any, object)


class Action(Generic[ParamsT_contra, ResultT, ChunkT]):
    """The name of an action with the types of its payload, of its result and of its chunks.

    ::

        generate_report = Action[ReportParams, Report, Row]("generate_report")
        ping = Action[None, str]("ping")

    A type is whatever pydantic takes: a model, a dataclass, a `TypedDict`, `list[int]`,
    `datetime | None`, `Annotated[…]`. One that is left out is any JSON value. Types are looked at
    when they are used first. An action holds no connection: make it once, in a module of its own,
    and give it to `call`, `submit`, `attach` and `map` of any client.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise ConfigurationError(f"the name of an action is a string, not {name!r}")
        self.name: Final[str] = name
        """The name, as the server registered it."""
        self._adapters: tuple[TypeAdapter[Any] | None, ...] | None = None

    def __repr__(self) -> str:
        types = ", ".join(getattr(one, "__name__", str(one)) for one in self._types())
        return f"Action[{types}]({self.name!r})" if types else f"Action({self.name!r})"

    # For the front ends.

    def _encode(self, payload: ParamsT_contra) -> JsonValue:
        """Returns a payload as it is sent, after it was checked against its type.

        Raises:
            ValidationError: It does not fit its type, or holds what JSON cannot hold;
                `details["pointer"]` names the place.
        """
        adapter = self._adapter(0)
        if adapter is None:
            return to_json_value(payload)
        try:
            # An instance of a class stays as it is; a dictionary is checked field by field.
            checked = adapter.validate_python(payload)
            value = adapter.dump_python(checked, mode="json", by_alias=True, warnings="error")
        except pydantic.ValidationError as error:
            pointer, problem = _first(error)
            raise invalid(f"/payload{pointer}", problem) from None
        except (ValueError, RecursionError) as error:  # PydanticSerializationError is a ValueError
            raise invalid("/payload", str(error)) from None
        if (defect := find_defect(value, "/payload")) is not None:
            raise invalid(*defect)
        return cast(JsonValue, value)

    def _decode_result(self, value: JsonValue, request_id: str) -> ResultT:
        """Returns a result in its type. Raises `InvalidResult` when it does not fit."""
        return cast(ResultT, self._decode(1, value, request_id))

    def _decode_chunk(self, value: JsonValue, request_id: str) -> ChunkT:
        """Returns the data of a chunk in its type. Raises `InvalidResult` when it does not fit."""
        return cast(ChunkT, self._decode(2, value, request_id))

    def _decode(self, index: int, value: JsonValue, request_id: str) -> Any:
        adapter = self._adapter(index)
        if adapter is None:
            return value
        try:
            # As JSON: a strict model takes its times from strings there, and only there.
            return adapter.validate_json(pydantic_core.to_json(value))
        except pydantic.ValidationError as error:
            pointer, problem = _first(error)
            raise InvalidResult(
                problem,
                action=self.name,
                request_id=request_id,
                part="result" if index == 1 else "chunk",
                pointer=pointer,
                value=value,
            ) from error

    def _adapter(self, index: int) -> TypeAdapter[Any] | None:
        if self._adapters is None:
            self._adapters = tuple(self._adapter_of(one) for one in self._types())
        return self._adapters[index] if index < len(self._adapters) else None

    def _adapter_of(self, kind: Any) -> TypeAdapter[Any] | None:
        if kind in _AS_IT_IS:
            return None
        try:
            adapter = TypeAdapter(kind)
        except (pydantic.PydanticUserError, pydantic.PydanticUndefinedAnnotation) as error:
            why = str(error).splitlines()[0]
            raise ConfigurationError(f"{self!r}: {kind!r} is no type of data: {why}") from error
        if not adapter.pydantic_complete:
            raise ConfigurationError(f"{self!r}: {kind!r} names a type that is not known here")
        return adapter

    def _types(self) -> tuple[Any, ...]:
        # What stands in the brackets; `typing` puts it there.
        return get_args(getattr(self, "__orig_class__", None))


def named(
    action: str | Action[ParamsT, ResultT, ChunkT],
) -> Action[ParamsT, ResultT, ChunkT]:
    """Returns the action that is meant: a bare name is one of any JSON values."""
    return Action(action) if isinstance(action, str) else action


def _first(error: pydantic.ValidationError) -> tuple[str, str]:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in first["loc"])
    return "".join(f"/{part}" for part in parts), first["msg"]
