# SPDX-License-Identifier: Apache-2.0
"""One reading of one log, as an application saw it from event 1 on: what must hold of any."""

from __future__ import annotations

from .observations import JsonObject

_NOT_OF_THE_LOG = ("n", "at", "reading")


class Reading:
    """The events of one reading in the order in which they came.

    A `sparse` one is shown chunks and progress alone: numbers are left out, attempts not told.
    """

    def __init__(self, *, sparse: bool = False) -> None:
        self._is_sparse = sparse
        self.findings: list[tuple[str, str]] = []
        """Kind (see `checker.Kind`) and text."""
        self.log: dict[int, JsonObject] = {}
        """Every numbered event, without what belongs to the observer alone."""
        self.standing: list[JsonObject] = []
        """Chunks that have not been voided (PROTOCOL 10.19)."""
        self.voided = 0
        self.last_seq = 0
        self.ended = False
        self.percentage: float | None = None
        """Of the newest progress."""
        self._attempt = 0
        self._is_running = False
        self._kept_to = 0
        self._newest = (0, 0)

    def take(self, line: JsonObject) -> None:
        """The next event, progress or end."""
        if self.ended:
            kind = "twice" if line["what"] == "end" else "order"
            self._find(kind, f"{line['what']} after the end")
        if line["what"] == "progress":
            self._take_progress(line)
            return
        if "seq" in line and not self._take_number(line):
            return
        match line["what"]:
            case "status":
                self._take_status(line)
            case "chunk":
                self._take_chunk(line)
            case "end":
                self.ended = True

    def _take_number(self, line: JsonObject) -> bool:
        """Whether it is new; a reading is dense (PROTOCOL 10.30)."""
        seq = line["seq"]
        event = {name: value for name, value in line.items() if name not in _NOT_OF_THE_LOG}
        if seq in self.log:
            again = self.log[seq] == event
            self._find("twice" if again else "different", f"event {seq} came again: {event}")
            return False
        if seq < self.last_seq:
            self._find("order", f"event {seq} came after event {self.last_seq}")
        elif seq > self.last_seq + 1 and not self._is_sparse:
            self._find("gap", f"event {seq} came after event {self.last_seq}")
        self.log[seq] = event
        self.last_seq = max(seq, self.last_seq)
        return True

    def _take_status(self, line: JsonObject) -> None:
        status, attempt = line["status"], line["attempt"]
        if status == "processing":
            if attempt != self._attempt + 1:
                self._find("attempt", f"attempt {attempt} began after attempt {self._attempt}")
            self._attempt, self._is_running = attempt, True
            self._keep(line["chunks_kept_to"], line["seq"])
        elif status == "retrying":
            if attempt != self._attempt or not self._is_running:
                self._find("attempt", f"attempt {attempt} failed, it was not running")
            self._is_running = False

    def _keep(self, kept_to: int, seq: int) -> None:
        if not self._kept_to <= kept_to < seq:
            self._find("void", f"event {seq} keeps to {kept_to}, before it was {self._kept_to}")
        before = len(self.standing)
        self.standing = [chunk for chunk in self.standing if chunk["seq"] <= kept_to]
        self.voided += before - len(self.standing)
        self._kept_to = kept_to

    def _take_chunk(self, line: JsonObject) -> None:
        is_current = line["attempt"] == self._attempt and self._is_running
        if not is_current and not self._is_sparse:
            text = f"chunk {line['seq']} is of attempt {line['attempt']}, which is not running"
            self._find("attempt", text)
        self.standing.append(line)

    def _take_progress(self, line: JsonObject) -> None:
        place = (line["attempt"], line["version"])
        if place <= self._newest:
            self._find("order", f"progress {place} came after {self._newest}")
            return
        self._newest = place
        self.percentage = line.get("percentage")

    def _find(self, kind: str, text: str) -> None:
        self.findings.append((kind, text))
