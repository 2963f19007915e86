# SPDX-License-Identifier: Apache-2.0
from report import Result, Verdict, skipped_tests, table


def test_the_table_tells_each_part_its_time_and_every_reason() -> None:
    results = [
        Result("lint", Verdict.PASSED, 1.25),
        Result("sdk-js", Verdict.SKIPPED, 0.0, ["node not found: install Node.js"]),
        Result(
            "server", Verdict.FAILED, 70.0, ["tox run -e server: exit code 1", "2 skipped: why"]
        ),
    ]

    lines = table(results).splitlines()

    assert lines[1:] == [
        "part    result   seconds  skipped, and why",
        "lint    passed       1.2",
        "sdk-js  skipped      0.0  node not found: install Node.js",
        "server  FAILED      70.0  tox run -e server: exit code 1",
        "                          2 skipped: why",
        "1 passed, 1 failed, 1 skipped",
    ]


def test_what_the_runners_left_out_is_read_from_their_words() -> None:
    output = [
        "SKIPPED [2] server/tests/test_kill.py:9: strace is not installed\n",
        "      Tests  40 passed | 3 skipped (43)\n",
        "=== 12 passed, 2 skipped in 0.53s ===\n",
    ]

    assert skipped_tests(output) == [
        "2 skipped: server/tests/test_kill.py:9: strace is not installed",
        "3 skipped",
    ]
