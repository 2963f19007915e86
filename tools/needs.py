# SPDX-License-Identifier: Apache-2.0
"""What the checks need from the machine, and what to install when it is not there."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import environment

ROOT = Path(__file__).resolve().parent.parent
DEBIAN_PACKAGES = ROOT / ".ci" / "debian-packages.txt"

# Language -> (commands, the command that tells its version, the oldest version, what to install)
LANGUAGES = {
    "node": (("node", "npm"), ("node", "--version"), (20, 0), "Node.js 20 or newer, with npm"),
    "go": (("go", "gofmt"), ("go", "version"), (1, 24), "Go 1.24 or newer"),
}

FUZZER = "atheris"
BROWSER = "chromium"
VULNERABILITIES = "vuln.go.dev"

# What no machine can be made to have: a part that lacks it is skipped and named, in CI as well.
ELSEWHERE = frozenset({VULNERABILITIES})


def missing(name: str) -> str | None:
    """Why what a part needs is not here, and what to do; None if it is."""
    special = {
        FUZZER: missing_fuzzer,
        BROWSER: missing_browser,
        VULNERABILITIES: missing_vulnerabilities,
    }
    return special[name]() if name in special else missing_language(name)


def missing_browser() -> str | None:
    """Why there is no browser; None if there is one."""
    found = shutil.which(BROWSER) is not None
    return None if found else f"{BROWSER} not found: see .ci/debian-packages.txt"


def missing_vulnerabilities() -> str | None:
    """Why the database of vulnerabilities of Go modules is out of reach; None if it is not."""
    try:
        socket.create_connection((VULNERABILITIES, 443), timeout=5).close()
    except OSError as error:
        return f"{VULNERABILITIES}, the database of govulncheck, cannot be reached: {error}"
    return None


def missing_fuzzer() -> str | None:
    """Why there is no coverage-guided fuzzer in the environment; None if there is."""
    command = [str(environment.PYTHON), "-c", f"import {FUZZER}"]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        return None
    return f"{FUZZER} cannot be installed here: see requirements/fuzz.txt"


def missing_language(name: str) -> str | None:
    """Why the language cannot be used here, and what to install; None if it can."""
    commands, version_command, oldest, install = LANGUAGES[name]
    absent = [command for command in commands if shutil.which(command) is None]
    if absent:
        return f"{' and '.join(absent)} not found: install {install}"
    told = subprocess.run(version_command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)", told)
    if found is None or (int(found[1]), int(found[2])) < oldest:
        return f"{name} is too old ({told.strip()}): install {install}"
    return None


def debian_packages() -> list[str]:
    """The names in .ci/debian-packages.txt."""
    lines = DEBIAN_PACKAGES.read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def missing_debian_packages(names: list[str]) -> list[str]:
    """Those of `names` that are not installed; none where there is no dpkg to ask."""
    if shutil.which("dpkg-query") is None:
        return []
    return [name for name in names if not is_installed(name)]


def is_installed(name: str) -> bool:
    """Whether dpkg says that the package is fully installed."""
    status = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", name],
        capture_output=True,
        text=True,
        check=False,
    )
    return status.stdout == "installed"


def install_debian_packages() -> str | None:
    """Installs what is missing if this is root, else says what to run; None if all is there."""
    missing = missing_debian_packages(debian_packages())
    if not missing:
        return None
    line = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() == 0:
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "--quiet=2"], line):
            subprocess.run(command, env=quiet, check=False)
        missing = missing_debian_packages(missing)
        return f"apt-get did not install {' '.join(missing)}" if missing else None
    return f"missing {' '.join(missing)}; run: sudo {' '.join(line)}"
