# SPDX-License-Identifier: Apache-2.0
"""A port for a server that is killed and started again."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from .under_test import ServerFailed

_BELOW_THE_EPHEMERAL = range(20_011, 32_000)


@contextmanager
def kept_port() -> Iterator[int]:
    """A port that is one server's for as long as it is entered, also while there is no server.

    While the server is away its clients go on connecting to it. A port of the ephemeral range would
    be given to somebody else: to the scripted server of another play, which then meets a client
    that is not its own, or to a client that connects to itself and keeps the server from coming
    back. And it is kept from other runs: a socket that listens can bind beside one that does not,
    if both reuse the address; who looks for a free port does not.

    Raises `ServerFailed` where none is free.
    """
    for port in random.sample(_BELOW_THE_EPHEMERAL, len(_BELOW_THE_EPHEMERAL)):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            yield port
            return
    raise ServerFailed("no port is free")
