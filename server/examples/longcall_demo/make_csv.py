# SPDX-License-Identifier: Apache-2.0
"""Makes a CSV of dated records for trying the report on something large:

    python -m longcall_demo.make_csv --rows 1000000 --seed 7 data/sales.csv

The same options give the same bytes, on every machine and version of Python. The records are
sales, spread evenly over the days, in order of time; with `--shuffle` the days are in disorder.
"""

import argparse
import math
import random
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

HEADER = "timestamp,region,channel,units,price,temperature\n"
REGIONS = ("north", "east", "south", "west")
CHANNELS = ("shop", "shop", "web", "web", "web", "phone")
SECONDS_A_DAY = 86_400


def records(rows: int, seed: int, start: date, days: int, *, shuffle: bool) -> Iterator[str]:
    """The text of the file: the header, then one piece of text for each day."""
    # Only random() is promised to give the same numbers in every version of Python.
    draw = random.Random(seed).random
    order = list(range(days))
    if shuffle:
        keys = [draw() for _ in order]
        order.sort(key=keys.__getitem__)
    yield HEADER
    for index in order:
        count = rows * (index + 1) // days - rows * index // days
        yield _day(start + timedelta(days=index), count, draw)


def _day(day: date, count: int, draw: Callable[[], float]) -> str:
    season = math.cos((day.timetuple().tm_yday - 200) / 365.25 * math.tau)
    lines = []
    for number in range(count):
        second = int((number + draw()) * SECONDS_A_DAY / count)
        clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        region = REGIONS[int(draw() * len(REGIONS))]
        channel = CHANNELS[int(draw() * len(CHANNELS))]
        units = int(draw() ** 3 * 12)
        price = int((4 + draw() * 95) * 100)
        # Rounded to a tenth, so that no library's last digit of a cosine shows.
        tenths = round(115 + 90 * season + (draw() - 0.5) * 120)
        lines.append(
            f"{day}T{clock},{region},{channel},{units},{price // 100}.{price % 100:02},"
            f"{tenths / 10}\n"
        )
    return "".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command; `arguments` default to those of the process."""
    parser = argparse.ArgumentParser(prog="python -m longcall_demo.make_csv", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("out", metavar="OUT", type=Path, help="the file to write")
    parser.add_argument("--rows", type=_positive, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=7, help="default: %(default)s")
    parser.add_argument(
        "--start", type=date.fromisoformat, default=date(2015, 1, 1), help="default: %(default)s"
    )
    parser.add_argument(
        "--days", type=_positive, default=3_653, help="that the records lie in; default: ten years"
    )
    parser.add_argument("--shuffle", action="store_true", help="the days not in order")
    options = parser.parse_args(arguments)
    pieces = records(
        options.rows, options.seed, options.start, options.days, shuffle=options.shuffle
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", encoding="ascii", newline="") as file:
        file.writelines(pieces)
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
