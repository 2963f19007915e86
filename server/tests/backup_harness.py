# SPDX-License-Identifier: Apache-2.0
"""Data folders to back up and to restore."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from operator_harness import DataFolder, fail

from longcall_server.stores.suite import Scene
from longcall_server.stores.suite.support import BOB, key_of

Folders = Callable[[str], DataFolder]


def contents(folder: DataFolder) -> dict[str, Any]:
    """All rows of the database, and all files beside it."""
    with closing(sqlite3.connect(folder.settings.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        found: dict[str, Any] = {
            name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in tables
        }
    files = folder.settings.files_dir
    found["files"] = {
        str(path.relative_to(files)): path.read_bytes()
        for path in files.rglob("*")
        if path.is_file()
    }
    return found


def lived_in(folder: DataFolder) -> DataFolder:
    """A data folder with something of everything."""

    async def story(scene: Scene) -> None:
        await fail(scene, "failed")
        await scene.submit("queued", payload='{"n":1}')
        done = await scene.running("done")
        await scene.chunk(done, {"ä": 1}, 1)
        await scene.store.complete(
            done, '{"rows":1}', files=[await folder.file(done, "r ü.txt", b"rows")]
        )
        await scene.running("removed")
        await scene.submit("gone", BOB)
        await scene.store.request_cancel(key_of("gone", BOB), None)
        await scene.store.delete(key_of("gone", BOB))

    folder.play(story)
    return folder


def saved(folder: DataFolder) -> Path:
    target = folder.path.parent / "backup.tar"
    said = folder.command("backup", str(target))
    assert said.code == 0, said.err
    return target
