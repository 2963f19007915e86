# SPDX-License-Identifier: Apache-2.0
"""The scripted handlers that server cases are played against."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from longcall_server.testing import HandlerRun, run_handler, start_handler

HANDLERS = Path(__file__).parent.parent / "handlers"
sys.path.insert(0, str(HANDLERS))

from conf_handlers import Step, handlers  # noqa: E402 - found where a server finds it
from conf_store import ConfStore  # noqa: E402


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGCALL_CONF_DIR", str(tmp_path))


async def run(*steps: dict[str, Any], **options: Any) -> HandlerRun:
    return await run_handler(handlers, {"steps": list(steps)}, action="conf.script", **options)


async def test_steps_are_done_in_order_and_the_result_ends_them() -> None:
    done = await run(
        {"progress": {"percentage": 5, "message": "m", "details": None}},
        {"chunk": None},
        {"large_bytes": 10},
        {"count": "one"},
        {"result": {"ok": True}},
        {"chunk": "never"},
    )
    assert done.error is None
    assert done.chunks == [None, "a" * 8]
    assert done.result == {"ok": True}


async def test_without_a_result_it_is_null() -> None:
    assert (await run()).result is None


async def test_an_attempt_begins_behind_the_checkpoint_of_the_last() -> None:
    steps: list[dict[str, Any]] = [{"chunk": "a"}, {"checkpoint": 7}, {"chunk": "b"}]
    first = await run(*steps)
    assert first.checkpoint == {"done": 2, "state": 7}
    second = await run(*steps, checkpoint=first.checkpoint, attempt=2)
    assert second.chunks == ["b"]


async def test_a_failure_may_be_of_the_first_attempts_only() -> None:
    step = {"fail": {"code": "no", "retryable": True, "attempts": 1, "details": [1]}}
    first = await run(step)
    assert first.error is not None
    assert (await run(step, attempt=2)).error is None


async def control(**asked: str) -> Any:
    return (await run_handler(handlers, asked, action="conf.control")).result


async def test_a_held_script_goes_on_when_its_gate_is_released() -> None:
    steps = [{"count": "begun"}, {"hold": "gate"}, {"count": "passed"}, {"result": 1}]
    async with start_handler(handlers, {"steps": steps}, action="conf.script") as running:
        assert await control(count="passed") == {"count": 0}
        assert await control(release="gate") == {"released": "gate"}
        assert (await running.finish()).result == 1
    assert await control(count="begun") == {"count": 1}
    assert await control(count="passed") == {"count": 1}


async def test_a_cancel_ends_the_wait_at_a_gate() -> None:
    steps = [{"hold": "gate"}]
    async with start_handler(handlers, {"steps": steps}, action="conf.script") as running:
        running.cancel()
        assert (await running.finish()).cancelled


async def test_a_deaf_script_ends_by_itself() -> None:
    steps = [{"ignore_cancel": True}, {"count": "deaf"}, {"hold": "gate"}, {"result": 1}]
    async with start_handler(handlers, {"steps": steps}, action="conf.script") as running:
        while await control(count="deaf") == {"count": 0}:
            pass
        running.cancel()
        await control(release="gate")
        assert (await running.finish()).result == 1


def test_counters_are_kept_by_tenant() -> None:
    store, other = ConfStore("one"), ConfStore("other")
    store.count("x")
    store.count("x")
    assert (store.counted("x"), store.counted("y"), other.counted("x")) == (2, 0, 0)
    store.release("gate")
    assert store.is_released("gate")
    assert not other.is_released("gate")


@pytest.mark.parametrize(
    "step",
    [
        {},
        {"chunk": 1, "result": 2},
        {"chunck": 1},
        {"hold": "../up"},
        {"ignore_cancel": False},
        {"crash_worker": 0},
        {"fail": {"cod": "x"}},
    ],
)
def test_a_step_that_is_none_is_refused(step: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Step.model_validate(step)


def test_the_handlers_use_the_public_api_alone() -> None:
    for path in HANDLERS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("longcall"):
                assert node.module == "longcall_server", path
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("longcall") for alias in node.names), path
