# SPDX-License-Identifier: Apache-2.0
"""One run of hypothesis: batch after batch until the time is over, each with a seed of its own.

    python -m fuzz.generated codec --seconds 600 --seed 1 --crashes FOLDER

The last line of its output is JSON: how many inputs, and the file of a finding.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
import traceback
import warnings
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisWarning

from fuzz.targets import TARGETS, check_of
from fuzz.texts import SCRIPTS, TEXTS

STRATEGIES: Final[dict[str, st.SearchStrategy[bytes]]] = {"codec": TEXTS, "session": SCRIPTS}
_BATCH: Final = 500


class Batches:
    """Counts the inputs, and remembers the last one that failed: hypothesis ends with the
    smallest."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._check = check_of(target)
        self.inputs = 0
        self.failed: bytes | None = None

    def run(self, number: int) -> None:
        """One batch; raises what the check raises."""

        @seed(number)
        @settings(
            max_examples=_BATCH,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(STRATEGIES[self._target])
        def batch(data: bytes) -> None:
            self.inputs += 1
            try:
                self._check(data)
            except Exception:
                self.failed = data
                raise

        batch()


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("target", choices=tuple(TARGETS))
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True, help="of the first batch")
    parser.add_argument("--crashes", type=Path, required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore", HypothesisWarning)  # that it would show a large input
    batches = Batches(options.target)
    until = time.monotonic() + options.seconds
    number = options.seed
    crash: Path | None = None
    while time.monotonic() < until and crash is None:
        try:
            batches.run(number)
        except Exception:
            traceback.print_exc()
            data = batches.failed or b""
            crash = options.crashes / f"generated-{hashlib.sha256(data).hexdigest()[:16]}"
            crash.write_bytes(data)
        number += 1
    print(
        json.dumps(
            {
                "inputs": batches.inputs,
                "seeds": number - options.seed,
                "crash": crash and str(crash),
            }
        )
    )


if __name__ == "__main__":
    main()
