# SPDX-License-Identifier: Apache-2.0
"""What a node may put on one connection: every frame, judged at the moment at which it is sent."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from longcall_server.stores.base import Owner, RequestKey
from simulation.handlers import QUICK
from simulation.ledger import Ledger
from simulation.story import OVER, Story, Violate, story_time

Message = dict[str, Any]


@dataclass(slots=True)
class Asked:
    """A message of the client that has reached the node."""

    type: str
    message: Message
    at: int
    """When, on the store's clock."""
    stored: bool
    """Whether the request was stored by then."""


@dataclass(slots=True)
class Position:
    """Where the connection stands in one log."""

    seq: int
    until: int | None
    progress: tuple[int, int]


@dataclass(slots=True)
class Wire:
    """The judge of one connection."""

    name: str
    owner: Owner
    ledger: Ledger
    violate: Violate
    asked: defaultdict[str, list[Asked]] = field(default_factory=lambda: defaultdict(list))
    positions: dict[str, Position] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    """Requests that this connection has seen an outcome of without a log."""
    removed: set[str] = field(default_factory=set)
    """Requests whose log was removed while this connection read it."""
    welcomed: bool = False

    def received(self, message: Message, now: int) -> None:
        """The node has got a message."""
        id = message.get("id") if message["type"] == "request" else message.get("request_id")
        if id is not None:
            story = self._story(id)
            stored = story is not None and story.removed_at is None
            self.asked[id].append(Asked(message["type"], message, now, stored))
            if message["type"] == "request":
                self.ledger.sendings[RequestKey(self.owner, id)] += 1

    def posted(self, frame: Message, text: str, now: int) -> None:
        """The node sends a frame."""
        kind = frame["type"]
        if not self.welcomed and kind not in ("welcome", "error"):
            self.violate("4.2", f"{self.name}: {kind} before the welcome")
        match kind:
            case "welcome":
                self.welcomed = True
            case "acknowledgment" if self._is_replay(frame):
                self._numbered(frame, text)
            case "acknowledgment":
                self._acknowledged(frame, text)
            case "status" | "chunk" | "complete":
                self._numbered(frame, text)
            case "error" if "seq" in frame:
                self._numbered(frame, text)
            case "error":
                self._refused(frame)
            case "response":
                self._without_log(frame, "10.8.2")
            case "progress":
                self._progress(frame)
            case "snapshot":
                self._snapshot(frame)

    # --- Frames -------------------------------------------------------------------------------

    def _is_replay(self, frame: Message) -> bool:
        """Whether event 1 comes as a part of the log and not as the answer to a request."""
        position = self.positions.get(frame["request_id"])
        return position is not None and position.seq == 0 and "duplicate" not in frame

    def _acknowledged(self, frame: Message, text: str) -> None:
        id = frame["request_id"]
        story = self._story(id)
        if story is None:
            self.violate("1.1.2, 5.2.1", f"{self.name}: {text} and it is not stored")
            return
        asked = self._answers(id, "request")
        duplicate = frame.get("duplicate", False)
        expected = story.frames[0]
        if text != (f'{expected[:-1]},"duplicate":true}}' if duplicate else expected):
            self.violate("10.24.1", f"{self.name}: {text} for event 1 {expected}")
        if asked is None:
            self.violate("4.4.1", f"{self.name}: {text} and nobody asked")
            return
        if not duplicate:
            if story.acknowledged_by not in (None, self):
                self.violate("10.24.1", f"{self.name}: {text} is acknowledged as new again")
            story.acknowledged_by = self
        if not same_request(asked.message, story):
            self.violate("5.1.6", f"{self.name}: {text} answers another request")
        if id in self.answered:
            self.violate("4.4.1", f"{self.name}: {text} after another outcome")
        story.acknowledged = True
        self.positions[id] = Position(1, None, (0, 0))

    def _numbered(self, frame: Message, text: str) -> None:
        id, seq = frame["request_id"], frame["seq"]
        story, position = self._story(id), self.positions.get(id)
        if story is None or seq > len(story.frames) or story.frames[seq - 1] != text:
            self.violate("1.1.2", f"{self.name}: {text} is not what is stored")
            return
        if position is None:
            self.violate("10.15.3", f"{self.name}: {text} and nobody follows here")
            return
        if seq != position.seq + 1:
            self.violate("6.1.1, 10.25", f"{self.name}: {text} behind {position.seq}")
        if position.until is not None and seq > position.until:
            self.violate("4.5", f"{self.name}: {text} beyond the read that was asked for")
        position.seq = seq
        if seq == len(story.frames) and story.state is OVER:
            self._last_progress(story, position, text)
            del self.positions[id]

    def _last_progress(self, story: Story, position: Position, text: str) -> None:
        progress = story.record.progress
        if position.until is not None or progress is None:
            return
        if position.progress < (progress.attempt, progress.version):
            self.violate("10.35.2", f"{self.name}: {text} without {progress.body}")

    def _progress(self, frame: Message) -> None:
        id, mark = frame["request_id"], (frame["attempt"], frame["version"])
        story, position = self._story(id), self.positions.get(id)
        if story is None or position is None:
            self.violate("10.10.4, 10.35.3", f"{self.name}: {frame} and nothing is followed")
            return
        if position.until is not None:
            self.violate("4.5", f"{self.name}: {frame} in a read without following")
        if mark <= position.progress:
            self.violate("6.3, 10.36", f"{self.name}: {frame} behind {position.progress}")
        if frame["attempt"] > story.attempt:
            self.violate("10.36", f"{self.name}: {frame} of an attempt that is still to come")
        position.progress = mark

    def _snapshot(self, frame: Message) -> None:
        id, summary = frame["request_id"], frame["request"]
        story = self._story(id)
        if story is None:
            self.violate("1.1.2", f"{self.name}: {frame} and it is not stored")
            return
        if story_time(summary["created_at"]) != story.record.created_at:
            self.violate("10.32.1", f"{self.name}: {frame}")
        if summary["last_seq"] > len(story.frames):
            self.violate("1.1.2", f"{self.name}: {frame} runs ahead of {len(story.frames)}")
        asked = self._answers(id, frame["reply_to"])
        if asked is None:
            self.violate("10.2.3", f"{self.name}: {frame} and nobody asked")
            return
        finished = "expires_at" in summary
        if finished != (story.state is OVER and summary["last_seq"] == len(story.frames)):
            self.violate("5.9.2", f"{self.name}: {frame} while it is {story.state}")
        if asked.type == "cancel":
            if not (finished or summary.get("cancel_requested")):
                self.violate("10.15.1", f"{self.name}: {frame} was read before the cancel")
            return
        after, follow = asked.message["after_seq"], asked.message.get("follow", True)
        if after > summary["last_seq"]:
            self.violate("10.29.1", f"{self.name}: {frame} to after_seq {after}")
        progress = summary.get("progress")
        mark = (0, 0) if progress is None else (progress["attempt"], progress["version"])
        self.positions[id] = Position(after, None if follow else summary["last_seq"], mark)
        if finished and after == summary["last_seq"]:
            del self.positions[id]

    def _refused(self, frame: Message) -> None:
        id, to = frame.get("request_id"), frame.get("reply_to")
        if id is None or to is None:
            self.violate("10.2.1", f"{self.name}: {frame}")
            return
        if frame.get("executed"):
            self._without_log(frame, "10.9.2")
            return
        code = frame["error"]["code"]
        story, position = self._story(id), self.positions.get(id)
        removed = story is not None and story.removed_at is not None
        if to == "attach" and code == "NOT_FOUND" and position is not None and removed:
            # PROTOCOL 10.33: the log was removed under the reader. An attach that waits gets its
            # own answer; which of them is which, and so their order, cannot be told. The cursor
            # has what was read before, until the last of them is there.
            self.removed.add(id)
            if any(asked.type == "attach" for asked in self.asked[id]):
                self._answers(id, "attach")
            else:
                del self.positions[id]
            return
        asked = self._answers(id, to)
        if asked is None:
            self.violate("10.2", f"{self.name}: {frame} and nobody asked")
            return
        kept = story is not None and story.removed_at is None
        if code == "NOT_FOUND" and asked.stored and kept:
            self.violate("10.28.3", f"{self.name}: {frame} and it is stored")
        if code == "NOT_FOUND" and to == "request":
            self.violate("4.4", f"{self.name}: {frame}")
        if code in ("INTERNAL_ERROR", "VALIDATION_ERROR", "FORBIDDEN", "UNKNOWN_ACTION"):
            self.violate("7", f"{self.name}: {frame} to {asked.message}")
        if code == "CONFLICT":
            self._conflict(frame, asked, story)
        if to == "request" and asked.stored and kept and code not in ("UNAVAILABLE", "CONFLICT"):
            self.violate("10.5.2", f"{self.name}: {frame} and it is stored")

    def _conflict(self, frame: Message, asked: Asked, story: Story | None) -> None:
        details = frame["error"].get("details", {})
        if story is None:
            self.violate("10.11.3", f"{self.name}: {frame} and nothing was ever stored")
        elif asked.type == "attach":
            # What was read may be a little older than what is stored now.
            if not details.get("last_seq", 1 << 30) < asked.message["after_seq"]:
                self.violate("10.29.1", f"{self.name}: {frame}")
        elif details.get("reason") == "expired":
            if story.removed_at is None:
                self.violate("10.31.2", f"{self.name}: {frame} and it is stored")
        elif same_request(asked.message, story):
            self.violate("10.23.1", f"{self.name}: {frame} to the same request")

    def _without_log(self, frame: Message, clause: str) -> None:
        id = frame["request_id"]
        asked = self._answers(id, "request")
        if asked is None:
            self.violate("4.4.1", f"{self.name}: {frame} and nobody asked")
            return
        if asked.message["action"] not in QUICK or asked.message.get("resend"):
            self.violate("10.6.2", f"{self.name}: {frame} for what must be stored")
        story = self._story(id)
        alone = self.ledger.sendings[RequestKey(self.owner, id)] == 1
        if story is not None and (alone or story.acknowledged_by is self or asked.stored):
            self.violate(clause, f"{self.name}: {frame} and it is stored")
        self.answered.add(id)

    # --- Parts --------------------------------------------------------------------------------

    def _story(self, id: str) -> Story | None:
        return self.ledger.stories.get(RequestKey(self.owner, id))

    def _answers(self, id: str, kind: str) -> Asked | None:
        """Takes the message that an answer is for: the oldest of its kind (PROTOCOL 10.1)."""
        waiting = self.asked[id]
        for place, asked in enumerate(waiting):
            if asked.type != kind:
                continue
            for before in waiting[:place]:
                if before.type == "detach":
                    self.positions.pop(id, None)
                elif not (
                    id in self.removed
                    or (before.type == "request" and may_be_quick(before.message))
                ):
                    self.violate("10.1.2", f"{self.name}: {kind} {id} answered before {before}")
            waiting[:] = [one for one in waiting[:place] if one.type != "detach"] + waiting[
                place + 1 :
            ]
            return asked
        return None


def may_be_quick(message: Message) -> bool:
    """Whether a request may run without being stored."""
    return message["action"] in QUICK and not message.get("resend") and "delay_ms" not in message


def same_request(message: Message, story: Story) -> bool:
    """Whether a message asks for what is stored: the clients here mark another payload as such."""
    other = bool(message["payload"].get("other"))
    return message["action"] == story.record.action and other == ('"other":true' in story.payload)
