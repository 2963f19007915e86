# SPDX-License-Identifier: Apache-2.0
"""What the rounds of a run have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from board import Board, Identity
from raw_client import RawClient
from sdk_client import SdkClient

from longcall_conformance.referee.verdicts import Verdicts
from longcall_conformance.runner.server_process import ServerProcess


@dataclass
class Scene:
    """A server that lives, and clients that work with it."""

    server: ServerProcess
    workers: Sequence[ServerProcess]
    """Beside the server, where it has no worker of its own."""
    board: Board
    clients: Sequence[SdkClient | RawClient]
    rng: Random
    rounds: int
    verdicts: Verdicts
    observer: Identity
    """One more client, who only looks."""
    summary: str = ""
    """What the rounds say of themselves in the end."""

    def tell(self, number: int, text: str) -> None:
        """One line a round."""
        board = self.board
        print(
            f"round {number:3}/{self.rounds}  {text}; {board.submitted} submitted,"
            f" {board.ended} ended",
            flush=True,
        )
