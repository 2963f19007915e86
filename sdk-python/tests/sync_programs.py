# SPDX-License-Identifier: Apache-2.0
"""Programs that use `longcall.sync`, each run by a test in a process of its own.

usage: sync_programs.py NAME URL    (what is to be known is printed, a JSON value a line)
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import longcall
from longcall.sync import Client, RequestHandle


def connect(url: str, token: Any = "secret") -> Client:
    options = longcall.Options(backoff_initial=0.01, backoff_maximum=0.05)
    return longcall.sync.connect(url, token, options=options)


def tell(*values: Any) -> None:
    print(json.dumps(values), flush=True)


def raised(work: Callable[[], Any]) -> str:
    """The name of what `work` raises; empty if nothing."""
    try:
        work()
    except Exception as error:
        return type(error).__name__
    return ""


# Forks.


def uses(client: Client, handle: RequestHandle[Any, Any]) -> dict[str, Callable[[], Any]]:
    """Everything that one can ask of a client and of a handle."""
    return {
        "call": lambda: client.call("echo"),
        "submit": lambda: client.submit("echo"),
        "attach": lambda: client.attach("job"),
        "requests": lambda: next(client.requests()),
        "states": lambda: next(client.states()),
        "state": lambda: client.state,
        "ignored": lambda: client.ignored,
        "ready": client.ready,
        "with": client.__enter__,
        "result": handle.result,
        "iteration": lambda: next(iter(handle)),
        "snapshot": handle.snapshot,
        "cancel": handle.cancel,
        "detach": handle.detach,
        "download": lambda: handle.download("report.csv", "."),
        "is_finished": lambda: handle.is_finished,
    }


def fork(url: str) -> None:
    """Every use in a child raises, and the parent goes on over the same connection."""
    with connect(url) as client:
        handle = client.attach("job")
        events = iter(handle)
        next(events)
        if (child := os.fork()) == 0:
            errors = {name: raised(work) for name, work in uses(client, handle).items()}
            errors["next event"] = raised(lambda: next(events))
            client.close()
            tell("child", errors)
            with connect(url) as other:
                tell("child again", other.call("echo", "child"))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        tell("parent", status, client.call("echo", "parent"), next(events).seq)  # type: ignore[union-attr]


def leave_early_in_a_child(url: str) -> None:
    """A child that ends as programs do, inside of `with`, takes nothing of the parent with it."""
    with connect(url) as client:
        client.call("echo", 1)
        if (child := os.fork()) == 0:
            sys.exit(0)  # through __exit__, exit handlers and all
        _, status = os.waitpid(child, 0)
        tell("parent", status, client.call("echo", 2))


def in_child(client: Client, url: str) -> None:
    if raised(lambda: client.call("echo")) != "Forked":
        sys.exit(3)
    with connect(url) as own:
        own.call("echo", "child")


def multiprocess(url: str) -> None:
    """The same by the standard library, where a pool inherits what the parent has."""
    with connect(url) as client:
        client.call("echo", 1)
        process = multiprocessing.get_context("fork").Process(target=in_child, args=(client, url))
        process.start()
        process.join()
        tell("parent", process.exitcode, client.call("echo", 2))


def prefork(url: str) -> None:
    """A server that loads the application first: each worker starts the client that it inherits."""
    client = connect(url)
    for name in ("first", "second"):
        if (child := os.fork()) == 0:
            tell(client.call("echo", name))
            client.close()
            os._exit(0)
        tell(os.waitpid(child, 0)[1])
    tell(client.call("echo", "parent"))
    client.close()


def parent_dies(url: str) -> None:
    """The child lives on, and holds nothing of the parent's connection open."""
    client = connect(url)
    client.call("echo", 1)
    if os.fork() == 0:
        sys.stdin.read()
        os._exit(0)
    os._exit(0)


# Ctrl-C.


def notebook(url: str) -> None:
    """Cells that block in a thread whose loop runs, as a notebook's do; each is interrupted."""
    client = connect(url)

    async def cell(name: str, work: Callable[[], Any]) -> None:
        try:
            tell(name, work())
        except KeyboardInterrupt:
            tell(name, "interrupted")

    def iterate() -> None:
        for event in job:
            tell("event", event.seq)  # type: ignore[union-attr]

    loop = asyncio.new_event_loop()
    job = client.attach("job")
    cells: dict[str, Callable[[], Any]] = {
        "call": lambda: client.call("report"),
        "submit": lambda: client.submit("report"),
        "callbacks": lambda: client.call("report", on_chunk=print),
        "iteration": iterate,
        "result": job.result,
        "state": lambda: client.state.name,
        "again": lambda: client.call("echo", "well"),
    }
    for name, work in cells.items():
        loop.run_until_complete(cell(name, work))
    client.close()
    loop.close()


def callback_interrupted(url: str) -> None:
    """Ctrl-C while a callback of the application runs comes out of `call`."""
    with connect(url) as client:
        held = threading.Event()

        def on_chunk(chunk: longcall.Chunk) -> None:
            tell("chunk", chunk.data)
            held.wait()

        try:
            client.call("report", on_chunk=on_chunk, cancel_on_exit=True)
        except KeyboardInterrupt:
            tell("interrupted")
        tell(client.call("echo", "well"))


# Exits.


def exit_open(url: str) -> None:
    """Nobody closes the client."""
    client = connect(url)
    tell(client.call("echo", 1))
    sys.modules["keeps it"] = client  # type: ignore[assignment]


def exit_while_another_waits(url: str) -> None:
    """A thread still waits in a call."""
    client = connect(url)
    tell(client.call("echo", 1))
    waits = partial(raised, partial(client.call, "report"))
    threading.Thread(target=waits, daemon=True).start()
    sys.stdin.readline()


def exit_offline(url: str) -> None:
    """There is no server, and the token function hangs."""
    offline = connect("ws://127.0.0.1:9")
    offline.__enter__()
    asked = threading.Event()

    def token(reason: str) -> str:
        asked.set()
        threading.Event().wait()
        return ""

    hanging = connect(url, token)
    hanging.__enter__()
    asked.wait()
    tell(offline.state.name in ("connecting", "reconnecting"), hanging.state.name)


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
