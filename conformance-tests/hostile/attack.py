# SPDX-License-Identifier: Apache-2.0
"""One run: a server, the hostile and the honest, and what is demanded of them."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from attacker import Attacker, Tally
from honest import CLIENTS, Honest
from memory import MIB, Memory
from plays import Play, play
from vocabulary import Stock

from longcall_conformance.referee.raw_client import open_connection
from longcall_conformance.referee.tokens import claims, sign
from longcall_conformance.referee.verdicts import Verdicts
from longcall_conformance.runner.manifest import Manifest
from longcall_conformance.runner.server_process import ServerProcess
from longcall_conformance.runner.under_test import ServerFailed

HERE = Path(__file__).parent
OWNERS = 20
IDS = 300
"""Request ids of each owner of the hostile."""
MOST_MEMORY = 512 * MIB
MOST_GROWTH = 48 * MIB
"""In the second half, by the line that fits best."""
_YEAR_2100 = 4_102_444_800
_SHOWN = 20
_TOLD_EVERY = 20


def main() -> int:
    """Runs the command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mutations", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--connections", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=None, help="default: a fresh one, printed")
    parser.add_argument("--connection", type=int, default=None, help="only this one")
    parser.add_argument("--play", type=int, default=0, help="from this play on")
    parser.add_argument("--handlers", default="hostile", help="a name of server.yaml")
    parser.add_argument("--out", type=Path, default=HERE.parent / "out" / "hostile")
    options = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    print(
        f"hostile: {options.mutations} mutations, {options.connections} connections, SEED={seed}",
        flush=True,
    )
    verdicts = asyncio.run(_run(options, seed))
    for finding in verdicts.findings[:_SHOWN]:
        print(f"  {finding}")
    if len(verdicts.findings) > _SHOWN:
        print(f"  and {len(verdicts.findings) - _SHOWN} more")
    if verdicts.findings:
        print(f"what the honest clients and the server wrote is in {options.out}")
        print(f"again: --seed {seed}, and --connection and --play of a finding")
    print(verdicts.closing_line())
    return 0 if verdicts.passed else 1


async def _run(options: argparse.Namespace, seed: int) -> Verdicts:
    # Tokens are in the messages, and those follow from the seed.
    secret = hashlib.sha256(f"hostile {seed}".encode()).hexdigest()
    verdicts = Verdicts()
    manifest = Manifest.load(HERE / "server.yaml")
    server = ServerProcess(manifest, {"handlers": options.handlers}, HERE, secret)
    memory, tally = Memory(), Tally()
    try:
        await server.start()
        max_bytes = await _limits(server.url, secret)
        stocks = _stocks(secret)
        plans = [
            partial(play, stocks[number % OWNERS], max_bytes, seed, number)
            for number in range(options.connections)
        ]
        watching = asyncio.create_task(memory.watch(server.pid))
        honest_token = _token(secret, "alice", "acme", ["request:*"])
        honest = Honest(server.url, honest_token, options.out, seed)
        begun = time.monotonic()
        await _attack(options, server, plans, verdicts, tally)
        seconds = time.monotonic() - begun
        watching.cancel()
        await honest.finish(verdicts)
        await _judge(server, memory, tally, seconds, verdicts)
    except ServerFailed as failure:
        verdicts.find("server", str(failure))
    finally:
        (options.out / "server.log").write_text(server.whole_log())
        await server.stop()
    return verdicts


async def _limits(url: str, secret: str) -> int:
    """Prints what the server says of its limits; the size of a message."""
    connection = await open_connection(url, "observer", [])
    connection.send({"type": "hello", "token": _token(secret, "observer", "watch", [])})
    limits = (await connection.receive())["limits"]
    await connection.close()
    print(f"limits: {json.dumps(limits)}", flush=True)
    return int(limits["max_message_bytes"])


def _token(secret: str, sub: str, tenant: str, permissions: list[str]) -> str:
    return sign(claims(sub, tenant, exp=_YEAR_2100, permissions=permissions), secret)


# --- The hostile ----------------------------------------------------------------------------------


async def _attack(
    options: argparse.Namespace,
    server: ServerProcess,
    plans: Sequence[Callable[[int], Play]],
    verdicts: Verdicts,
    tally: Tally,
) -> None:
    address = urlsplit(server.url)
    assert address.hostname is not None
    assert address.port is not None
    verdicts.require("survival")
    numbers = range(options.connections) if options.connection is None else [options.connection]
    share = -(-options.mutations // options.connections)
    running = []
    for number in numbers:
        where = address.hostname, address.port
        attacker = Attacker(f"connection {number}", where, plans[number], verdicts, tally)
        running.append(asyncio.create_task(attacker.run(share, options.play)))
    telling = asyncio.create_task(_tell(tally, options.mutations))
    try:
        await asyncio.gather(*running)
    finally:
        telling.cancel()


def _stocks(secret: str) -> list[Stock]:
    """Owners of five tenants, the one of the honest among them."""
    tenants = ("acme", "evil", "t3", "t4", "t5")
    people = [(f"m{number}", tenants[number % len(tenants)]) for number in range(OWNERS)]
    tokens = [_token(secret, sub, tenant, ["request:h.*"]) for sub, tenant in people]
    good = claims("m0", "evil", exp=_YEAR_2100)
    bad = (
        sign(good, "another-secret-another-secret-another"),
        sign({**good, "exp": 1}, secret),
        sign(good, secret, algorithm="none"),
        "not-a-token",
    )
    # In a short run an honest client does not get far, in a long one it does.
    counts = [*range(1, 13)] * 3 + [*range(1, 200)]
    honest_ids = [f"c{client}-{count}" for client in range(CLIENTS) for count in counts]
    ids = [[f"m{owner}-{number}" for number in range(IDS)] for owner in range(OWNERS)]
    return [
        Stock(
            token=tokens[owner],
            foreign_tokens=(tokens[owner - 1],),
            bad_tokens=bad,
            own_ids=ids[owner],
            foreign_ids=[*honest_ids, *ids[owner - 1][:50]],
        )
        for owner in range(OWNERS)
    ]


async def _tell(tally: Tally, mutations: int) -> None:
    begun = time.monotonic()
    while True:
        await asyncio.sleep(_TOLD_EVERY)
        rate = tally.mutations / (time.monotonic() - begun)
        print(f"{tally.mutations}/{mutations} mutations, {rate:.0f} a second", flush=True)


# --- Judging --------------------------------------------------------------------------------------


async def _judge(
    server: ServerProcess, memory: Memory, tally: Tally, seconds: float, verdicts: Verdicts
) -> None:
    begun = time.monotonic()
    await server.kill("term")
    drained = time.monotonic() - begun
    wrong = [] if server.exit_code == 0 else [f"the server ended with {server.exit_code}"]
    verdicts.require("drains", wrong)
    log = server.whole_log().splitlines()
    bad = [line for line in log if " ERROR " in line or "Traceback" in line or "INTERNAL" in line]
    verdicts.require("server log", bad)
    verdicts.require("no INTERNAL_ERROR")
    growth = memory.growth()
    if memory.peak > MOST_MEMORY:
        verdicts.find("memory", f"{memory.peak / MIB:.0f} MiB at its peak")
    if growth > MOST_GROWTH:
        verdicts.find("memory", f"it grew by {growth / MIB:.0f} MiB in the second half")
    verdicts.require("memory")
    ends = ", ".join(
        f"{code or 'none'}: {count}"
        for code, count in sorted(tally.ends.items(), key=lambda item: item[0] or 0)
    )
    print(
        f"{tally.mutations} mutations among {tally.messages} messages over"
        f" {tally.connections} connections in {seconds:.0f} s:"
        f" {tally.mutations / seconds:.0f} mutations a second"
    )
    types = ", ".join(f"{kind}: {count}" for kind, count in tally.types.most_common())
    print(f"{tally.answers} answers, {tally.refusals} of them refusals: {types}")
    print(f"close codes: {ends}")
    print(f"codes of one error in fifty: {dict(sorted(tally.codes.items()))}")
    print(
        f"memory: {memory.samples[0][1] / MIB:.0f} MiB at first, {memory.peak / MIB:.0f} at its"
        f" peak, {growth / MIB:+.1f} in the second half; {len(log)} lines of log;"
        f" drained in {drained:.2f} s"
    )
