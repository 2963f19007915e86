# SPDX-License-Identifier: Apache-2.0
"""One driver's run: server, fault proxy and clients, and what was seen of them."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from ..referee.fault_proxy import FaultProxy, Plan
from ..referee.tokens import claims, sign
from ..runner.driver import CommandFailed, Driver, DriverCrash, DriverHang, NoDriver, ProtocolBroken
from ..runner.drivers import DriverCommand
from ..runner.external_server import ExternalServer
from ..runner.manifest import Manifest
from ..runner.server_process import ServerProcess
from ..runner.under_test import ServerFailed, ServerUnderTest
from .clients import LANES, Clients
from .control import Control
from .outcome import Outcome
from .plan import kinds_of, plan_of_faults
from .workload import Asked, mixed

_LIMITS: Final = {"heartbeat_interval_s": 2}
"""What is set where the server's manifest says how: a lost connection is noticed sooner."""
_MOST_CLIENTS: Final = 40
_REQUESTS_OF_A_CLIENT: Final = 15


@dataclass(frozen=True)
class Order:
    """What is to be run."""

    manifest: Manifest
    requests: int
    seed: int
    folder: Path
    """Where drivers are started."""
    out: Path
    secret: str
    patience: float
    """So many seconds may pass without any event, and until everything is closed."""
    tell: Callable[[str], None]
    plan: Plan = field(default_factory=plan_of_faults)

    def out_of(self, command: DriverCommand) -> Path:
        """Where what was seen of a driver is written."""
        return self.out / command.name

    @property
    def clients(self) -> int:
        """How many: an even number, since two have one owner."""
        return min(_MOST_CLIENTS, max(LANES, self.requests // _REQUESTS_OF_A_CLIENT)) & ~1


async def run_driver(order: Order, command: DriverCommand) -> Outcome:
    """Runs one driver to its end, and lets go of everything."""
    out = order.out_of(command)
    await asyncio.to_thread(_emptied, out)
    began = time.monotonic()
    outcome = Outcome(files=[], wanted=order.requests, kinds=kinds_of(order.plan))
    async with _server(order) as server:
        try:
            await _through_faults(order, command, server, outcome)
        except (DriverCrash, DriverHang, NoDriver, ProtocolBroken, CommandFailed) as error:
            outcome.failure = f"the driver: {error}"
        except ServerFailed as error:
            outcome.failure = f"the server: {error}"
        if not server.is_running:
            outcome.failure = f"the server ended by itself:\n{server.log()[-2_000:]}"
        outcome.server_log = (
            server.whole_log() if isinstance(server, ServerProcess) else server.log()
        )
    await asyncio.to_thread((out / "server.log").write_text, outcome.server_log, "utf-8")
    outcome.files = sorted(out.glob("client-*.jsonl"))
    outcome.seconds = time.monotonic() - began
    return outcome


async def _through_faults(
    order: Order, command: DriverCommand, server: ServerUnderTest, outcome: Outcome
) -> None:
    out = order.out_of(command)
    run = uuid.uuid4().hex[:12]
    driver = Driver(command.command, cwd=order.folder)
    proxy = FaultProxy(server.url, order.plan, seed=order.seed)
    try:
        async with Control(server.url, _token(order, "controller", run)) as control, proxy:
            owners = [_token(order, f"owner-{number}", run) for number in range(order.clients // 2)]
            people = Clients.made(out, owners, order.clients)
            await driver.start()
            clients = Clients(driver, proxy.url, control, people, order.patience)
            try:
                asked = await clients.run(
                    _requests(order), lambda done: _tell_now_and_then(order, command, done)
                )
                outcome.asked, outcome.gave_up = asked, clients.gave_up
                counted = [name for name, one in asked.items() if one.executions is not None]
                outcome.counters = await control.counts(counted)
                outcome.leaks = await _leaks(order, driver, clients)
                outcome.still_open = await _still_open(order, proxy)
            finally:
                seen = clients.observer
                outcome.attempts, outcome.ids = seen.attempts, seen.ids
                outcome.warnings, outcome.lost_connections = seen.warnings, seen.lost_connections
                outcome.proxy = proxy.report()
    finally:
        wrong = await driver.stop()
        await asyncio.to_thread((out / "driver.log").write_text, driver.wrote(), "utf-8")
    if wrong is not None:
        outcome.leaks = [*outcome.leaks, wrong]


async def _leaks(order: Order, driver: Driver, clients: Clients) -> list[str]:
    """What the driver says that it left behind, once all clients are closed."""
    try:
        async with asyncio.timeout(order.patience):
            await clients.close()
    except TimeoutError:
        raise DriverHang(f"its clients are not closed in {order.patience} s") from None
    return await driver.reset()


async def _still_open(order: Order, proxy: FaultProxy) -> int:
    """Sockets of closed clients: none, as soon as their ends have arrived."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(order.patience):
            await proxy.vacated()
    return proxy.open_count


def _requests(order: Order) -> Iterator[tuple[str, Asked]]:
    rng = Random(f"{order.seed}/requests")
    for number in range(1, order.requests + 1):
        name = f"r{number}"
        yield name, mixed(rng, name)


def _tell_now_and_then(order: Order, command: DriverCommand, done: int) -> None:
    if done % max(1, order.requests // 10) == 0:
        order.tell(f"{command.name}: {done} of {order.requests} requests")


def _token(order: Order, sub: str, run: str) -> str:
    given: dict[str, Any] = {**order.manifest.jwt.get("claims", {})}
    if sub == "controller":
        given["permissions"] = ["request:conf.control"]
    return sign(
        claims(sub, f"faults-{run}", exp=int(time.time()) + 24 * 3600, **given), order.secret
    )


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


@asynccontextmanager
async def _server(order: Order) -> AsyncIterator[ServerUnderTest]:
    manifest, fixtures = order.manifest, order.out / "fixtures"
    server: ServerUnderTest
    if manifest.url is not None:
        server = ExternalServer(manifest, fixtures)
    else:
        limits = {name: value for name, value in _LIMITS.items() if name in manifest.limits}
        needs = {"handlers": "conf", "limits": limits}
        server = ServerProcess(manifest, needs, fixtures.resolve(), order.secret)
    try:
        if manifest.url is None:
            await server.start()
        yield server
    finally:
        await server.stop()
