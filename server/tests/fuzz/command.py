# SPDX-License-Identifier: Apache-2.0
"""The command line: run the fuzzers, play an input again, or shrink the corpora.

run      each target: its corpus, then atheris and hypothesis for --seconds each
replay   plays files again and says what is wrong with each
merge    takes what runs have found into the committed corpora, the least that covers as much
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from fuzz.seeds import MAX_BYTES, seeds
from fuzz.targets import FOLDER, FOUND, TARGETS, check_of, corpus, corpus_files, replay_line

_FUZZERS = ("atheris", "hypothesis")
_UNIT_SECONDS = 120
"""One input that takes longer hangs; generous, since other work may share the machine."""
_COVERED = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")


@dataclass(frozen=True)
class Outcome:
    """What one run did."""

    target: str
    fuzzer: str
    inputs: int
    seconds: float
    told: str
    """More about it, for the table."""
    failure: str = ""
    """What it said when it failed."""
    crash: Path | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if nothing was found, 1 if something was, 2 if a fuzzer is not installed."""
    parser = argparse.ArgumentParser(
        prog="python -m fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--seconds", type=float, default=600, help="of each fuzzer (default 600)")
    run.add_argument("--targets", nargs="+", choices=tuple(TARGETS), default=list(TARGETS))
    run.add_argument("--fuzzers", nargs="+", choices=_FUZZERS, default=list(_FUZZERS))
    run.add_argument("--seed", type=int, help="of both fuzzers (default: a fresh one, printed)")
    run.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    replay = commands.add_parser("replay")
    replay.add_argument("target", choices=tuple(TARGETS))
    replay.add_argument("files", type=Path, nargs="+")
    commands.add_parser("merge")
    options = parser.parse_args(arguments)
    needs_atheris = options.command == "merge" or "atheris" in getattr(options, "fuzzers", ())
    if needs_atheris and find_spec("atheris") is None:
        print("atheris is not installed here (see requirements/fuzz.txt)")
        return 2
    match options.command:
        case "replay":
            return replay_files(options.target, options.files)
        case "merge":
            return merge()
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    return run_all(options.targets, options.fuzzers, options.seconds, seed, options.jobs)


def run_all(
    targets: Iterable[str], fuzzers: Sequence[str], seconds: float, seed: int, jobs: int
) -> int:
    """Plays the corpora, runs the fuzzers, and ends with a table."""
    print(f"SEED={seed}, {seconds:g} s for each of {' and '.join(fuzzers)}", flush=True)
    targets = list(targets)
    outcomes = [play_corpus(target) for target in targets]
    how: dict[str, Callable[[str, float, int], Outcome]] = {
        "atheris": guided,
        "hypothesis": generated,
    }
    runs = [partial(how[fuzzer], target) for target in targets for fuzzer in fuzzers]
    with ThreadPoolExecutor(jobs) as pool:
        outcomes += pool.map(lambda run: run(seconds, seed), runs)
    print(f"\n{'target':9}{'fuzzer':12}{'inputs':>10}{'seconds':>9}{'a second':>10}")
    for one in outcomes:
        rate = one.inputs / one.seconds if one.seconds else 0
        row = f"{one.target:9}{one.fuzzer:12}{one.inputs:>10}{one.seconds:>9.0f}{rate:>10.0f}"
        print(
            f"{row}  {'FAILED' if one.failure else 'nothing found'}{one.told and '; ' + one.told}"
        )
    for one in outcomes:
        if one.failure:
            print(f"\n── {one.target}, {one.fuzzer} {'─' * 50}\n{one.failure}")
            if one.crash is not None:
                print(f"again: {replay_line(one.target, one.crash)}")
    return int(any(one.failure for one in outcomes))


# --- The runs -------------------------------------------------------------------------------------


def play_corpus(target: str) -> Outcome:
    """Every committed input, once; the first that fails is told."""
    begun = time.monotonic()
    check, files = check_of(target), corpus_files(target)
    for file in files:
        try:
            check(file.read_bytes())
        except Exception:
            seconds = time.monotonic() - begun
            text = traceback.format_exc()
            return Outcome(target, "corpus", len(files), seconds, "", text, file)
    return Outcome(target, "corpus", len(files), time.monotonic() - begun, "")


def guided(target: str, seconds: float, seed: int) -> Outcome:
    """Atheris, from the committed corpus and what earlier runs have found on top of it."""
    begun = time.monotonic()
    news, crashes = _folder(target, "inputs"), _folder(target, "crashes")
    known = set(crashes.iterdir())
    done = _child(
        "fuzz.guided",
        target,
        f"-max_total_time={round(seconds)}",
        f"-seed={seed or 1}",
        f"-max_len={MAX_BYTES}",
        f"-timeout={_UNIT_SECONDS}",
        f"-dict={FOLDER / 'dictionary.txt'}",
        f"-artifact_prefix={crashes}/guided-",
        "-print_final_stats=1",
        str(news),
        str(corpus(target)),
    )
    text = done.stdout
    executed = re.search(r"number_of_executed_units: (\d+)", text)
    covered = _COVERED.findall(text)
    told = "{} branches, {} features, {} inputs kept".format(*covered[-1]) if covered else ""
    inputs = int(executed[1]) if executed else 0
    crash = next(iter(set(crashes.iterdir()) - known), None)
    failure = "" if done.returncode == 0 else _end(text)
    return Outcome(target, "atheris", inputs, time.monotonic() - begun, told, failure, crash)


def generated(target: str, seconds: float, seed: int) -> Outcome:
    """Hypothesis."""
    begun = time.monotonic()
    crashes = str(_folder(target, "crashes"))
    words = ("--seconds", f"{seconds}", "--seed", f"{seed}", "--crashes", crashes)
    done = _child("fuzz.generated", target, *words)
    seconds = time.monotonic() - begun
    if done.returncode != 0:
        return Outcome(target, "hypothesis", 0, seconds, "", _end(done.stdout))
    told = json.loads(done.stdout.splitlines()[-1])
    crash = None if told["crash"] is None else Path(told["crash"])
    failure = "" if crash is None else _end(done.stdout)
    batches = f"{told['seeds']} batches"
    return Outcome(target, "hypothesis", told["inputs"], seconds, batches, failure, crash)


def replay_files(target: str, files: Iterable[Path]) -> int:
    """Plays inputs again; the whole traceback of each that fails."""
    check, failed = check_of(target), 0
    for file in files:
        try:
            check(file.read_bytes())
        except Exception:
            failed = 1
            print(f"{file}:\n{traceback.format_exc()}")
        else:
            print(f"{file}: nothing is wrong")
    return failed


def merge() -> int:
    """Writes the corpora anew: the smallest inputs that reach what all known ones reach."""
    found = 0
    for target in TARGETS:
        known = set(_folder(target, "crashes").iterdir())
        with tempfile.TemporaryDirectory() as folder:
            first, least = Path(folder, "seeds"), Path(folder, "least")
            first.mkdir()
            least.mkdir()
            for number, data in enumerate(sorted(seeds(target))):
                (first / f"{number}").write_bytes(data)
            sources = (corpus(target), _folder(target, "inputs"), first)
            flags = ("-merge=1", f"-max_len={MAX_BYTES}", f"-timeout={_UNIT_SECONDS}")
            crashes = f"-artifact_prefix={_folder(target, 'crashes')}/merge-"
            done = _child("fuzz.guided", target, *flags, crashes, str(least), *map(str, sources))
            if done.returncode != 0 or not any(least.iterdir()):
                print(_end(done.stdout))
                return 1
            before = len(corpus_files(target))
            shutil.rmtree(corpus(target))
            shutil.copytree(least, corpus(target))
            files = corpus_files(target)
        for crash in set(_folder(target, "crashes").iterdir()) - known:
            found = 1
            print(f"it fails: {replay_line(target, crash)}")
        size = sum(file.stat().st_size for file in files)
        print(f"{target}: {before} inputs before, {len(files)} now, {size} bytes")
    return found


def _child(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A run in a process of its own: libFuzzer ends the one it is in."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=FOLDER.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def _folder(target: str, name: str) -> Path:
    folder = FOUND / target / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _end(text: str) -> str:
    return "\n".join(text.splitlines()[-40:])
