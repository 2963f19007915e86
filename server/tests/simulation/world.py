# SPDX-License-Identifier: Apache-2.0
"""One schedule: nodes, clients, a storm of faults, then calm, and what must be true in the end."""

from __future__ import annotations

import gc
import hashlib
import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from longcall_server import RequestContext
from longcall_server.core.messages import Limits
from longcall_server.stores.base import Owner, Record, RequestKey, StoreLimits
from longcall_server.stores.memory import MemoryStore
from simulation import handlers
from simulation.bus import Bells
from simulation.client import Client, Handle
from simulation.ledger import Ledger
from simulation.loop import LIFE, Life, VirtualLoop
from simulation.network import Link
from simulation.node import Node
from simulation.script import Script
from simulation.store import ShakyStore
from simulation.story import OVER
from simulation.weather import StoreFault, Weather
from simulation.wire import Wire

EPOCH_MS = 1_764_000_000_000
ANN = Owner("acme", "ann")
ID_RETENTION_MS = 600_000
PATIENCE_S = 150.0
"""Virtual seconds of calm within which everything acknowledged must have ended."""
_SHOWN = 80
_TROUBLE = frozenset(
    {*StoreFault, "store unavailable", "node crashes", "node stalls", "node drains"}
)
"""After these it may take longer than the grace until a worker hears of a cancel."""


@dataclass(frozen=True)
class Result:
    """What became of a schedule."""

    seed: int
    violations: tuple[str, ...]
    counts: Counter[str]
    steps: int
    log: tuple[tuple[float, tuple[Any, ...]], ...] = ()

    @property
    def trace(self) -> tuple[str, ...]:
        """Every step, a line each."""
        return tuple(f"{at:9.3f}  {' '.join(map(str, what))}" for at, what in self.log)

    @property
    def digest(self) -> str:
        """What tells two schedules apart."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()

    def failure(self, shown: int = _SHOWN) -> str:
        """What somebody who has to repair it needs to see."""
        lines = [f"seed {self.seed} broke:", *(f"  {text}" for text in self.violations)]
        trace = self.trace
        lines.append(f"the last of {len(trace)} lines:")
        lines += [f"  {text}" for text in trace[-shown:]]
        lines.append(f"again: cd server/tests && python -m simulation --seed {self.seed}")
        return "\n".join(lines)


class World:
    """Everything of one schedule; for the parts it is sky, ground and stage."""

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.seed = seed
        self.loop = loop
        self.dice = random.Random(seed)
        self.over = False
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self.log: list[tuple[float, tuple[Any, ...]]] = []
        self.script = Script(self.dice)
        self.weather = Weather.draw(self.dice, self.count, self.script.storm_s)
        self.inner = MemoryStore(
            limits=StoreLimits(self.script.max_log_bytes, ID_RETENTION_MS, self.script.max_waiting),
            clock=self.now,
            random=self.dice.random,
        )
        self.ledger = Ledger(
            self.inner,
            violate=self.violate,
            count=self.count,
            is_well=self.is_well,
            id_retention_ms=ID_RETENTION_MS,
            max_log_bytes=self.script.max_log_bytes,
            max_waiting=self.script.max_waiting,
        )
        self.limits = Limits(
            max_message_bytes=65_536,
            max_depth=64,
            max_in_flight=self.script.max_in_flight,
            messages_per_minute=60_000,
            message_burst=1_000,
            max_log_bytes=self.script.max_log_bytes,
            id_retention_ms=ID_RETENTION_MS,
        )
        self.nodes: list[Node] = []
        self.clients: list[Client] = []
        # Both of one tenant, or of two.
        self.owners = (ANN, Owner(("acme", "beta")[seed % 2], "bob"))
        self.ids: dict[Owner, list[str]] = {owner: [] for owner in self.owners}
        self.messages: dict[str, dict[str, Any]] = {}
        self.lives: list[Life] = []
        self._links = 0
        self._calm_since = 0.0
        self._trouble_at = 0
        self._quiet_for = 0
        self._is_after = False

    # --- What the parts ask for ---------------------------------------------------------------

    def time(self) -> float:
        return self.loop.time()

    def now(self) -> int:
        return EPOCH_MS + int(self.loop.time() * 1000 + 1e-6)

    def later(self, delay: float, what: Callable[..., object], *args: Any) -> None:
        self.loop.call_at(self.loop.time() + delay, what, *args, context=self._nobody())

    def at(self, when: float, what: Callable[..., object], *args: Any) -> None:
        self.loop.call_at(when, what, *args, context=self._nobody())

    def latency(self) -> float:
        return self.dice.choice((0.0, 0.001, 0.004, 0.02, 0.02, 0.15))

    def trace(self, *what: Any) -> None:
        if not self.over:
            self.log.append((self.loop.time(), what))

    def count(self, what: str) -> None:
        self.counts[what] += 1
        if what in _TROUBLE:
            self._trouble_at = self.now()

    def is_well(self, record: Record, since: int) -> bool:
        """Whether this attempt's node lives and has begun it, and nothing was in the way since."""
        if (record.key, record.attempt) not in self.ledger.executions:
            return False  # the answer to the claim was lost: the node does not know of it
        if self._trouble_at >= since or any(node.life.stalled for node in self.nodes):
            return False
        return any(node.name == record.lease_worker and not node.closing for node in self.nodes)

    def violate(self, clause: str, what: str) -> None:
        if not self.over:
            self.violations.append(f"PROTOCOL {clause}: {what}")
            self.trace("VIOLATION", clause, what)
            self.loop.stop()

    def began(self, ctx: RequestContext) -> None:
        key = RequestKey(Owner(ctx.tenant_id, ctx.sub), ctx.request_id)
        place = (key, ctx.attempt)
        self.ledger.executions[place] = self.ledger.executions.get(place, 0) + 1
        self.count("handler runs")
        story = self.ledger.stories.get(key)
        if ctx.action in handlers.QUICK:
            return
        if story is None or self.ledger.executions[place] > 1:
            self.violate("5.1.5", f"attempt {ctx.attempt} of {key.id} runs twice, or unstored")
        elif ctx.attempt > 1 and ctx.chunks_kept_to > story.kept_to:
            self.violate("5.5.2", f"attempt {ctx.attempt} of {key.id} got another checkpoint")

    def reported(self, ctx: RequestContext, version: int) -> None:
        key = RequestKey(Owner(ctx.tenant_id, ctx.sub), ctx.request_id)
        self.ledger.reports[key, ctx.attempt] = version

    def happened(self, what: str) -> None:
        self.count(what)

    # --- Nodes --------------------------------------------------------------------------------

    def start_node(self) -> None:
        """Another process of the server begins."""
        process = Process(self, f"node-{len(self.lives) + 1}")
        self.lives.append(process.life)
        store = ShakyStore(self.ledger, self.weather, process, now=self.now, trace=self.trace)
        node = process.node = Node(
            process.life,
            store,
            self.bells,
            self.limits,
            concurrency=self.script.concurrency,
            tenant_concurrency=self.script.tenant_concurrency,
            owner_concurrency=self.script.owner_concurrency,
        )
        self.nodes.append(node)
        self.trace(node.name, "starts")
        node.start()

    def crash(self, node: Node) -> None:
        """Nothing of this node runs any more, not even what cleans up."""
        if node.life.dead:
            return
        self.trace(node.name, "crashes")
        node.life.dead = True
        self._node_gone(node)

    def stall(self, node: Node) -> None:
        """Nothing of this node runs for a while; then everything goes on."""
        if node.life.dead or node.life.stalled:
            return
        node.life.stalled = True
        pause = self.dice.choice((0.5, 3.0, 7.0, 10.0))
        self.trace(node.name, "stalls", pause)
        self.later(pause, self._resume, node)

    def stop_node(self, node: Node) -> None:
        """Stops a node in the orderly way."""
        if node.life.dead or node.closing:
            return
        self.count("node drains")
        grace = self.dice.choice((0.0, 0.5, 4.0))
        self.trace(node.name, "drains", grace)
        task = node.stop(grace)
        task.add_done_callback(lambda _: self._stopped(node), context=self._nobody())

    def _resume(self, node: Node) -> None:
        if node.life.stalled and not node.life.dead:
            self.trace(node.name, "goes on")
            self._trouble_at = self.now()
            self.loop.resume(node.life)

    def _stopped(self, node: Node) -> None:
        if not node.life.dead:
            self.trace(node.name, "has stopped")
            node.life.dead = True
            self._node_gone(node)

    def _node_gone(self, node: Node) -> None:
        node.bus.leave()
        self.nodes.remove(node)
        for link in node.links:
            link.cut(self.latency(), 0.0)
        self.later(self.dice.choice((0.2, 2.0, 8.0)), self.start_node)

    # --- Clients ------------------------------------------------------------------------------

    def dial(self, client: Client) -> Link | None:
        """A connection to a node that takes one."""
        open_nodes = [node for node in self.nodes if not node.life.dead]
        if not open_nodes:
            return None
        node = self.dice.choice(open_nodes)
        self._links += 1
        name = f"{client.name}-{node.name}-{self._links}"
        link = Link(name, self, client, Wire(name, client.owner, self.ledger, self.violate))
        self.later(self.latency(), self._accept, node, link)
        return link

    def _accept(self, node: Node, link: Link) -> None:
        if node.life.dead:
            link.cut(0.0, 0.0)
        else:
            node.accept(link)

    def add_client(self, owner: Owner) -> Client:
        """Another program of an owner."""
        client = Client(f"client-{len(self.clients) + 1}", owner, self, self.violate)
        self.clients.append(client)
        client.connect()
        return client

    @property
    def alive(self) -> list[Client]:
        """Clients that have not crashed."""
        return [client for client in self.clients if not client.gone]

    # --- The schedule -------------------------------------------------------------------------

    def begin(self) -> None:
        """Sets everything up; called on the running loop."""
        self.bells = Bells(self.weather)
        for _ in range(2):
            self.start_node()
        for number in range(self.script.clients):
            self.add_client(self.owners[0] if number < 2 else self.owners[1])
        for at, name in self.script.deeds:
            self.at(at, self._do, name)
        self.at(self.script.storm_s, self._calm)

    def _do(self, name: str) -> None:
        self.script.do(name, self)

    def _calm(self) -> None:
        self.trace("calm")
        self.weather.clear()
        self._calm_since = self.loop.time()
        for client in self.alive:
            for link in (client.link, client.old):
                if link is not None:
                    link.go_on()
        self.later(1.0, self._look)

    def _look(self) -> None:
        """Once a second, until everything has ended and been told."""
        waits = self.unfinished()
        if not waits:
            self._quiet_for += 1
        if self.loop.time() - self._calm_since > PATIENCE_S:
            for what in waits:
                self.violate("9, 1.1.3", f"{PATIENCE_S:.0f} s of calm were not enough: {what}")
            self.loop.stop()
        elif self._quiet_for == 1 and not self._is_after:
            self._is_after = True
            self.script.afterwards(self)
            self.later(1.0, self._look)
        elif not waits and self._quiet_for > self.script.linger_s:
            self.loop.stop()
        else:
            self.later(1.0, self._look)

    def unfinished(self) -> list[str]:
        """What still has to happen."""
        waits = [
            f"{story.key.id} is {story.state}"
            for story in self.ledger.stories.values()
            if story.state is not OVER
        ]
        for client in self.alive:
            waits += [
                f"{client.name} waits for {handle.id} after {handle.last}"
                for handle in client.handles.values()
                if handle.is_open
            ]
            waits += [f"{client.name} lists" for done in client.listed.values() if not done]
        return waits

    def judge(self) -> None:
        """What must be true when all is over."""
        self.ledger.whole_logs()
        for story in self.ledger.stories.values():
            if story.state is not OVER:
                self.violate("5.8.1", f"{story.key.id} never ended")
        for client in self.clients:
            for handle in client.handles.values():
                self._judge_handle(client, handle)
            kept = set(self.ledger.kept(client.owner))
            for name, ids in client.listings.items():
                asked = self.script.expected[name]
                expected = [id for id in asked if id in kept or id in ids]
                # What was stored later, by a node that was late, may be there or not: once.
                later = {id for id in ids if id not in asked and ids.count(id) == 1}
                if (
                    not client.gone
                    and client.listed[name]
                    and ([id for id in ids if id not in later] != expected)
                ):
                    self.violate("10.47.5", f"{ids} listed for {expected}")

    def _judge_handle(self, client: Client, handle: Handle) -> None:
        """What a client has seen of a request must be true, and the whole of it."""
        key = RequestKey(client.owner, handle.id)
        story = self.ledger.stories.get(key)
        if handle.outcome in ("complete", "error"):
            if story is None or handle.last != len(story.frames):
                self.violate("1.1.4", f"{client.name} has not the whole of {handle.id}")
        elif handle.outcome in ("refused", "response", "executed") and story is not None:
            alone = handle.sendings == 1 and self.ledger.sendings[key] == 1
            if alone:
                self.violate("10.3.1", f"{handle.id} is stored: {handle.outcome}")

    def finish(self) -> None:
        """Ends what is left of the living and of the dead; nothing of it is looked at."""
        self.over = True
        self.weather.calm = True
        self.weather.outages = [(0.0, float("inf"))]
        for _ in range(20):
            if not self.loop.left:
                return
            self.loop.bury(self.lives)
            self.later(5.0, self.loop.stop)
            self.loop.run_forever()
        raise AssertionError(f"tasks do not end: {self.loop.left}")

    @staticmethod
    def _nobody() -> Any:
        return _NOBODY.copy()


class Process:
    """A node, as its store sees it."""

    def __init__(self, world: World, name: str) -> None:
        self.life = Life(name)
        self.name = name
        self.node: Node
        self._world = world

    def crash(self) -> None:
        self._world.crash(self.node)

    def stall(self) -> None:
        self._world.stall(self.node)


class _Complaints(logging.Handler):
    """Whatever the server logs as an error is one, but for what the handlers were told to do."""

    world: World | None = None

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if self.world is not None and not isinstance(error, handlers.Planned):
            text = record.getMessage() + ("" if error is None else f" {error!r}")
            self.world.violate("no clause", f"the server logs {text}")


_NOBODY = Life("nobody").context()
_NOBODY.run(LIFE.set, None)
_COMPLAINTS = _Complaints(logging.ERROR)


def run(seed: int) -> Result:
    """Runs the schedule of a seed, the same every time."""
    loop = VirtualLoop()
    logger = logging.getLogger("longcall_server")
    level, propagate = logger.level, logger.propagate
    collects = gc.isenabled()
    state = random.getstate()
    random.seed(seed)  # the gateway draws when clients move from it
    gc.disable()  # a task of a dead process must not be collected while others live
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.addHandler(_COMPLAINTS)
    try:
        world = _COMPLAINTS.world = World(seed, loop)
        handlers.set_stage(world)
        loop.set_exception_handler(lambda _, problem: _unhandled(world, problem))
        loop.call_soon(world.begin, context=_NOBODY.copy())
        loop.run_forever()
        if not world.violations:
            world.judge()
        steps = loop.steps
        world.finish()
    finally:
        _COMPLAINTS.world = None
        logger.removeHandler(_COMPLAINTS)
        logger.setLevel(level)
        logger.propagate = propagate
        random.setstate(state)
        if collects:
            gc.enable()
        loop.close()
    return Result(seed, tuple(world.violations), world.counts, steps, tuple(world.log))


def _unhandled(world: World, problem: dict[str, Any]) -> None:
    world.violate("no clause", f"unhandled: {problem.get('message')} {problem.get('exception')!r}")
