# SPDX-License-Identifier: Apache-2.0
"""Reads all of `schema/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .bundle import build_bundle
from .model import Bundle, Codes, States
from .parse_bundle import parse_bundle
from .parse_tables import load_codes, load_states


@dataclass(frozen=True)
class Schema:
    """All that `schema/` holds for emitters."""

    bundle: Bundle
    codes: Codes
    states: States


def load_schema(schema_dir: Path) -> Schema:
    """Reads and checks the whole folder; raises `SchemaError` naming file and place."""
    codes = load_codes(schema_dir / "codes.json")
    bundle = parse_bundle(build_bundle(schema_dir), codes)
    return Schema(bundle=bundle, codes=codes, states=load_states(schema_dir / "states", codes))
