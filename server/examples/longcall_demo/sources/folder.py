# SPDX-License-Identifier: Apache-2.0
"""The data folder: which files a payload may name, and which file of a result comes of one."""

import importlib.util
import os
import re
from pathlib import Path

from longcall_server import HandlerError

DATA_DIR_VARIABLE = "LONGCALL_DEMO_DATA_DIR"
DEFAULT_DATA_DIR = "data"


def find_source(name: str | None) -> Path:
    """The file that a payload's `source` names, in the data folder; None: the Seattle weather.

    The folder is `LONGCALL_DEMO_DATA_DIR`, or `data` in the working directory. Raises
    HandlerError SOURCE_NOT_ALLOWED for what lies outside of it (an absolute path, `..`, a
    symbolic link that leads out), SOURCE_NOT_FOUND for what is not a file in it.
    """
    if name is None:
        return _seattle_weather()
    folder = Path(os.environ.get(DATA_DIR_VARIABLE) or DEFAULT_DATA_DIR).resolve()
    not_found = HandlerError("SOURCE_NOT_FOUND", f"there is no file {name!r} in the data folder")
    try:
        path = (folder / name).resolve()
        # Outside is refused before anything says whether something is there.
        if Path(name).is_absolute() or not path.is_relative_to(folder):
            raise HandlerError("SOURCE_NOT_ALLOWED", f"{name!r} lies outside of the data folder")
        if not path.is_file():
            raise not_found
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL in it, a loop of links
        raise not_found from error
    return path


def _seattle_weather() -> Path:
    # Looked up, not imported: the package would import pandas for the sake of one text file.
    spec = importlib.util.find_spec("vega_datasets")
    if spec is None or spec.origin is None:
        raise HandlerError("SOURCE_NOT_FOUND", "the package vega-datasets is not installed")
    return Path(spec.origin).parent / "_data" / "seattle-weather.csv"


def file_stem(name: str, otherwise: str) -> str:
    """The name without its ending, of letters, digits, `_` and `-` alone, 80 at the most."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(name).stem).strip("-")[:80]
    return stem or otherwise
