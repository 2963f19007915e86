# SPDX-License-Identifier: Apache-2.0
"""The port of a server that is away."""

from __future__ import annotations

import socket

import pytest

from longcall_conformance.runner.ports import kept_port


def test_its_server_can_listen_again_and_again() -> None:
    with kept_port() as port:
        for _ in range(2):
            with socket.create_server(("127.0.0.1", port)):
                socket.create_connection(("127.0.0.1", port)).close()


def test_it_is_nobody_elses_and_no_ephemeral_one() -> None:
    with kept_port() as port:
        assert port < 32_768
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
