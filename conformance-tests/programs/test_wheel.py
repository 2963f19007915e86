# SPDX-License-Identifier: Apache-2.0
"""What a stranger does: install the wheel, go to an empty folder, name a server by its URL."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections import Counter
from pathlib import Path

import pytest

from longcall_conformance.runner.manifest import Manifest
from longcall_conformance.runner.server_process import ServerProcess

SUITE = Path(__file__).parent.parent
SECRET = secrets.token_hex(32)


async def run(
    *words: str | Path, cwd: Path, code: int = 0, environment: dict[str, str] | None = None
) -> tuple[str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *map(str, words),
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = (text.decode() for text in await process.communicate())
    assert process.returncode == code, f"{out[-3_000:]}{errors[-3_000:]}"
    return out, errors


def found(folder: Path) -> Path:
    """The one wheel in a folder."""
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_wheel_plays_against_a_url_from_an_empty_folder(tmp_path: Path) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    pip = ("-m", "pip", "--disable-pip-version-check", "--quiet")
    built = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, SUITE)
    await run(*pip, *built, cwd=tmp_path)
    wheel = found(tmp_path)
    await run(*pip, "install", "--no-deps", "--no-index", "--target", site, wheel, cwd=tmp_path)

    suite = ("-m", "longcall_conformance")
    installed = {"PYTHONPATH": str(site)}
    said, _ = await run(*suite, "where", cwd=empty, environment=installed)
    where = Path(said.strip())
    assert where.is_relative_to(site)
    nothing, _ = await run(
        *suite, "run", "--only", "server/quick", cwd=empty, code=3, environment=installed
    )
    assert "no server was given" in nothing
    _, refused = await run(
        *(*suite, "run", "--url", "ws://127.0.0.1:9"),
        cwd=empty,
        code=2,
        environment={**installed, "LONGCALL_JWT_SECRET": ""},
    )
    assert "LONGCALL_JWT_SECRET must hold the key" in refused

    manifest = Manifest.parse(
        {
            "name": "somebody's server",
            "start": "{python} -m longcall_server serve {handlers} --host 127.0.0.1 --port {port} "
            "--data-dir {data} --ready-file {ready}",
            "environment": {
                "LONGCALL_JWT_SECRET": "{secret}",
                "LONGCALL_CONF_DIR": "{data}",
                "PYTHONPATH": str(where / "handlers"),
            },
            "handlers": {"conf": "conf_handlers:handlers"},
        },
        empty / "none",
    )
    server = ServerProcess(manifest, {"handlers": "conf"}, tmp_path, SECRET)
    try:
        await server.start()
        driver = f"python={sys.executable} {SUITE / 'drivers' / 'python' / 'driver.py'}"
        chosen = ("--only", "server", "--only", "e2e/quick", "--only", "e2e/durable")
        known = ("--url", server.url, "--secret-env", "KEY", "--driver", driver)
        told, _ = await run(
            *suite,
            "run",
            *chosen,
            *known,
            "--junit",
            "out.xml",
            cwd=empty,
            environment={**installed, "KEY": SECRET},
        )
    finally:
        await server.stop()
    document = json.loads((empty / "out" / "results.json").read_text())
    verdicts = Counter(result["verdict"] for result in document["results"])
    assert document["complete"]
    assert set(verdicts) == {"pass", "not-applicable"}
    assert verdicts["pass"] > 100
    assert "cannot be killed and started again" in told
    assert "the limit max_message_bytes of" in told
    assert (empty / "out.xml").exists()
    assert {path.name for path in empty.iterdir()} == {"out", "out.xml"}
