# SPDX-License-Identifier: Apache-2.0
"""Takes the life of a real server, again and again, under clients that write down what they see.

    python conformance-tests/chaos/chaos.py kill    kill -9 at random moments
    python conformance-tests/chaos/chaos.py worker  kill -9 of worker processes beside the server
    python conformance-tests/chaos/chaos.py term    SIGTERM, with requests running and queued

The same folder and port each time. In the end all requests are drained, and the checker, which
reads nothing but the clients' files, says what is wrong with them. Exit codes: 0 all passed, 1 not.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import kill_rounds
import term_rounds
import worker_rounds
import workload
from board import Board, Identity
from raw_client import RawClient
from scene import Scene
from sdk_client import SdkClient
from workload import Asked

from longcall_conformance.referee.checker import check
from longcall_conformance.referee.observations import ObservationFile
from longcall_conformance.referee.tokens import claims, sign
from longcall_conformance.referee.verdicts import Verdicts
from longcall_conformance.runner.manifest import Manifest
from longcall_conformance.runner.ports import kept_port
from longcall_conformance.runner.server_process import ServerProcess
from longcall_conformance.runner.under_test import ServerFailed

HERE = Path(__file__).parent
WORKERS = 2
_SHOWN = 50
RAW_EVERY = 5
"""One client of so many is a raw one."""

PLAYS = {"kill": kill_rounds.play, "worker": worker_rounds.play, "term": term_rounds.play}


def main() -> int:
    """Runs the command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mode", choices=tuple(PLAYS))
    parser.add_argument("--rounds", type=int, default=None, help="default: 200, term 50")
    parser.add_argument("--clients", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=None, help="default: a fresh one, printed")
    parser.add_argument("--handlers", default="chaos", help="a name of server.yaml")
    parser.add_argument(
        "--patience", type=float, default=300, help="seconds for all to end, default: %(default)s"
    )
    parser.add_argument("--out", type=Path, default=HERE.parent / "out" / "chaos")
    options = parser.parse_args()
    rounds = options.rounds or (50 if options.mode == "term" else 200)
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    out = options.out / options.mode
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    print(f"{options.mode}: {rounds} rounds, {options.clients} clients, SEED={seed}", flush=True)
    with kept_port() as port:
        verdicts = asyncio.run(_run(options, rounds, seed, port, out))
    for finding in verdicts.findings[:_SHOWN]:
        print(f"  {finding}")
    if len(verdicts.findings) > _SHOWN:
        print(f"  and {len(verdicts.findings) - _SHOWN} more")
    if verdicts.findings:
        print(f"what the clients and the server wrote is in {out}")
    print(verdicts.closing_line())
    return 0 if verdicts.passed else 1


async def _run(
    options: argparse.Namespace, rounds: int, seed: int, port: int, out: Path
) -> Verdicts:
    mode, clients = options.mode, options.clients
    secret = secrets.token_hex(32)
    verdicts, board, rng = Verdicts(), Board(), Random(seed)
    manifest = Manifest.load(HERE / "server.yaml")
    needs = {"handlers": options.handlers}
    if mode == "worker":
        manifest = replace(manifest, start=f"{manifest.start} --no-worker")
    server = ServerProcess(manifest, needs, HERE, secret, port=port)
    workers = [
        ServerProcess(Manifest.load(HERE / "worker.yaml"), needs, HERE, secret, data=server.data)
        for _ in range(WORKERS if mode == "worker" else 0)
    ]
    begun = time.monotonic()
    try:
        for process in (server, *workers):
            await process.start()
        everybody = [
            Identity(f"c{number}", server.url, _token(secret), Random(rng.random()))
            for number in range(clients + 1)
        ]
        ask = workload.once if mode == "term" else workload.mixed
        files = [out / f"client-{number}.jsonl" for number in range(clients)]
        people = _clients(ask, everybody[1:], board, files)
        scene = Scene(server, workers, board, people, rng, rounds, verdicts, everybody[0])
        running = [asyncio.create_task(client.run()) for client in people]
        patience = 0.0
        try:
            await PLAYS[mode](scene)
            patience = options.patience
        except ServerFailed as failure:
            verdicts.find("server", str(failure))
        finally:
            board.stop()
            _, late = await asyncio.wait(running, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        for task in running:
            if not task.cancelled() and (error := task.exception()) is not None:
                verdicts.find("clients", f"a client broke: {error!r}")
        if mode == "term":
            term_rounds.judge_hand_backs(scene, files)
        _judge(scene, files, time.monotonic() - begun)
    finally:
        for number, process in enumerate((server, *workers)):
            (out / f"server-{number}.log").write_text(process.whole_log())
        if verdicts.findings:
            shutil.copytree(server.data, out / "data", ignore=_what_is_no_file)
        for process in (*workers, server):
            await process.stop()
        verdicts.require("processes left behind", await _left_behind(secret))
    return verdicts


def _clients(
    ask: Callable[[Random], Asked], people: list[Identity], board: Board, files: list[Path]
) -> list[SdkClient | RawClient]:
    made: list[SdkClient | RawClient] = []
    for number, (identity, file) in enumerate(zip(people, files, strict=True)):
        kind = RawClient if number % RAW_EVERY == RAW_EVERY - 1 else SdkClient
        made.append(kind(identity, board, ObservationFile(file), ask))
    return made


def _token(secret: str) -> str:
    """All clients are of one owner: each may cancel and read what another has asked for."""
    day = int(time.time()) + 24 * 3600
    return sign(claims("alice", "acme", exp=day), secret)


def _judge(scene: Scene, files: list[Path], seconds: float) -> None:
    """Reads what the clients wrote, and only that; then what the server logged."""
    verdicts = scene.verdicts
    report = check(files)
    verdicts.require("observations", [str(finding) for finding in report.findings])
    defects = [
        line
        for process in (scene.server, *scene.workers)
        for line in process.whole_log().splitlines()
        if " ERROR " in line or line.startswith("Traceback")
    ]
    verdicts.require("server log", defects)
    counts = report.counts
    codes = {name: count for name, count in sorted(counts.items()) if " " in name}
    print(
        f"{scene.rounds} rounds, {counts['requests']} requests"
        f" ({counts['acknowledged']} acknowledged, {counts['completed']} completed),"
        f" {counts['events']} events, {counts['chunks']} chunks"
        f" ({counts['voided']} voided), {counts['files']} files, {counts['readings']} readings,"
        f" {sum(client.reconnects for client in scene.clients)} reconnects"
    )
    print(", ".join(f"{name}: {count}" for name, count in codes.items()))
    print(f"{scene.summary}, {seconds:.0f} s", flush=True)


async def _left_behind(secret: str) -> list[str]:
    """Processes of the run that do not end with their server: all have its key as environment."""
    left: list[str] = []
    for _ in range(100):
        left = await asyncio.to_thread(_processes_with, secret)
        if not left:
            break
        await asyncio.sleep(0.1)
    return left


def _processes_with(secret: str) -> list[str]:
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if secret.encode() in environment.read_bytes():
                command = environment.with_name("cmdline").read_bytes()
                found.append(command.replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:
            continue  # it has ended, or is somebody else's
    return found


def _what_is_no_file(folder: str, names: list[str]) -> list[str]:
    """Sockets and pipes of the server, which cannot be copied."""
    paths = [Path(folder, name) for name in names]
    return [path.name for path in paths if not (path.is_file() or path.is_dir())]


if __name__ == "__main__":
    sys.exit(main())
