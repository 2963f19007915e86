# SPDX-License-Identifier: Apache-2.0
"""The one virtual environment, `.venv`: made when it is needed, left alone while nothing changed.

usage: environment.py {demo,dev,fuzz}    (prints the path of its Python)

`demo` holds what users get: server, SDK, example. `dev` adds the other packages and the checks, and
`fuzz` what only some machines can install (requirements/fuzz.txt).
A stamp beside the packages remembers what an installation was made from.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
DEV_REQUIREMENTS = (ROOT / "requirements" / "dev.txt", ROOT / "requirements" / "test.txt")
FUZZ_REQUIREMENTS = ROOT / "requirements" / "fuzz.txt"

# Folder of each editable package -> its extras. One pip command installs all of a profile, so that
# the packages find each other here and never on an index.
PACKAGES = {
    "demo": {"server": "", "sdk-python": "[cli]", "server/examples": ""},
    "dev": {
        "server": "[uvloop]",
        "sdk-python": "[cli,otel]",
        "server/examples": "[dev]",
        "codegen": "",
        "conformance-tests": "",
    },
}
PACKAGES["fuzz"] = PACKAGES["dev"]
# Each holds all that those before it do.
PROFILES = ("demo", "dev", "fuzz")


def ensure(profile: str) -> Path:
    """The Python of an environment that holds `profile`; installs only if something changed.

    Raises CalledProcessError if venv or pip fails (they have said why).
    """
    with locked():
        fitting = PROFILES[PROFILES.index(profile) :]
        if PYTHON.exists() and any(is_current(one) for one in fitting):
            return PYTHON
        if not works(PYTHON):
            say("making .venv")
            venv.create(VENV, clear=True, with_pip=True)
        say(f"installing into .venv: {', '.join(PACKAGES[profile])}")
        started = time.monotonic()
        stamp(profile).unlink(missing_ok=True)
        # Most of what is installed is never imported: what is, gets compiled then.
        pip("install", "--no-compile", *targets(profile))
        stamp(profile).write_text(fingerprint(profile))
        say(f"installed in {time.monotonic() - started:.0f} s")
    return PYTHON


def stamp(profile: str) -> Path:
    """Where it is remembered what `profile` was installed from."""
    return VENV / f".longcall-{profile}.stamp"


def is_current(profile: str) -> bool:
    """Whether the environment holds `profile` as its files describe it now."""
    return stamp(profile).is_file() and stamp(profile).read_text() == fingerprint(profile)


@contextmanager
def locked() -> Iterator[None]:
    """One installation at a time: two `make` side by side do not tear the environment."""
    with CONSTRAINTS.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def works(python: Path) -> bool:
    """Whether `python` runs, is new enough, and has pip."""
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    try:
        return (
            subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0
        )
    except OSError:
        return False


def targets(profile: str) -> list[str]:
    """What pip is told to install."""
    editable = [
        part
        for folder, extras in PACKAGES[profile].items()
        for part in ("--editable", f"{ROOT / folder}{extras}")
    ]
    wanted = [str(file) for file in requirements(profile) if file != DEV_REQUIREMENTS[1]]
    return editable + [part for file in wanted for part in ("--requirement", file)]


def requirements(profile: str) -> tuple[Path, ...]:
    """The files of what a profile needs beside the packages; test.txt is read by dev.txt."""
    match profile:
        case "dev":
            return DEV_REQUIREMENTS
        case "fuzz":
            return (*DEV_REQUIREMENTS, FUZZ_REQUIREMENTS)
    return ()


def fingerprint(profile: str) -> str:
    """Changes with whatever an installation depends on."""
    files = [ROOT / folder / "pyproject.toml" for folder in PACKAGES[profile]]
    files += [CONSTRAINTS, *requirements(profile)]
    digest = hashlib.sha256(f"{ROOT}\0{PYTHON.resolve()}".encode())
    for file in files:
        digest.update(b"\0" + file.read_bytes())
    return digest.hexdigest()


def pip(*arguments: str, python: Path = PYTHON, constrained: bool = True) -> None:
    """Runs pip quietly, with the versions of constraints.txt (for build backends as well)."""
    environment = os.environ | {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    if constrained:
        environment |= constraint_variables()
    # pip's own output is news; whoever calls may keep its standard output for a machine to read.
    subprocess.run(
        [python, "-m", "pip", "--quiet", *arguments], env=environment, stdout=sys.stderr, check=True
    )


def constraint_variables() -> dict[str, str]:
    """Environment that pins pip: the second name is what newer pips read for build backends."""
    return {"PIP_CONSTRAINT": str(CONSTRAINTS), "PIP_BUILD_CONSTRAINT": str(CONSTRAINTS)}


def say(text: str) -> None:
    """One line of news; standard output stays for the answer."""
    print(f"· {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in PACKAGES:
        sys.exit(__doc__)
    print(ensure(sys.argv[1]))
