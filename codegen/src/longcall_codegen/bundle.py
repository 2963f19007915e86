# SPDX-License-Identifier: Apache-2.0
"""Joins the schema's files into one document with `$defs` keyed by title.

Every generator reads this one document, so that each type has one name in every language.
The files in `schema/` stay the source: one a message, one a definition.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import SchemaError

Json = Any

BUNDLE_ID = "https://longcall.dev/schema/v1/bundle.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def load_json(path: Path) -> Json:
    """Reads one JSON file; raises `SchemaError` naming the file when it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SchemaError(f"{path}: not JSON: {error}") from error


def build_bundle(schema_dir: Path) -> dict[str, Json]:
    """Returns the bundled document: `{"$schema", "$id", "title", "version", "$defs"}`.

    `$defs` is `{title: schema}`. References between files become `#/$defs/<title>`. Definitions
    come first, then messages, then the two unions, each group ordered by file name, so that the
    output never depends on the disk.
    """
    documents: dict[PurePosixPath, dict[str, Json]] = {}
    for pattern in ("definitions/*.json", "messages/*.json", "*-message.json"):
        for file in sorted(schema_dir.glob(pattern)):
            documents[PurePosixPath(file.relative_to(schema_dir).as_posix())] = load_json(file)
    titles = _titles(documents)
    definitions: dict[str, Json] = {}
    for path, document in documents.items():
        body = {key: value for key, value in document.items() if key not in ("$schema", "$id")}
        definitions[document["title"]] = _rewrite(body, path, titles)
    return {
        "$schema": DIALECT,
        "$id": BUNDLE_ID,
        "title": "Longcall",
        "version": (schema_dir / "VERSION").read_text(encoding="utf-8").strip(),
        "$defs": definitions,
    }


def _titles(documents: dict[PurePosixPath, dict[str, Json]]) -> dict[PurePosixPath, str]:
    titles: dict[PurePosixPath, str] = {}
    for path, document in documents.items():
        title = document.get("title")
        if not isinstance(title, str) or not title:
            raise SchemaError(f"{path}: has no title")
        if title in titles.values():
            raise SchemaError(f"{path}: title {title} is taken by another file")
        titles[path] = title
    return titles


def _rewrite(node: Json, path: PurePosixPath, titles: dict[PurePosixPath, str]) -> Json:
    if isinstance(node, list):
        return [_rewrite(item, path, titles) for item in node]
    if not isinstance(node, dict):
        return node
    rewritten = {key: _rewrite(value, path, titles) for key, value in node.items()}
    reference = node.get("$ref")
    if isinstance(reference, str):
        target = _resolve(path.parent, reference)
        if target not in titles:
            raise SchemaError(f"{path}: {reference} names no file of the schema")
        rewritten["$ref"] = f"#/$defs/{titles[target]}"
    return rewritten


def _resolve(folder: PurePosixPath, reference: str) -> PurePosixPath:
    parts: list[str] = list(folder.parts)
    for part in PurePosixPath(reference).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return PurePosixPath(*parts)
