# SPDX-License-Identifier: Apache-2.0
"""The npm packages of each folder that locks some: left alone while nothing changed.

usage: node.py
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from environment import ROOT, say
from parts import npm_folders

STAMP = "node_modules/.longcall.stamp"


def ensure() -> str | None:
    """Installs what the lock files name, exactly; tells where npm failed, or None."""
    failed = []
    for folder in npm_folders():
        wanted = fingerprint(folder)
        stamp = folder / STAMP
        if stamp.is_file() and stamp.read_text() == wanted:
            continue
        say(f"npm ci in {folder.relative_to(ROOT)}")
        install = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(install, cwd=folder, stdout=sys.stderr, check=False)
        if done.returncode == 0:
            stamp.write_text(wanted)
        else:
            failed.append(str(folder.relative_to(ROOT)))
    return f"npm ci failed in {', '.join(failed)}" if failed else None


def fingerprint(folder: Path) -> str:
    """Changes with whatever an installation depends on."""
    digest = hashlib.sha256(str(folder).encode())
    for name in ("package.json", "package-lock.json"):
        digest.update(b"\0" + (folder / name).read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(ensure())
