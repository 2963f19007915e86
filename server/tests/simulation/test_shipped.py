# SPDX-License-Identifier: Apache-2.0
"""What the simulation drives is what is shipped: it has no model of the server beside it."""

from __future__ import annotations

import ast
import asyncio
import inspect
from pathlib import Path

import pytest

import longcall_server
from longcall_server.bus.local import LocalBus
from longcall_server.core import lifecycle, states
from longcall_server.executor import Executor
from longcall_server.gateway.connection import Connection
from longcall_server.requests import RequestService
from longcall_server.stores.memory import MemoryStore
from longcall_server.worker import Worker
from simulation import node as node_module
from simulation.bus import Bells
from simulation.loop import VirtualLoop
from simulation.world import World, run

HERE = Path(__file__).resolve().parent
SHIPPED = Path(longcall_server.__file__).resolve().parent


def is_shipped(thing: type) -> bool:
    return SHIPPED in Path(inspect.getfile(thing)).resolve().parents


def test_the_parts_of_a_node_are_the_shipped_ones() -> None:
    loop = VirtualLoop()

    async def build() -> World:
        world = World(0, loop)
        world.bells = Bells(world.weather)
        world.start_node()
        loop.stop()
        return world

    task = loop.create_task(build())
    loop.run_forever()
    world = task.result()
    node = world.nodes[0]
    assert type(world.inner) is MemoryStore
    assert type(node.worker) is Worker
    assert type(node.executor) is Executor
    assert type(node.service) is RequestService
    assert type(node.bus._local) is LocalBus
    assert node_module.__dict__["Connection"] is Connection
    for part in (MemoryStore, Worker, Executor, RequestService, LocalBus, Connection):
        assert is_shipped(part)
    world.finish()
    loop.close()


def test_the_simulation_has_no_table_of_states_of_its_own() -> None:
    tables = {"RequestEvent", "REQUEST_TRANSITIONS", "REQUEST_TERMINAL", "next_status"}
    for path in sorted(HERE.glob("*.py")):
        if path.name.startswith("test_") or path.name == "mutants.py":
            continue
        names = {
            name
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (getattr(node, "id", None), getattr(node, "attr", None))
            if name is not None
        }
        assert not names & tables, f"{path.name} uses {names & tables}"


def test_a_change_of_the_shipped_table_is_what_the_simulation_then_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = dict(states.REQUEST_TRANSITIONS)
    row = (states.RequestState.PROCESSING, states.RequestEvent.RETRY)
    del table[row]
    monkeypatch.setattr(lifecycle, "REQUEST_TRANSITIONS", table)
    broken = [run(seed) for seed in range(10)]
    assert any("IllegalTransition" in text for one in broken for text in one.violations)


def test_nothing_here_waits_and_nothing_here_starts_a_thread() -> None:
    for path in sorted(HERE.glob("*.py")):
        imported = {
            name
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert not imported & {"threading", "socket", "selectors"}, path.name
    assert not issubclass(VirtualLoop, asyncio.SelectorEventLoop)
