# SPDX-License-Identifier: Apache-2.0
r"""Runs a report: its rows as they come, its progress on standard error, its result at the end.

    LONGCALL_URL=ws://127.0.0.1:8765/v1/connect LONGCALL_TOKEN=… python report.py \
        '{"format":"csv","report_type":"monthly"}'

Every row is one line of canonical JSON, so that the examples of all languages print the same.
"""

import asyncio
import json
import os
import sys

from longcall import Chunk, Progress, Status, canonical_json, connect


async def main() -> None:
    """Follows the report from its first event to its end, whatever the connection does."""
    payload = sys.argv[1] if len(sys.argv) > 1 else '{"format":"csv","report_type":"monthly"}'
    url, token = os.environ["LONGCALL_URL"], os.environ["LONGCALL_TOKEN"]
    async with connect(url, token) as client:
        handle = await client.submit("generate_report", json.loads(payload))
        print("request", handle.id, file=sys.stderr)
        async for event in handle:
            match event:
                case Chunk(data=list(rows)):
                    for row in rows:
                        print(canonical_json(row))
                case Progress(percentage=percentage, message=message):
                    print("progress", percentage, message or "", file=sys.stderr)
                case Status(status=status, attempt=attempt):
                    print(status, attempt, file=sys.stderr)
        print("result", canonical_json(await handle.result()))


asyncio.run(main())
