# SPDX-License-Identifier: Apache-2.0
"""Python: `messages.py`, `codes.py` and `states.py`, the same in the server and in the SDK."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from .model import Bundle, Codes, States
from .python_messages import messages_module
from .python_tables import codes_module, states_module

NAME: Final = "python"

GENERATED: Final = ("server/src/longcall_server/core/*.py", "sdk-python/src/longcall/*.py")

PACKAGES: Final = (
    PurePosixPath("server/src/longcall_server/core"),
    PurePosixPath("sdk-python/src/longcall"),
)
"""The folders of the packages that get the files."""


def emit(bundle: Bundle, codes: Codes, states: States, root: Path) -> Mapping[PurePosixPath, str]:
    """Returns the text of each generated Python file by its path in the checkout."""
    files = {
        "messages.py": messages_module(bundle),
        "codes.py": codes_module(codes),
        "states.py": states_module(states, codes),
    }
    return {package / name: text for package in PACKAGES for name, text in files.items()}
