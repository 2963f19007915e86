# SPDX-License-Identifier: Apache-2.0
"""`convert`: CSV to JSON Lines and back, with every value as it was written."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from longcall_demo.bulk.documents import JsonNumber, documents
from longcall_demo.sources.cells import is_missing
from longcall_demo.sources.reader import MAX_COLUMNS, Source, bad_source
from longcall_server import HandlerError

ENDINGS: dict[str, Literal["csv", "jsonl"]] = {".csv": "jsonl", ".jsonl": "csv", ".ndjson": "csv"}
MEDIA_TYPES = {"csv": "text/csv", "jsonl": "application/jsonl"}
BLOCK = 65_536
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)

Write = Callable[[bytes], None]
Tick = Callable[[], None]


def target(item: str, to: Literal["csv", "jsonl"] | None) -> Literal["csv", "jsonl"]:
    """What the file becomes; HandlerError UNKNOWN_FORMAT if neither says it."""
    found = to or ENDINGS.get(Path(item).suffix.lower())
    if found is None:
        raise HandlerError("UNKNOWN_FORMAT", f"{item!r} ends in neither .csv nor .jsonl: say `to`")
    return found


def to_json_lines(path: Path, write: Write, tick: Tick) -> int:
    """Writes a line a record; gives their number. Raises HandlerError BAD_SOURCE; `tick` is called
    now and then, and may raise."""
    with Source(path) as source:
        numeric = [True] * len(source.header)
        for batch in source.batches():
            tick()
            for index, column in enumerate(zip(*batch.records, strict=True)):
                numeric[index] = numeric[index] and all(map(_is_number, column))
        names = [json.dumps(name, ensure_ascii=False) for name in source.header]
        records = 0
        for batch in source.batches():
            tick()
            lines = []
            for record in batch.records:
                values = map(_json_text, record, numeric)
                pairs = (f"{name}: {value}" for name, value in zip(names, values, strict=True))
                lines.append("{" + ", ".join(pairs) + "}\n")
            write("".join(lines).encode())
            records += len(lines)
        source.raise_if_changed()
    return records


def _is_number(cell: str) -> bool:
    return is_missing(cell) or _JSON_NUMBER.fullmatch(cell.strip()) is not None


def _json_text(cell: str, numeric: bool) -> str:
    if is_missing(cell):
        return "null"
    return cell.strip() if numeric else json.dumps(cell, ensure_ascii=False)


def to_csv(path: Path, write: Write, tick: Tick) -> int:
    """Writes a header and a line a record; gives their number. Raises HandlerError BAD_SOURCE for
    what is not an object of texts, numbers, booleans and nulls."""
    columns: dict[str, None] = {}
    for line, record in _flat(path, tick):
        columns.update(dict.fromkeys(record))
        if len(columns) > MAX_COLUMNS:
            raise bad_source(f"over {MAX_COLUMNS} different keys", line=line)
    if not columns:
        raise bad_source("there is no record", line=1)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    records = 0
    for _, record in _flat(path, tick):
        records += 1
        writer.writerow([_cell(record.get(name)) for name in columns])
        if text.tell() > BLOCK:
            write(_taken(text))
    write(_taken(text))
    return records


def _taken(text: io.StringIO) -> bytes:
    content = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return content


def _flat(path: Path, tick: Tick) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, document in documents(path, JsonNumber):
        if line % 500 == 1:
            tick()
        if not isinstance(document, dict):
            raise bad_source("an object was expected", line=line)
        nested = next((k for k, v in document.items() if isinstance(v, dict | list)), None)
        if nested is not None:
            raise bad_source("the value is not flat", line=line, column=nested[:100])
        yield line, document


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)
