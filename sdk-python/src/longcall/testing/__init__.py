# SPDX-License-Identifier: Apache-2.0
"""For the tests of applications: a server in memory, and a clock that the test moves.

With pytest the fixture `longcall_server` gives a fresh `InMemoryServer` to each test.
"""

from .clock import TestClock
from .host import Refusal
from .request import InMemoryRequest, Script
from .server import InMemoryServer

__all__ = ["InMemoryRequest", "InMemoryServer", "Refusal", "Script", "TestClock"]
