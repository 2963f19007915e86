# SPDX-License-Identifier: Apache-2.0
"""A node as a process: loads the handlers, says when it is ready, obeys signals."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import logging
import os
import secrets
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from longcall_server import __version__
from longcall_server.auth import SigningKey, TokenRules, create_token
from longcall_server.config import NO_TOKEN_KEY, Settings, SettingsError, load_settings
from longcall_server.handlers import Handlers, RegistrationError
from longcall_server.stores.base import StoreUnavailable
from longcall_server.telemetry import configure_logging

if TYPE_CHECKING:
    from longcall_server.node import Node

_log = logging.getLogger(__name__)

_DEV_TOKEN_LIFE = timedelta(days=1)
_BROKEN = 3
_GC_THRESHOLDS = (50_000, 20, 50)
_SWITCH_INTERVAL_S = 0.0005


class LoadError(SettingsError):
    """The handlers cannot be loaded; the text says why."""


def serve(
    target: str, flags: dict[str, Any], *, dev: bool, claims: bool, ready_file: str | None
) -> int:
    """Runs a server until a signal ends it; the exit code. Raises `SettingsError`.

    Without `claims` durable requests are left to the workers of the data folder.
    """
    settings = _configure(flags)
    if not settings.has_token_key:
        if not dev:
            raise SettingsError(NO_TOKEN_KEY)
        settings = load_settings(**flags, jwt_secret=secrets.token_urlsafe(48))
    handlers = load_handlers(target)
    from longcall_server.server import Server  # noqa: PLC0415  (after the handlers were found)

    server = Server(settings, handlers, claims=claims, dev=dev)

    def ready() -> _Ready:
        store = f"store {settings.store}" + ("" if claims else ", no worker")
        lines = [f"is ready at {server.url} ({store}): {', '.join(handlers.actions())}"]
        if dev:
            lines.append(f"token: {dev_token(settings)}")
        return _Ready(lines, {"url": server.url, "http_url": server.http_url})

    return _run(server, ready, ready_file)


def work(target: str, flags: dict[str, Any], *, ready_file: str | None) -> int:
    """Runs a worker until a signal ends it; the exit code. Raises `SettingsError`."""
    settings = _configure(flags)
    handlers = load_handlers(target)
    from longcall_server.node import WorkerNode  # noqa: PLC0415  (after the handlers were found)

    actions = ", ".join(handlers.actions())
    said = _Ready([f"works on the requests of {settings.data_dir}: {actions}"], {})
    return _run(WorkerNode(settings, handlers), lambda: said, ready_file)


def load_handlers(target: str) -> Handlers:
    """Finds `MODULE:HANDLERS`, the current folder included; raises `LoadError`."""
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise LoadError(f"{target!r} is not of the form MODULE:HANDLERS, e.g. myapp:handlers")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(f"{missing}."):
            raise LoadError(f"there is no module {module_name!r} here or installed") from None
        raise LoadError(f"{module_name} imports {missing!r}, which is not installed") from error
    except Exception as error:
        traceback.print_exc()
        raise LoadError(f"{module_name} cannot be imported: {error!r}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise LoadError(f"the module {module_name} has no {attribute!r}")
        found = getattr(found, part)
    if not isinstance(found, Handlers):
        kind = type(found).__name__
        raise LoadError(f"{target} is a {kind}, not a longcall_server.Handlers")
    if not found.actions():
        raise LoadError(f"{target} has no handler registered")
    try:
        found.check()
    except RegistrationError as error:
        raise LoadError(str(error)) from None
    return found


def dev_token(settings: Settings) -> str:
    """A token for a trial, or why there is none."""
    try:
        key = SigningKey.of_settings(settings)
    except SettingsError:
        return "none, the private key is elsewhere"
    return create_token(
        key,
        sub="dev",
        tenant_id="dev",
        permissions=["request:*"],
        ttl_s=_DEV_TOKEN_LIFE.total_seconds(),
        rules=TokenRules.of_settings(settings),
    )


@dataclass(frozen=True, slots=True)
class _Ready:
    """What is said once a node is ready."""

    lines: list[str]
    """For people; the first goes on after name and version of the program."""
    fields: dict[str, str]
    """For programs: what the ready file holds beside the pid."""


def _configure(flags: dict[str, Any]) -> Settings:
    # Start-up makes many objects and no garbage: looking for it only costs time.
    gc.disable()
    settings = load_settings(**flags)
    configure_logging(settings.log_level)
    return settings


def _run(node: Node, ready: Callable[[], _Ready], ready_file: str | None) -> int:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_until_signalled(node, ready, ready_file))


async def _until_signalled(node: Node, ready: Callable[[], _Ready], ready_file: str | None) -> int:
    stopping = asyncio.Event()
    _obey_signals(stopping)
    try:
        await node.start()
    except (StoreUnavailable, OSError) as error:
        print(f"longcall-server: {error}", file=sys.stderr)
        return 1
    _tune_switching()
    _tune_gc()
    try:
        said = ready()
        print(f"longcall-server {__version__}", "\n".join(said.lines), flush=True)
        if ready_file is not None:
            _write_ready_file(Path(ready_file), said.fields)
        code = await _until_over(node, stopping)
    finally:
        await node.stop()
    if node.running_handlers:
        # The loop cannot be closed while a task refuses to be cancelled.
        _exit(code)
    return code


async def _until_over(node: Node, stopping: asyncio.Event) -> int:
    """Waits for a signal, or for a defect that only another process can make good."""
    signalled = asyncio.create_task(stopping.wait())
    broken = asyncio.create_task(node.broken())
    await asyncio.wait([signalled, broken], return_when=asyncio.FIRST_COMPLETED)
    if broken.done():
        signalled.cancel()
        _log.critical("stopping after a failure; start it again")
        return _BROKEN
    broken.cancel()
    _log.info("stopping; a second signal ends at once")
    return 0


def _obey_signals(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if stopping.is_set():
            # Nothing acknowledged is lost: the store takes back what this process ran.
            _exit(128 + number)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)


def _exit(code: int) -> NoReturn:
    """Ends the process as it stands; what is stored is safe at any moment."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def _tune_switching() -> None:
    """The store's threads get their turn at the interpreter when they ask for it.

    While the event loop is busy each step of a transaction waits that long; with Python's own 5 ms
    a hundred steps are half a second.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)


def _tune_gc() -> None:
    """What start-up made stays; collections become rarer, and pauses with them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.enable()


def _write_ready_file(path: Path, fields: dict[str, str]) -> None:
    """Whole or not at all: who waits for it never reads half of it."""
    ready = {"event": "ready", **fields, "pid": os.getpid()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(ready) + "\n", encoding="utf-8")
    temporary.replace(path)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed (the extra `uvloop`), the standard loop elsewhere."""
    with contextlib.suppress(ImportError):
        return importlib.import_module("uvloop").new_event_loop  # type: ignore[no-any-return]
    return None
