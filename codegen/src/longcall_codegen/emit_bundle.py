# SPDX-License-Identifier: Apache-2.0
"""The bundle itself: the whole schema as one JSON Schema document, for every other generator."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from .model import Bundle, Codes, States

NAME: Final = "bundle"
GENERATED: Final[tuple[str, ...]] = ()


def emit(bundle: Bundle, codes: Codes, states: States, root: Path) -> Mapping[PurePosixPath, str]:
    """Returns `schema/bundle.json`."""
    text = json.dumps(bundle.document, indent=2, ensure_ascii=False) + "\n"
    return {PurePosixPath("schema/bundle.json"): text}
