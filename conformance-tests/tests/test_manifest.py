# SPDX-License-Identifier: Apache-2.0
"""How the processes of a server are started and ended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from longcall_conformance.runner.case import load_cases
from longcall_conformance.runner.manifest import Manifest
from longcall_conformance.runner.server_process import ServerProcess
from longcall_conformance.runner.under_test import ServerFailed

CASES = Path(__file__).parent.parent / "cases"
PROGRAM = """
import json, os, signal, sys
data, ready, name = sys.argv[1:]
with open(os.path.join(data, name), "a") as started:
    print(os.getpid(), file=started)
said = {"url": "ws://127.0.0.1:4711/v1/connect"} if name == "server" else {}
with open(ready + ".partial", "w") as file:
    json.dump(said, file)
os.rename(ready + ".partial", ready)
signal.pause()
"""


def manifest(folder: Path, **more: object) -> Path:
    (folder / "program.py").write_text(PROGRAM)
    command = "{python} program.py {data} {ready}"
    lines = [
        "name: several",
        f'start: "{command} server"',
        f'beside: ["{command} one", "{command} two"]',
        *(f"{name}: {value}" for name, value in {"handlers": "{demo: none}", **more}.items()),
    ]
    (folder / "several.yaml").write_text("\n".join(lines))
    return folder / "several.yaml"


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
async def test_processes_beside_a_server_share_its_data_and_its_fate(tmp_path: Path) -> None:
    server = ServerProcess(
        Manifest.load(manifest(tmp_path)), {"handlers": "demo"}, tmp_path, "secret"
    )
    try:
        for round_ in range(2):
            await server.start()
            started = {
                name: [int(pid) for pid in (server.data / name).read_text().split()]
                for name in ("server", "one", "two")
            }
            assert {len(pids) for pids in started.values()} == {round_ + 1}
            newest = [pids[-1] for pids in started.values()]
            assert all(map(lives, newest))
            await server.kill("kill9")
            assert not any(map(lives, newest))
        await server.start()
    finally:
        await server.stop()
    assert not server.data.exists()


def test_an_unknown_member_of_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServerFailed, match="colour"):
        Manifest.load(manifest(tmp_path, colour="blue"))


def test_a_setting_that_cannot_be_set_makes_its_case_inapplicable(tmp_path: Path) -> None:
    case = next(
        case for case in load_cases(CASES) if case.name == "server/auth/key-that-cannot-be-fetched"
    )
    lacking = Manifest.load(manifest(tmp_path, handlers="{conf: none}"))
    assert lacking.lacks(case) == "the setting jwks_url of several cannot be set"
    having = Manifest.load(manifest(tmp_path, handlers="{conf: none}", settings="{jwks_url: K}"))
    assert having.lacks(case) is None
