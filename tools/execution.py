# SPDX-License-Identifier: Apache-2.0
"""Runs the commands of a part as processes of their own, and keeps what they print."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from time import monotonic

from environment import ROOT, VENV
from parts import Command, Part
from report import Result, Verdict, skipped_tests

COMMAND_SECONDS = 3600  # a command that takes longer hangs: it is killed, and has failed


def run_part(part: Part, show: Callable[[str], object]) -> Result:
    """Runs all commands of a part, also after one has failed; each line goes to `show` at once."""
    started = monotonic()
    output: list[str] = []

    def keep(line: str) -> None:
        output.append(line)
        show(line)

    failures = [reason for command in part.commands if (reason := run_command(command, keep))]
    if not part.commands:
        failures = ["there is nothing to run: its folder is missing"]
    return Result(
        part.name,
        Verdict.FAILED if failures else Verdict.PASSED,
        monotonic() - started,
        failures + skipped_tests(output),
    )


def run_command(command: Command, show: Callable[[str], None]) -> str | None:
    """Why the command failed; None if it did not."""
    said_something = False
    try:
        with started(command) as process:
            assert process.stdout is not None
            for line in process.stdout:
                said_something = True
                show(line if line.endswith("\n") else f"{line}\n")
            code = process.wait()
    except OSError as error:
        return f"{described(command)}: {error.strerror}"
    if code:
        return f"{described(command)}: exit code {code}"
    if command.quiet and said_something:
        return f"{described(command)}: names files, see above"
    return None


@contextmanager
def started(command: Command) -> Iterator["subprocess.Popen[str]"]:
    """The running command, in a process group that does not outlive its time nor ours."""
    process = subprocess.Popen(
        command.argv,
        cwd=command.cwd,
        env=variables() | command.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    timer = Timer(COMMAND_SECONDS, kill_group, [process.pid])
    timer.start()
    with process:
        try:
            yield process
        except BaseException:
            kill_group(process.pid)
            raise
        finally:
            timer.cancel()


def kill_group(group: int) -> None:
    """Ends a process and all that it started, if they are still there."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def variables() -> dict[str, str]:
    """The environment of every command: our tools first, plain text, lines as they come."""
    ours = {
        "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "VIRTUAL_ENV": str(VENV),
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
    }
    return {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"} | ours


def described(command: Command) -> str:
    """The command as people would write it, in the folder where it ran."""
    words = [os.path.relpath(word, ROOT) if os.path.isabs(word) else word for word in command.argv]
    text = " ".join(words if len(words) <= 6 else [*words[:6], "…"])
    return text if command.cwd == ROOT else f"({os.path.relpath(command.cwd, ROOT)}) {text}"
