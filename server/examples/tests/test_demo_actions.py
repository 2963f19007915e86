# SPDX-License-Identifier: Apache-2.0
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import longcall_demo
from longcall_demo.actions import Health
from longcall_server import Registration, RequestContext, ServerInfo
from longcall_server.testing import run_handler


def registration(action: str) -> Registration:
    found = longcall_demo.handlers.get(action)
    assert found is not None
    return found


def context(started_at: datetime) -> RequestContext:
    server = ServerInfo(version="1.2.3", store="memory", started_at=started_at)
    return cast(RequestContext, SimpleNamespace(server=server))


def test_the_application_answers_its_actions_two_of_them_quick() -> None:
    durable = {name: registration(name).durable for name in longcall_demo.handlers.actions()}
    assert durable == {
        "generate_report": True,
        "bulk_operation": True,
        "process_data": True,
        "stream_text": True,
        "echo": False,
        "echo_async": True,
        "health": False,
    }


@pytest.mark.parametrize("action", ["echo", "echo_async"])
@pytest.mark.parametrize(
    "text", ["null", "0", '"ü\\u0000"', "[]", '{"b":1,"a":[1.5,null,true,{"":"x"}]}', "1e300"]
)
async def test_an_echo_gives_back_exactly_its_payload(action: str, text: str) -> None:
    echo = registration(action)
    payload: Any = echo.validate(text)
    result = await echo.function(context(datetime.now(UTC)), payload)
    given_back = json.loads(echo.result_adapter.dump_json(result))
    assert repr(given_back) == repr(json.loads(text))


async def test_health_tells_which_server_and_since_when() -> None:
    started = datetime.now(UTC) - timedelta(hours=1)
    health = await registration("health").function(context(started))
    assert health == Health(
        status="ok", version="1.2.3", store="memory", uptime_ms=health.uptime_ms
    )
    assert 3_600_000 <= health.uptime_ms < 3_660_000


async def test_a_clock_set_back_reads_as_no_uptime() -> None:
    started = datetime.now(UTC) + timedelta(hours=1)
    assert (await registration("health").function(context(started))).uptime_ms == 0


@pytest.mark.clause("5.3.7")
async def test_a_quick_action_that_is_repeated_has_no_further_effect() -> None:
    # This context has nothing to write with: whoever wrote would fail.
    here = context(datetime.now(UTC))
    echo, health = registration("echo"), registration("health")
    assert await echo.function(here, [1]) == await echo.function(here, [1])
    first, second = await health.function(here), await health.function(here)
    assert first.model_copy(update={"uptime_ms": 0}) == second.model_copy(update={"uptime_ms": 0})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("generate_report", {"format": "xlsx", "report_type": "annual"}),
        ("process_data", {"pipeline": "clean", "source": "x.csv"}),
        ("bulk_operation", {"operation": "convert", "items": ["x.csv"]}),
    ],
)
async def test_what_computes_runs_in_a_process_with_its_chunks_and_files(
    folders: tuple[Path, Path], action: str, payload: dict[str, Any]
) -> None:
    (folders[1] / "x.csv").write_text("n\n1\n2\n")
    assert registration(action).executor == "process"
    run = await run_handler(longcall_demo.handlers, payload, action=action, in_process=True)
    assert run.error is None
    assert run.chunks
    assert run.checkpoint is not None
    assert len(run.files) == 1
    assert run.progress[-1]["percentage"] == 100
