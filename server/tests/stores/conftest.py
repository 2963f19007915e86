# SPDX-License-Identifier: Apache-2.0
"""The suite's assertions tell what they compared, as those of a test module do."""

import pytest

pytest.register_assert_rewrite("longcall_server.stores.suite")
