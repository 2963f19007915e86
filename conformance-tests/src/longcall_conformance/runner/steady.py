# SPDX-License-Identifier: Apache-2.0
"""Whether several runs came to the same verdicts: a play that does not is no proof of anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .results import Results


def differences(runs: Sequence[Results]) -> list[str]:
    """The plays whose verdicts are not the same in all runs, each with how often it had which."""
    verdicts: dict[tuple[str, str], Counter[str]] = {}
    first: dict[tuple[str, str], str] = {}
    for number, run in enumerate(runs, 1):
        for result in run.results:
            key = (result.subject, result.label)
            verdicts.setdefault(key, Counter())[result.verdict] += 1
            if len(verdicts[key]) > 1 and key not in first:
                first[key] = f"run {number} differs from those before it"
    found = []
    for key, counts in sorted(verdicts.items()):
        if (missing := len(runs) - counts.total()) > 0:
            counts["not played"] = missing
        if len(counts) > 1:
            told = ", ".join(
                f"{verdict} {count} of {len(runs)}" for verdict, count in counts.items()
            )
            where = f" ({first[key]})" if key in first else ""
            found.append(f"{key[0]} {key[1]}: {told}{where}")
    return found
