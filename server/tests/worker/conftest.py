# SPDX-License-Identifier: Apache-2.0
import pytest

from longcall_server import Handlers


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()
