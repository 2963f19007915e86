# SPDX-License-Identifier: Apache-2.0
"""Each contract of .importlinter finds the import that it forbids, planted into a copy."""

import configparser
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from environment import ROOT, VENV

SOURCES = (
    "server/src/longcall_server",
    "sdk-python/src/longcall",
    "codegen/src/longcall_codegen",
    "conformance-tests/src/longcall_conformance",
    "server/examples/longcall_demo",
)
# Contract -> the file that breaks it, and how.
PLANTED = {
    "rooms": ("longcall_conformance/planted.py", "import longcall.protocol"),
    "demo": ("longcall_server/planted.py", "import longcall_demo"),
    "server-layers": ("longcall_server/executor/executor.py", "import longcall_server.requests"),
    "server-core": ("longcall_server/core/planted.py", "import asyncio"),
    "server-auth": ("longcall_server/auth/claims.py", "import longcall_server.auth.fetching"),
    "server-requests": ("longcall_server/quick.py", "import longcall_server.worker"),
    "server-gateway": ("longcall_server/gateway/planted.py", "import longcall_server.executor"),
    "server-executor": ("longcall_server/executor/executor.py", "import longcall_server.bus.base"),
    "server-engines": ("longcall_server/requests.py", "import longcall_server.stores.sqlite"),
    "server-engines-apart": (
        "longcall_server/stores/sqlite/planted.py",
        "import longcall_server.stores.memory",
    ),
    "sdk-layers": ("longcall/protocol/planted.py", "import longcall.asyncio.client"),
    "sdk-front-end": ("longcall/asyncio/transport.py", "import longcall.asyncio.client"),
    "sdk-front-end-sync": ("longcall/sync/callbacks.py", "import longcall.sync.client"),
    "sdk-testing": ("longcall/testing/clock.py", "import longcall.testing.server"),
    "sdk-protocol": ("longcall/protocol/planted.py", "import socket"),
}


def lint(sources: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Lints the packages that stand in `sources`."""
    options = ["--config", str(ROOT / ".importlinter"), "--no-cache", "--no-logo"]
    return subprocess.run(
        [str(VENV / "bin" / "lint-imports"), *options, *arguments],
        cwd=sources,
        env=os.environ | {"PYTHONPATH": str(sources), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """All packages side by side."""
    ignored = shutil.ignore_patterns("__pycache__")
    for source in SOURCES:
        shutil.copytree(ROOT / source, tmp_path / Path(source).name, ignore=ignored)
    return tmp_path


def test_every_contract_has_its_planted_import() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    names = [name.split(":")[2] for name in contracts.sections() if name.count(":") == 2]

    assert names == list(PLANTED)


@pytest.mark.slow
@pytest.mark.parametrize("contract", PLANTED)
def test_a_contract_breaks_at_the_import_that_it_forbids(copy: Path, contract: str) -> None:
    name, line = PLANTED[contract]
    before = lint(copy, "--contract", contract)
    with (copy / name).open("a") as file:
        file.write(f"\n{line}\n")

    after = lint(copy, "--contract", contract)

    assert before.returncode == 0, before.stdout
    assert after.returncode == 1
    assert "0 kept, 1 broken" in after.stdout


@pytest.mark.slow
@pytest.mark.parametrize("package", ["longcall_server", "longcall"])
def test_a_new_module_must_find_its_place(copy: Path, package: str) -> None:
    (copy / package / "newcomer.py").write_text("")

    assert f"- {package}.newcomer" in lint(copy).stdout
