# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from longcall_server.stores.workers import is_dead, worker_name

NAME_OF_ANOTHER = "from longcall_server.stores.workers import worker_name; print(worker_name())"
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def name_of_a_dead_process() -> str:
    done = subprocess.run(
        [sys.executable, "-c", NAME_OF_ANOTHER], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_no_two_workers_have_the_same_name() -> None:
    assert worker_name() != worker_name()


def test_a_worker_of_this_process_is_alive() -> None:
    assert not is_dead(worker_name())


@needs_proc
def test_a_worker_of_a_process_that_ended_is_dead() -> None:
    assert is_dead(name_of_a_dead_process())


@needs_proc
def test_a_process_that_nobody_has_waited_for_is_dead() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", NAME_OF_ANOTHER], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    name = child.stdout.read().strip()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_dead(name)
    child.wait()
    child.stdout.close()


@needs_proc
def test_a_worker_is_not_dead_because_that_cannot_be_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = name_of_a_dead_process()
    pid = name.split("/")[1]
    read_text = Path.read_text

    def too_many_open_files(path: Path, *args: Any, **options: Any) -> str:
        if str(path) == f"/proc/{pid}/stat":
            raise OSError(errno.EMFILE, "Too many open files")
        return read_text(path, *args, **options)

    assert is_dead(name)
    monkeypatch.setattr(Path, "read_text", too_many_open_files)
    assert not is_dead(name)


@needs_proc
def test_another_process_with_the_same_pid_is_not_the_worker() -> None:
    place, pid, start_time, number = worker_name().split("/")
    assert is_dead(f"{place}/{pid}/{int(start_time) - 1}/{number}")


@needs_proc
def test_a_worker_of_another_boot_is_dead_only_if_there_is_no_other_machine() -> None:
    place, pid, start_time, number = worker_name().split("/")
    namespace = place.split(".")[1]
    name = f"11111111-2222-3333-4444-555555555555.{namespace}/{pid}/{start_time}/{number}"
    assert not is_dead(name)
    assert is_dead(name, one_machine=True)


@needs_proc
def test_a_worker_of_another_container_is_left_alone() -> None:
    place, _, start_time, number = worker_name().split("/")
    boot = place.split(".")[0]
    assert not is_dead(f"{boot}.1/999999999/{start_time}/{number}", one_machine=True)


@pytest.mark.parametrize("name", ["", "worker-1", "a/b/c", "a.b/c/d/e", "unknown.unknown/1/0/1"])
def test_a_name_that_says_nothing_is_never_dead(name: str) -> None:
    assert not is_dead(name, one_machine=True)
