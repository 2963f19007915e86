# SPDX-License-Identifier: Apache-2.0
"""Each emitter makes of the fixture's schema what is kept in golden/."""

from __future__ import annotations

import pytest
from golden import emitted, kept


@pytest.mark.parametrize("name", ["bundle", "docs", "python"])
def test_the_emitter_makes_what_is_kept(name: str) -> None:
    assert emitted(name) == kept(name)
