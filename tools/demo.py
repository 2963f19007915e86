# SPDX-License-Identifier: Apache-2.0
"""Shows it all: a server with a durable store, a report with live progress, the finished PDF.

The last line printed is `report PATH sha256 HEX`, HEX being the digest of the file at PATH and of
the result that the server gave.
"""

import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from environment import ROOT, VENV, ensure, say

PAYLOAD = {"format": "pdf", "report_type": "monthly"}
HANDLERS = "longcall_demo:handlers"
READY_SECONDS = 30
STOP_SECONDS = 15


class DemoFailed(Exception):
    """Something did not go as it should; the text says what, and where to look."""


def main() -> int:
    """Runs the demonstration from nothing to the file."""
    ensure("demo")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    keep = ROOT / ".demo"
    keep.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=keep))
    environment = os.environ | {"LONGCALL_JWT_SECRET": secrets.token_urlsafe(48)}
    try:
        with ThreadPoolExecutor(1) as beside, server(folder, environment, beside) as (url, token):
            say(f"server is ready at {url}")
            report = fetch_report(url, token, folder, environment)
    except DemoFailed as failure:
        print(f"demo failed: {failure}", file=sys.stderr)
        return 1
    shutil.rmtree(folder / "data")  # kept when something failed, to be looked at
    path, digest = report
    print(f"report {path.relative_to(ROOT)} sha256 {digest}", flush=True)
    return 0


@contextmanager
def server(
    folder: Path, environment: dict[str, str], beside: ThreadPoolExecutor
) -> Iterator[tuple[str, str]]:
    """A server of its own port and data; always stopped.

    Gives its URL when it is ready, and a token that was made beside while it started.
    """
    ready, log = folder / "ready.json", folder / "server.log"
    arguments = ["serve", HANDLERS, "--port", "0", "--ready-file", str(ready)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program("longcall-server"), *arguments, "--data-dir", str(folder / "data")],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; the server is told by SIGTERM
        )
    try:
        token = beside.submit(make_token, environment)
        yield wait_until_ready(process, ready, log), token.result()
    finally:
        stop(process)
    if process.returncode != 0:
        raise DemoFailed(f"the server ended with {process.returncode}; {tail(log)}")


def wait_until_ready(process: "subprocess.Popen[bytes]", ready: Path, log: Path) -> str:
    """The URL that the server has written to its ready file."""
    limit = monotonic() + READY_SECONDS
    while not ready.exists():
        try:
            process.wait(timeout=0.02)
        except subprocess.TimeoutExpired:
            if monotonic() < limit:
                continue
            raise DemoFailed(f"no server after {READY_SECONDS} s; {tail(log)}") from None
        raise DemoFailed(f"the server ended with {process.returncode}; {tail(log)}")
    url = json.loads(ready.read_text())["url"]
    assert isinstance(url, str)
    return url


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Asks the server to end, and sees to it that it has."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def make_token(environment: dict[str, str]) -> str:
    """A token of the demo's user, by the server's own command."""
    identity = ["--sub", "demo", "--tenant", "demo", "--permission", "request:*"]
    return output_of(["longcall-server", "token", *identity], environment).strip()


def fetch_report(
    url: str, token: str, folder: Path, environment: dict[str, str]
) -> tuple[Path, str]:
    """Runs the report by the command line client; the file, and its digest, verified."""
    downloads = folder / "report"
    downloads.mkdir()
    call = ["longcall", "call", "generate_report", json.dumps(PAYLOAD)]
    answer = output_of(
        [*call, "--url", url, "--download", str(downloads)],
        environment | {"LONGCALL_TOKEN": token},
    )
    result = json.loads(answer)
    path = downloads / result["file"]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != result["sha256"]:
        raise DemoFailed(f"{path} has sha256 {digest}, but the result says {result['sha256']}")
    return path, digest


def output_of(command: list[str], environment: dict[str, str]) -> str:
    """What one of our programs prints; its errors and its progress go straight to the terminal."""
    name, *arguments = command
    done = subprocess.run(
        [program(name), *arguments], env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        raise DemoFailed(f"`{name} {arguments[0]}` ended with {done.returncode}")
    return done.stdout


def program(name: str) -> str:
    """A program of the environment."""
    return str(VENV / "bin" / name)


def tail(log: Path) -> str:
    """The end of the server's log, with its place."""
    lines = log.read_text(errors="replace").splitlines()[-20:]
    return "\n".join([f"the end of {log}:", *lines])


if __name__ == "__main__":
    sys.exit(main())
