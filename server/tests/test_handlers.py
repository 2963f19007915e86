# SPDX-License-Identifier: Apache-2.0
import functools
import math
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Any

import process_handlers
import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from wire import settings

from longcall_server import (
    UNSET,
    Backoff,
    Handlers,
    JsonValue,
    NotJson,
    RegistrationError,
    RequestContext,
    SyncRequestContext,
)
from longcall_server.handlers.encoding import encode
from longcall_server.server import Server


def _nested(levels: int) -> list[Any]:
    return [_nested(levels - 1)] if levels else []


class Params(BaseModel):
    count: Annotated[int, Field(ge=1)]
    label: str = "none"


class Report(BaseModel):
    rows: int
    mean: float | None = None


def test_a_registration_reads_types_and_policy() -> None:
    handlers = Handlers()

    @handlers.register(
        "crunch",
        attempts=5,
        backoff=Backoff(timedelta(milliseconds=10), timedelta(seconds=2)),
        deadline=timedelta(minutes=1),
        retention=timedelta(days=1),
        cancel_grace=timedelta(0),
    )
    async def crunch(ctx: RequestContext, params: Params) -> Report:
        """Crunches numbers.

        At length.
        """
        return Report(rows=params.count)

    found = handlers.get("crunch")
    assert found is not None
    assert handlers.actions() == ("crunch",)
    assert (found.policy.max_attempts, found.policy.backoff_initial_ms) == (5, 10)
    assert found.policy.backoff_max_ms == 2000
    assert (found.deadline_ms, found.retention_ms, found.cancel_grace_ms) == (60_000, 86_400_000, 0)
    assert found.durable
    assert found.executor == "coroutine"
    assert found.description == "Crunches numbers."
    assert found.validate('{"count":2}') == Params(count=2)
    assert found.payload_schema["properties"]["count"]["minimum"] == 1
    assert found.result_schema["title"] == "Report"
    with pytest.raises(ValidationError):
        found.validate('{"count":0}')


def test_the_decorator_gives_the_function_back() -> None:
    async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
        return payload

    assert Handlers().register("echo", durable=False)(echo) is echo


def test_a_handler_without_a_second_parameter_takes_null_only() -> None:
    handlers = Handlers()

    @handlers.register("health")
    async def health(ctx: RequestContext) -> str:
        return "ok"

    found = handlers.get("health")
    assert found is not None
    assert found.validate("null") is None
    with pytest.raises(ValidationError):
        found.validate("{}")


@pytest.mark.parametrize(
    "text", ['{"a":[1,1.0,-0.0,1e300,"\u2028",null,true]}', "null", '"x"', "9007199254740991"]
)
def test_a_json_value_passes_exactly(text: str) -> None:
    handlers = Handlers()

    @handlers.register("echo")
    async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
        return payload

    found = handlers.get("echo")
    assert found is not None
    value = found.validate(text)
    again = encode(value, found.result_adapter, max_depth=64)
    assert repr(found.validate(again)) == repr(value)


@pytest.mark.parametrize("name", ["", "1st", "a b", "ä", "a" * 129, "a\n", None, 7])
def test_a_bad_action_name_is_refused(name: Any) -> None:
    with pytest.raises(RegistrationError, match="action name"):
        Handlers().register(name)


def test_an_action_has_one_handler() -> None:
    handlers = Handlers()

    async def first(ctx: RequestContext) -> None: ...

    later = handlers.register("twice")
    handlers.register("twice")(first)
    with pytest.raises(RegistrationError, match="already"):
        handlers.register("twice")
    with pytest.raises(RegistrationError, match="already"):
        later(first)


async def _no_parameters() -> None: ...
async def _three(ctx: RequestContext, a: int, b: int) -> None: ...
async def _keyword(ctx: RequestContext, *, a: int) -> None: ...
async def _variadic(ctx: RequestContext, *a: int) -> None: ...
async def _default(ctx: RequestContext, a: int = 1) -> None: ...
async def _no_annotation(ctx: RequestContext, a) -> None: ...  # type: ignore[no-untyped-def]
async def _sync_context(ctx: SyncRequestContext) -> None: ...
def _async_context(ctx: RequestContext) -> None: ...
async def _other_context(ctx: int) -> None: ...
async def _unresolved(ctx: RequestContext, a: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821
async def _generator(ctx: RequestContext) -> AsyncIterator[int]:
    yield 1


class _NotAModel:
    pass


async def _no_json(ctx: RequestContext, a: _NotAModel) -> None: ...


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_no_parameters, "takes ctx and a payload"),
        (_three, "takes ctx and a payload"),
        (_keyword, "neither"),
        (_variadic, "neither"),
        (_default, "never be used"),
        (_no_annotation, "annotate the parameter 'a'"),
        (_sync_context, "an async def takes a RequestContext"),
        (_async_context, "a plain def takes a SyncRequestContext"),
        (_other_context, "first parameter"),
        (_unresolved, "cannot be resolved"),
        (_generator, "not yield"),
        (_no_json, "no JSON for the parameter 'a'"),
        (42, "not a function"),
    ],
)
def test_a_wrong_signature_is_refused_when_it_is_registered(function: Any, reason: str) -> None:
    handlers = Handlers()
    with pytest.raises(RegistrationError, match=reason):
        handlers.register("wrong")(function)
    assert handlers.actions() == ()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"attempts": 0}, "attempts"),
        ({"deadline": timedelta(0)}, "deadline"),
        ({"deadline": 3}, "must be a timedelta"),
        ({"cancel_grace": timedelta(seconds=-1)}, "cancel_grace"),
        ({"sync_window": timedelta(seconds=1)}, "durable=False only"),
        ({"concurrency": 0}, "concurrency must be 1 or more"),
        ({"backoff": Backoff(initial=timedelta(seconds=-1))}, "backoff.initial"),
    ],
)
def test_a_bad_option_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(RegistrationError, match=reason):
        Handlers().register("wrong", **options)


def test_partials_methods_and_callable_objects_are_functions_too() -> None:
    class Service:
        async def method(self, ctx: RequestContext, n: int) -> int:
            return n

        async def __call__(self, ctx: RequestContext, n: int) -> int:
            return n

    async def scaled(factor: int, ctx: RequestContext, n: int) -> int:
        return factor * n

    handlers = Handlers()
    handlers.register("method")(Service().method)
    handlers.register("object")(Service())
    handlers.register("partial")(functools.partial(scaled, 3))
    for action in handlers.actions():
        found = handlers.get(action)
        assert found is not None
        assert found.executor == "coroutine"
        assert found.validate("7") == 7


@pytest.mark.clause("2.3.1", "2.3.2")
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"a": [1, math.nan]}, "nan at /a/1"),
        (math.inf, "inf at the top"),
        (2**53, "must travel as a string"),
        ({"deep": [-(2**60)]}, "/deep/0"),
        ("\ud800", "surrogate"),
        (object(), "Unable to serialize unknown type"),
        (_nested(70), "nested"),
    ],
)
def test_what_json_cannot_carry_is_refused(value: object, reason: str) -> None:
    with pytest.raises(NotJson, match=reason):
        encode(value, max_depth=64)


def test_nan_inside_of_a_model_is_refused_and_null_is_not() -> None:
    adapter = TypeAdapter(Report)
    assert encode(Report(rows=1), adapter, max_depth=64) == '{"rows":1,"mean":null}'
    with pytest.raises(NotJson, match="nan at /mean"):
        encode(Report(rows=1, mean=math.nan), adapter, max_depth=64)


def test_a_result_that_is_not_of_the_declared_type_is_refused() -> None:
    with pytest.raises(NotJson, match="Expected `Report`"):
        encode({"rows": 1}, TypeAdapter(Report), max_depth=64)


def test_unset_is_one_false_object() -> None:
    assert not UNSET
    assert repr(UNSET) == "UNSET"
    assert type(UNSET)() is UNSET


def test_a_handler_for_a_process_is_known_by_its_place() -> None:
    handlers = Handlers()
    handlers.register("typed", executor="process")(process_handlers.typed)
    handlers.register("inside", executor="process")(process_handlers.Group.inside)
    found = handlers.get("typed")
    assert found is not None
    assert (found.executor, str(found.place)) == ("process", "process_handlers.typed")
    handlers.check()


async def _coroutine(ctx: RequestContext) -> None: ...


def _in_main(ctx: SyncRequestContext) -> None: ...


_in_main.__module__ = "__main__"


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_coroutine, "an async def runs on the event loop; executor='process' is for a plain def"),
        (lambda ctx: None, r"a process cannot find a lambda \(<lambda>\)"),
        (_in_main, "a process cannot import __main__: move _in_main into a module of its own"),
        (functools.partial(process_handlers.typed), "a process finds its handler by module and"),
        (process_handlers.Group().method, "a process finds its handler by module and name"),
    ],
)
def test_what_a_process_could_not_find_is_not_registered(function: Any, reason: str) -> None:
    with pytest.raises(RegistrationError, match=f"^act: {reason}"):
        Handlers().register("act", executor="process")(function)


def test_a_closure_is_not_for_a_process() -> None:
    def inner(ctx: SyncRequestContext) -> None: ...

    with pytest.raises(RegistrationError, match=r"function inside of another .*at the top of"):
        Handlers().register("act", executor="process")(inner)


def test_an_executor_is_one_that_exists() -> None:
    handlers: Any = Handlers()
    with pytest.raises(RegistrationError, match="executor is 'thread' or 'process', not 'fork'"):
        handlers.register("act", executor="fork")(process_handlers.pid)


def test_another_function_under_the_same_name_is_found_before_anything_runs() -> None:
    handlers = Handlers()
    handlers.register("act", executor="process")(process_handlers.first_replaced)
    with pytest.raises(RegistrationError, match="act: a process would look for process_handlers"):
        handlers.check()
    with pytest.raises(RegistrationError, match="is not the function that was registered"):
        Server(settings(), handlers)
