# SPDX-License-Identifier: Apache-2.0
"""A world in which everything goes wrong: one client, a right server, a bad network; all by chance.

The server is a model of PROTOCOL 5 and 10 in a page. What the client sends is judged as it arrives
(`_judge`), what its iterators get is compared with the server's logs at every step. A run is one
seed, and can be repeated.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Any

from longcall import (
    Chunk,
    Detached,
    Event,
    LongcallError,
    Options,
    Progress,
    ReaderLimits,
    RequestError,
    Status,
)
from longcall.protocol import (
    ClientProtocol,
    Close,
    EventReader,
    Open,
    Send,
    TrackedRequest,
)
from longcall.testing.messages import (
    acknowledgment,
    chunk,
    complete,
    failure,
    processing,
    progress,
    snapshot,
    welcome,
)

Message = dict[str, Any]
MAX_IN_FLIGHT = 3


@dataclass
class Stored:
    """A request in the server's store."""

    log: list[Message]
    is_finished: bool = False
    cancel_requested: bool = False
    version: int = 0


@dataclass
class Wire:
    """A connection: two queues, and what the server knows of it."""

    to_server: deque[Message] = field(default_factory=deque)
    to_client: deque[Message] = field(default_factory=deque)
    cursors: dict[str, int] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    is_going: bool = False  # goaway was handed to the client


@dataclass
class Iterator:
    """An iterator of the application, and what it got."""

    state: TrackedRequest
    reader: EventReader
    speed: float
    seqs: list[int] = field(default_factory=list)


class World:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.troubles = True
        self.store: dict[str, Stored] = {}
        self.quick: dict[str, int] = {}
        self.sent_once: set[str] = set()
        self.wires: dict[int, Wire] = {}
        self.opening: list[int] = []
        self.closing: list[int] = []
        self.states: dict[str, TrackedRequest] = {}
        self.iterators: list[Iterator] = []
        self.waiters: list[TrackedRequest] = []
        self.client = ClientProtocol(
            Options(
                random=self.random.random,
                reader=ReaderLimits(max_events=2),
                clock=lambda: self.now,
            ),
            "0",
        )
        self.client.start(self.now)
        self._do()

    # Running.

    def run(self, steps: int) -> None:
        """Lets everything happen by chance, then lets it come to rest without troubles."""
        for _ in range(steps):
            self._step()
        self.troubles = False
        for _ in range(100_000):
            if not self._step() and self._is_over():
                break
        self._check_end()

    def _step(self) -> bool:
        """Does one thing; False if there was nothing to do but to wait."""
        chance = self.random.random()
        if self.troubles and chance < 0.06:
            self.random.choice([self._cut, self._cut, self._goaway, self._close])()
        elif self.troubles and chance < 0.25:
            self.random.choice(
                [self._submit, self._attach, self._iterate, self._leave, self._cancel, self._ask,
                 self._wait]
            )()  # fmt: skip
        elif chance < 0.35:
            self._work()
        elif chance < 0.45:
            self._read()
        elif not self._carry():
            self.now += self.random.choice([0.01, 0.5, 5.0])
            self.client.handle_timeout(self.now)
            self._do()
            return self._read() or self._work()
        return True

    def _do(self) -> None:
        while effects := self.client.take_effects():
            for effect in effects:
                match effect:
                    case Open(link, _):
                        assert all(wire.is_going for wire in self.wires.values()), "two sockets"
                        self.opening.append(link)
                    case Send(link, text):
                        message = json.loads(text)
                        self._judge(self.wires[link], message)
                        self.wires[link].to_server.append(message)
                    case Close(link, _, _):
                        self.closing.append(link)

    def _judge(self, wire: Wire, message: Message) -> None:
        """What no client may send, whatever has happened."""
        kind = message["type"]
        if wire.is_going:
            assert kind in ("cancel", "pong"), f"{kind} after goaway"
        if kind == "request":
            again = message["id"] in self.sent_once
            assert message.get("resend", False) == again, "resend is wrong"
            assert not any(message["id"] in other.unanswered for other in self.wires.values())
            self.sent_once.add(message["id"])
            wire.unanswered.add(message["id"])
        elif kind == "attach":
            assert message["request_id"] not in wire.unanswered, "attach before the answer"

    # The network.

    def _carry(self) -> bool:
        """Carries one message, opens or closes one socket; False if there is none."""
        choices = [("server", n) for n, wire in self.wires.items() if wire.to_server]
        choices += [("client", n) for n, wire in self.wires.items() if wire.to_client]
        choices += [("log", n) for n, wire in self.wires.items() if self._behind(wire)]
        choices += [("open", n) for n in self.opening] + [("close", n) for n in self.closing]
        if not choices:
            return False
        what, link = self.random.choice(choices)
        match what:
            case "open":
                self.opening.remove(link)
                if self.troubles and self.random.random() < 0.2:
                    self.client.handle_open_failed(link, self.now)
                else:
                    self.wires[link] = Wire()
                    self.client.handle_opened(link, "token", self.now)
            case "close":
                self.closing.remove(link)
                if link in self.opening:
                    self.opening.remove(link)
                self.wires.pop(link, None)
                self.client.handle_closed(link, None, "", self.now)
            case "log":
                self._send_event(self.wires[link])
            case "server":
                wire = self.wires[link]
                self._serve(wire, wire.to_server.popleft())
            case _:
                self._hand_over(link)
        self._do()
        return True

    def _hand_over(self, link: int) -> None:
        wire = self.wires[link]
        message = wire.to_client.popleft()
        if message["type"] == "goaway":
            wire.is_going = True
        answered = message["type"] in ("response", "acknowledgment")
        if answered or message.get("reply_to") == "request":
            wire.unanswered.discard(message.get("request_id", ""))
        self.client.handle_text(link, json.dumps(message), self.now)

    def _lose(self, code: int | None) -> None:
        live = [link for link in self.wires if link not in self.closing]
        if live:
            link = self.random.choice(live)
            del self.wires[link]
            self.client.handle_closed(link, code, "", self.now)
            self._do()

    def _cut(self) -> None:
        self._lose(None)

    def _close(self) -> None:
        self._lose(self.random.choice([1001, 1012, 1013, 4408]))

    def _goaway(self) -> None:
        if self.wires:
            wire = self.wires[max(self.wires)]
            wait = self.random.choice([0, 300])
            wire.to_client.append({"type": "goaway", "reason": "", "reconnect_after_ms": wait})

    # The server.

    def _serve(self, wire: Wire, message: Message) -> None:
        match message["type"]:
            case "hello":
                wire.to_client.append(welcome(limits={"max_in_flight": MAX_IN_FLIGHT}))
            case "request":
                self._serve_request(wire, message)
            case "attach":
                self._serve_attach(wire, message)
            case "detach":
                wire.cursors.pop(message["request_id"], None)
            case "cancel":
                self._serve_cancel(wire, message["request_id"])

    def _refuses(self, wire: Wire, message: Message, request_id: str) -> bool:
        if not (self.troubles and self.random.random() < 0.05):
            return False
        refusal = failure("UNAVAILABLE", retryable=True, reply_to=message["type"])
        wire.to_client.append({**refusal, "request_id": request_id})
        return True

    def _serve_request(self, wire: Wire, message: Message) -> None:
        request_id = message["id"]
        stored = self.store.get(request_id)
        if self._refuses(wire, message, request_id):
            return
        if stored is None and message["action"] == "quick" and not message.get("resend"):
            self.quick[request_id] = self.quick.get(request_id, 0) + 1
            answer = {"type": "response", "request_id": request_id, "result": request_id}
            wire.to_client.append(answer)
            return
        if stored is None:
            running = sum(not other.is_finished for other in self.store.values())
            assert running < MAX_IN_FLIGHT, "over max_in_flight"
            self.store[request_id] = Stored([acknowledgment(request_id)])
            wire.to_client.append(acknowledgment(request_id))
        else:
            wire.to_client.append({**stored.log[0], "duplicate": True})
        wire.cursors[request_id] = 1

    def _serve_attach(self, wire: Wire, message: Message) -> None:
        request_id = message["request_id"]
        stored = self.store.get(request_id)
        if self._refuses(wire, message, request_id):
            return
        if stored is None or message["after_seq"] > len(stored.log):
            code = "NOT_FOUND" if stored is None else "CONFLICT"
            wire.to_client.append(failure(code, reply_to="attach", request_id=request_id))
            return
        wire.to_client.append(self._snapshot(request_id, "attach"))
        wire.cursors.pop(request_id, None)
        if message.get("follow", True):
            wire.cursors[request_id] = message["after_seq"]
        else:
            wire.to_client.extend(stored.log[message["after_seq"] :])

    def _serve_cancel(self, wire: Wire, request_id: str) -> None:
        stored = self.store.get(request_id)
        if stored is None:
            wire.to_client.append(failure("NOT_FOUND", reply_to="cancel", request_id=request_id))
            return
        if self._refuses(wire, {"type": "cancel"}, request_id):
            return
        stored.cancel_requested = True
        wire.to_client.append(self._snapshot(request_id, "cancel"))

    def _snapshot(self, request_id: str, reply_to: str) -> Message:
        stored = self.store[request_id]
        status = "completed" if stored.is_finished else "processing"
        return snapshot(request_id, reply_to, status=status, last_seq=len(stored.log))

    def _behind(self, wire: Wire) -> list[str]:
        return [
            request_id
            for request_id, position in wire.cursors.items()
            if position < len(self.store[request_id].log)
        ]

    def _send_event(self, wire: Wire) -> None:
        request_id = self.random.choice(self._behind(wire))
        stored = self.store[request_id]
        wire.to_client.append(stored.log[wire.cursors[request_id]])
        wire.cursors[request_id] += 1
        if stored.is_finished and wire.cursors[request_id] == len(stored.log):
            del wire.cursors[request_id]
        elif self.random.random() < 0.2:
            stored.version += 1
            wire.to_client.append(progress(request_id, 1, stored.version))

    def _work(self) -> bool:
        """A worker does one thing for one request; False if all are finished."""
        running = [item for item in self.store.items() if not item[1].is_finished]
        if not running:
            return False
        request_id, stored = self.random.choice(running)
        seq = len(stored.log) + 1
        if stored.cancel_requested:
            stored.log.append(failure("CANCELLED", request_id=request_id, seq=seq))
            stored.is_finished = True
        elif self.random.random() < 0.06:
            stored.log.append(complete(request_id, seq, request_id))
            stored.is_finished = True
        else:
            event = processing if seq == 2 else chunk
            stored.log.append(event(request_id, seq))
        return True

    # The application.

    def _submit(self) -> None:
        request_id = f"r{len(self.states)}"
        action = self.random.choice(["work", "work", "quick"])
        state = self.client.submit(request_id, action, None, self.now, is_own_id=True)
        self.states[request_id] = state
        if self.random.random() < 0.8:
            self._iterate_on(state)
        self._do()

    def _attach(self) -> None:
        if self.store:
            request_id = self.random.choice(list(self.store))
            state = self.client.attach(request_id, self.now)
            self.states[request_id] = state
            self._do()

    def _iterate(self) -> None:
        if self.states:
            self._iterate_on(self.random.choice(list(self.states.values())))

    def _iterate_on(self, state: TrackedRequest) -> None:
        reader = self.client.open_reader(state, self.now)
        speed = self.random.choice([1.0, 0.3, 0.02])
        self.iterators.append(Iterator(state, reader, speed))
        self._do()

    def _leave(self) -> None:
        if self.iterators:
            iterator = self.random.choice(self.iterators)
            self.iterators.remove(iterator)
            self.client.close_reader(iterator.state, iterator.reader, self.now)
            if self.random.random() < 0.3 and iterator.state.handles > 0:
                self.client.release(iterator.state, self.now)
                self.client.retain(iterator.state, self.now)
            self._do()

    def _cancel(self) -> None:
        if self.states and self.random.random() < 0.3:
            state = self.random.choice(list(self.states.values()))
            self.client.cancel(state, None, self.now)
            self._do()

    def _ask(self) -> None:
        if self.states:
            state = self.random.choice(list(self.states.values()))
            self.client.snapshot(state, self.now)
            self._do()

    def _wait(self) -> None:
        if self.states:
            state = self.random.choice(list(self.states.values()))
            self.client.add_waiter(state, self.now)
            self.waiters.append(state)
            self._do()

    def _read(self) -> bool:
        """The iterators take what has arrived; each event is the next one, as it was stored."""
        has_read = False
        for iterator in self.iterators:
            if self.troubles and self.random.random() > iterator.speed:
                continue
            size = self.random.choice((1, 3))
            batch = self.client.next_events(iterator.state, iterator.reader, size, self.now)
            self._do()
            has_read = has_read or bool(batch)
            assert len(batch) <= size
            assert not any(isinstance(event, Progress) for event in batch[1:])
            for event in batch:
                self._took(iterator, event)
        return has_read

    def _took(self, iterator: Iterator, event: Event) -> None:
        if isinstance(event, Progress):
            return
        expected = len(iterator.seqs) + 1
        assert event.seq == expected, f"{event.seq} instead of {expected}"
        iterator.seqs.append(event.seq)
        stored = self.store[iterator.state.id].log[event.seq - 1]
        assert isinstance(event, Chunk if stored["type"] == "chunk" else Status)

    # The end.

    def _is_over(self) -> bool:
        return all(state.outcome is not None for state in self.states.values()) and all(
            iterator.reader.is_over and iterator.reader.waiting == 0 for iterator in self.iterators
        )

    def _check_end(self) -> None:
        for request_id, state in self.states.items():
            outcome = state.outcome
            assert outcome is not None, f"{request_id} never ended ({state.phase})"
            if isinstance(outcome.error, Detached):
                assert not state.sends, "withdrawn after it was sent"
                continue
            stored = self.store.get(request_id)
            self._check_outcome(request_id, outcome.result, outcome.error, stored)
        for iterator in self.iterators:
            if iterator.reader.error is None:
                log = self.store[iterator.state.id].log if iterator.seqs else []
                assert len(iterator.seqs) == max(0, len(log) - 1)
        for count in self.quick.values():
            assert count == 1, "a quick request ran twice without resend"

    def _check_outcome(
        self, request_id: str, result: object, error: LongcallError | None, stored: Stored | None
    ) -> None:
        if error is None:
            assert result == request_id
            return
        assert isinstance(error, RequestError)
        if stored is None:
            assert error.code in ("UNAVAILABLE", "NOT_FOUND")
        elif error.code == "CANCELLED":
            assert stored.log[-1]["error"]["code"] == "CANCELLED"
        else:
            raise AssertionError(f"{request_id}: {error} although it is stored")
