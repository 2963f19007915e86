# SPDX-License-Identifier: Apache-2.0
"""Each emitter makes of the fixture's schema what is kept in golden/."""

from __future__ import annotations

import os
import shutil

import pytest
from golden import emitted, kept

needs_go = pytest.mark.skipif(
    shutil.which("gofmt") is None and os.environ.get("CI") != "true",
    reason="gofmt is not on PATH; with CI=true this is a failure",
)


@pytest.mark.parametrize("name", ["bundle", "docs", "python", pytest.param("go", marks=needs_go)])
def test_the_emitter_makes_what_is_kept(name: str) -> None:
    assert emitted(name) == kept(name)
