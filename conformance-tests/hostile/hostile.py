# SPDX-License-Identifier: Apache-2.0
"""Sends a real server what no client should: mutations of good messages, by the million.

    python conformance-tests/hostile/hostile.py --mutations 1000000 --connections 200

Beside the hostile, honest clients of chaos work and write down what they see. Everything that the
hostile send follows from the seed; `--connection 17 --play 3` does one part of it again. Exit
codes: 0 all passed, 1 not.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # The honest clients, and what they ask for, are those of chaos.
    sys.path.append(str(Path(__file__).parents[1] / "chaos"))
    from attack import main  # what it imports is found only now

    sys.exit(main())
