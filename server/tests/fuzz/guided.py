# SPDX-License-Identifier: Apache-2.0
"""One coverage-guided run: atheris, which is libFuzzer; the arguments behind the target are its.

    python -m fuzz.guided codec -max_total_time=600 FOLDER...

Instrumented are the core and the oracle. Most of a message's form is decided in pydantic's compiled
part, which tells nothing of its branches; the oracle decides the same in Python, and leads there.
"""

from __future__ import annotations

import shlex
import sys

import atheris

INSTRUMENTED = ["longcall_server.core", "fuzz"]


def main() -> None:
    """Never returns: libFuzzer ends the process, with 0 unless it found something."""
    # Not before: what is imported here would stay as it is.
    with atheris.instrument_imports(include=INSTRUMENTED):
        from fuzz.targets import check_of  # noqa: PLC0415

        target = sys.argv.pop(1)
        check = check_of(target)
    # A merge starts the program again through a shell, by what stands here.
    sys.argv[0] = shlex.join([sys.executable, "-m", "fuzz.guided", target])
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
