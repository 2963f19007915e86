# SPDX-License-Identifier: Apache-2.0
import logging
import re
from collections.abc import Iterator

import pytest

from longcall_server.telemetry import Seldom, configure_logging


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    ours = logging.getLogger("longcall_server").level
    access = logging.getLogger("aiohttp.access").level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("longcall_server").setLevel(ours)
    logging.getLogger("aiohttp.access").setLevel(access)


@pytest.mark.clause("3.2.7")
def test_our_log_is_shown_and_of_others_only_warnings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info")
    logging.getLogger("longcall_server.worker").info("shown")
    logging.getLogger("longcall_server.worker").debug("hidden")
    logging.getLogger("somebody.else").info("hidden")
    logging.getLogger("somebody.else").warning("shown too")
    logging.getLogger("aiohttp.access").info("GET /?access_token=secret")
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["shown", "shown too"]
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.match(rf"{stamp} INFO    longcall_server\.worker: shown", lines[0])


def test_a_warning_that_a_flood_repeats_is_one_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    seldom = Seldom(logging.getLogger("longcall_server.test"), clock=lambda: now)
    for now in (0.0, 1.0, 59.0, 60.0, 61.0):
        seldom.warning("too many: %d", now)
    seldom.warning("something else")
    assert [record.getMessage() for record in caplog.records] == [
        "too many: 0",
        "too many: 60",
        "something else",
    ]
