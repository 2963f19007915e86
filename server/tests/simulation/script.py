# SPDX-License-Identifier: Apache-2.0
"""What the clients, the operator and fate do in one schedule: drawn from its seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from longcall_server.stores.base import ListFilter, RequestKey
from simulation.client import Client, Handle
from simulation.handlers import ACTIONS, QUICK, SYNC_WINDOW_MS, Plan
from simulation.ledger import at_once
from simulation.story import OVER, RUNNING

if TYPE_CHECKING:
    from simulation.world import World

_WAITS: Final = (0, 5, 60, 400, 600, 640, 900, 2_500, 5_000, 9_000)


class Script:
    """The deeds of a schedule: `(when, which)`, in seconds of the storm."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.storm_s = dice.choice((6.0, 12.0, 18.0))
        self.clients = dice.choice((2, 3, 3))
        self.concurrency = dice.choice((1, 3, 8))
        limits: tuple[int | None, int | None] = dice.choice(((None, None), (None, 2), (2, 1)))
        self.tenant_concurrency, self.owner_concurrency = limits
        self.max_in_flight, self.max_waiting = dice.choice(
            ((3, 100), (100, 100), (100, 100), (100, 2))
        )
        self.max_log_bytes = dice.choice((16_384, 16_384, 1 << 20))
        self.linger_s = dice.choice((1, 1, 1, 30))
        """How long after the end of everything the retention is watched."""
        self.late = self.linger_s > 1
        self._numbers = 0
        self.expected: dict[str, list[str]] = {}
        self.deeds = sorted(self._draw())

    def do(self, name: str, world: World) -> None:
        """Does one deed, if there is somebody and something to do it with."""
        clients = [client for client in world.alive if client.link is not None]
        DEEDS[name][1](self, world, self._dice.choice(clients) if clients else None)

    def afterwards(self, world: World) -> None:
        """Everything has ended: each owner lists it, page by page."""
        listed = set()
        for client in world.alive:
            if client.owner in listed:
                continue
            page = at_once(world.inner.list(ListFilter(client.owner), limit=10_000))
            name = f"all-{client.name}"
            if client.list_all(name):
                listed.add(client.owner)
                self.expected[name] = [record.key.id for record in page.records]
                kept = world.ledger.kept(client.owner)
                if sorted(self.expected[name]) != sorted(kept):
                    world.violate("10.47.5", f"{self.expected[name]} of {kept}")
        if self.late:
            world.later(self.linger_s - 4, self._knock, world)

    def _knock(self, world: World) -> None:
        """Somebody sends an id again whose log retention has removed."""
        removed = [story for story in world.ledger.stories.values() if story.removed_at]
        for story in removed[:2]:
            client = next((one for one in world.alive if one.owner == story.key.owner), None)
            message = world.messages.get(story.key.id)
            if client is not None and message is not None:
                world.count("expired id sent again")
                client.submit({**message, "resend": True})

    def _draw(self) -> list[tuple[float, str]]:
        dice = self._dice
        drawn = []
        for name, (weight, _) in DEEDS.items():
            for _ in range(dice.choice(weight)):
                last = 0.6 * self.storm_s if name.startswith("submit") else self.storm_s
                drawn.append((dice.uniform(0.1, last), name))
        return drawn

    # --- Requests -----------------------------------------------------------------------------

    def _message(self) -> dict[str, Any]:
        """A new request."""
        dice = self._dice
        self._numbers += 1
        action = dice.choice((*ACTIONS, *QUICK))
        payload: dict[str, Any] = {
            "plans": [self._plan() for _ in range(dice.choice((1, 1, 2, 3)))]
        }
        if action in QUICK and dice.random() < 0.3:
            # Ends while its promotion is under way, or a moment before or after.
            payload["plans"] = [[["wait", SYNC_WINDOW_MS + dice.randint(-5, 60)]]]
        if dice.random() < 0.25:
            payload["stubborn"] = True
        message: dict[str, Any] = {
            "type": "request",
            "id": f"r{self._numbers}",
            "action": action,
            "payload": payload,
        }
        if dice.random() < 0.15:
            message["delay_ms"] = dice.choice((200, 3_000))
        if dice.random() < 0.2:
            message["deadline_ms"] = dice.choice((500, 4_000, 20_000)) + message.get("delay_ms", 0)
        if dice.random() < 0.2:
            message["priority"] = dice.randint(0, 9)
        return message

    def _plan(self) -> Plan:
        dice = self._dice
        plan: Plan = []
        for _ in range(dice.choice((0, 1, 3, 6))):
            step = dice.choice(("wait", "wait", "chunk", "mark", "save", "progress", "progress"))
            plan.append([step, dice.choice(_WAITS)] if step == "wait" else [step])
        if dice.random() < 0.07:
            plan += [["bulk", 2_500]] * dice.choice((1, 5, 6)) + [["bulk", 200]] * 5
        if dice.random() < 0.35:
            plan.append(dice.choice((["fail", True], ["fail", True], ["fail", False], ["crash"])))
        return plan

    def some_handle(self, client: Client) -> Handle | None:
        """A request that a client follows and that has not ended."""
        handles = [handle for handle in client.handles.values() if handle.is_open]
        return self._dice.choice(handles) if handles else None

    def foreign_id(self, world: World, client: Client) -> str | None:
        """An id of the same owner that this client does not follow."""
        ids = [id for id in world.ids[client.owner] if id not in client.handles]
        return self._dice.choice(ids) if ids else None

    # --- Deeds --------------------------------------------------------------------------------

    def submit(self, world: World, _: Client | None) -> None:
        self._submit(world, self._dice.choice(world.alive))

    def _submit(self, world: World, client: Client) -> Handle:
        message = self._message()
        world.ids[client.owner].append(message["id"])
        world.messages[message["id"]] = message
        world.count("client submits")
        return client.submit(message)

    def submit_and_cancel(self, world: World, client: Client | None) -> None:
        """A client thinks better of it before it has an answer, or a little later."""
        if client is not None:
            handle = self._submit(world, client)
            delay = self._dice.choice((0.0, 0.01, 0.3, 0.7))
            world.later(delay, self._cancel_soon, client, handle)

    def _cancel_soon(self, client: Client, handle: Handle) -> None:
        if handle.is_open and not client.gone:
            client.cancel(handle, "second thoughts")

    def copy(self, world: World, client: Client | None) -> None:
        """Another device sends an id that is in use, for the same or for something else."""
        id = None if client is None else self.foreign_id(world, client)
        if client is None or id is None:
            return
        message = dict(world.messages[id])
        if self._dice.random() < 0.4:
            message["payload"] = {**message["payload"], "other": True}
            world.count("another request under a used id")
        else:
            world.count("a used id from elsewhere")
        client.submit(message)

    def attach_elsewhere(self, world: World, client: Client | None) -> None:
        id = None if client is None else self.foreign_id(world, client)
        if client is not None and id is not None:
            world.count("client attaches from elsewhere")
            client.follow(id)

    def attach_beyond(self, world: World, client: Client | None) -> None:
        id = None if client is None else self.foreign_id(world, client)
        if client is not None and id is not None:
            world.count("client attaches beyond the end")
            client.follow(id, 1_000)

    def attach_stranger(self, world: World, client: Client | None) -> None:
        """An id of another owner does not exist."""
        if client is None:
            return
        ids = [id for owner, ids in world.ids.items() if owner != client.owner for id in ids]
        ids = [id for id in ids if id not in client.handles]
        if ids:
            world.count("client attaches to a stranger's request")
            client.follow(self._dice.choice(ids))

    def cancel(self, world: World, client: Client | None) -> None:
        handle = None if client is None else self.some_handle(client)
        if client is not None and handle is not None and not handle.wants_cancel:
            client.cancel(handle, self._dice.choice((None, "typo", "late")))

    def cancel_twice(self, world: World, client: Client | None) -> None:
        """Two devices cancel, for different reasons."""
        if client is None:
            return
        for one in world.alive:
            for handle in tuple(one.handles.values()):
                if one.owner == client.owner and handle.is_open and handle.acknowledged:
                    world.count("two cancels")
                    one.cancel(handle, f"of {one.name}")
                    handle.wants_cancel = True
                    client.cancel(client.handles.get(handle.id) or client.follow(handle.id), "2nd")
                    return

    def detach(self, world: World, client: Client | None) -> None:
        handle = None if client is None else self.some_handle(client)
        if client is not None and handle is not None and handle.settled:
            world.count("client detaches")
            client.detach(handle)

    def read_once(self, world: World, client: Client | None) -> None:
        """What runs is read without following, and followed again right behind it."""
        for one in world.alive:
            for handle in tuple(one.handles.values()):
                story = world.ledger.stories.get(RequestKey(one.owner, handle.id))
                if story is not None and story.state is RUNNING:
                    one.read_once(handle)

    def disconnect(self, world: World, client: Client | None) -> None:
        """The network fails; frames in flight are lost, and a side may be long in noticing."""
        if client is not None and client.link is not None:
            world.count("connection cut")
            slow = self._dice.random() < 0.3
            if slow:
                world.count("connection half open")
            client.link.cut(self._dice.uniform(0, 1), self._dice.uniform(5, 12) if slow else 0.0)

    def hang_up(self, world: World, client: Client | None) -> None:
        """The client closes its socket and comes back."""
        if client is not None and client.link is not None:
            world.count("client disconnects")
            link = client.link
            link.hang_up()
            client.lost(link, 1006)

    def stall_client(self, world: World, client: Client | None) -> None:
        if client is not None and client.link is not None:
            world.count("client takes nothing for a while")
            link = client.link
            link.stall()
            world.later(self._dice.choice((0.5, 3.0, 12.0)), link.go_on)

    def crash_client(self, world: World, client: Client | None) -> None:
        """A program ends and another one of the same owner takes up what it finds."""
        if client is not None and len(world.clients) < 6:
            world.count("client crashes")
            client.crash()
            heir = world.add_client(client.owner)
            for id in self._dice.sample(tuple(client.handles), len(client.handles) // 2):
                heir.follow(id)

    def crash_node(self, world: World, _: Client | None) -> None:
        nodes = [node for node in world.nodes if not node.life.dead]
        if nodes:
            world.count("node crashes")
            world.crash(self._dice.choice(nodes))

    def stall_node(self, world: World, _: Client | None) -> None:
        if world.nodes:
            world.count("node stalls")
            world.stall(self._dice.choice(world.nodes))

    def drain_node(self, world: World, _: Client | None) -> None:
        if world.nodes:
            world.stop_node(self._dice.choice(world.nodes))

    def requeue(self, world: World, _: Client | None) -> None:
        """An operator repeats what has failed."""
        dead = [
            story
            for story in world.ledger.stories.values()
            if story.state is OVER and not story.removed_at and story.record.result is None
        ]
        if dead:
            story = self._dice.choice(dead)
            self._numbers += 1
            new_id = f"q{self._numbers}"
            world.trace("operator requeues", story.key.id, new_id)
            world.ledger.carry_out("requeue", (story.key, new_id), {})


DEEDS: Final[dict[str, tuple[tuple[int, ...], Callable[..., None]]]] = {
    "submit": ((3, 5, 7), Script.submit),
    "submit and cancel": ((0, 0, 1, 1), Script.submit_and_cancel),
    "copy": ((0, 1, 2), Script.copy),
    "attach elsewhere": ((0, 1, 2), Script.attach_elsewhere),
    "attach beyond": ((0, 0, 0, 1), Script.attach_beyond),
    "attach stranger": ((0, 0, 0, 1), Script.attach_stranger),
    "cancel": ((0, 1, 2), Script.cancel),
    "cancel twice": ((0, 0, 0, 1), Script.cancel_twice),
    "detach": ((0, 0, 1), Script.detach),
    "read once": ((0, 1, 3), Script.read_once),
    "cut": ((0, 1, 2), Script.disconnect),
    "hang up": ((0, 0, 1, 3), Script.hang_up),
    "stall client": ((0, 0, 0, 1), Script.stall_client),
    "crash client": ((0, 0, 0, 1), Script.crash_client),
    "crash node": ((0, 0, 1, 2), Script.crash_node),
    "stall node": ((0, 0, 1, 2), Script.stall_node),
    "drain node": ((0, 0, 1), Script.drain_node),
    "requeue": ((0, 0, 1), Script.requeue),
}
"""A deed: how often, drawn from these, and what it is."""
