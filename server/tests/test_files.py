# SPDX-License-Identifier: Apache-2.0
import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from longcall_server import AttemptFenced
from longcall_server.core.lifecycle import RetryPolicy
from longcall_server.files import FileStore, check_name
from longcall_server.stores.base import (
    Lease,
    NewRequest,
    Owner,
    RequestKey,
    StoreUnavailable,
    Tombstone,
)
from longcall_server.stores.memory import MemoryStore

KEY = RequestKey(Owner("tenant", "user"), "r-1")


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    store = FileStore(tmp_path / "files")
    store.prepare()
    return store


def everything(files: FileStore) -> list[Path]:
    return [path for path in files.root.rglob("*") if path.is_file()]


async def test_a_file_is_written_measured_and_private(files: FileStore) -> None:
    draft = await files.open(KEY, 1, "übersicht 1.csv", "text/csv")
    draft.write(b"a,b\n")
    draft.write(b"1,2\n")
    stored = draft.seal()
    assert (stored.name, stored.media_type, stored.size) == ("übersicht 1.csv", "text/csv", 8)
    assert stored.sha256 == hashlib.sha256(b"a,b\n1,2\n").hexdigest()
    assert files.path(stored.location).read_bytes() == b"a,b\n1,2\n"
    assert stat.S_IMODE(files.path(stored.location).parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(files.root.stat().st_mode) == 0o700
    with pytest.raises(ValueError, match="finished"):
        draft.write(b"more")


async def test_a_library_may_write_the_path_itself_or_replace_it(files: FileStore) -> None:
    draft = await files.open(KEY, 1, "a.bin", "application/octet-stream")
    other = draft.path.with_name("temporary")
    other.write_bytes(b"replaced")
    os.replace(other, draft.path)
    assert draft.seal().sha256 == hashlib.sha256(b"replaced").hexdigest()


async def test_equal_names_never_share_a_place(files: FileStore) -> None:
    one = await files.open(KEY, 1, "same", "text/plain")
    two = await files.open(KEY, 1, "same", "text/plain")
    assert one.location != two.location


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "a\0b", "a\nb", "\u202ea", "ü" * 128, "\ud800"]
)
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        check_name(name)


@pytest.mark.parametrize("name", ["a", "...", ".hidden", "x" * 255, "ü" * 127, "a b'c\"d"])
async def test_a_good_name_can_be_written(files: FileStore, name: str) -> None:
    assert (await files.open(KEY, 1, name, "text/plain")).seal().name == name


@pytest.mark.parametrize("media_type", ["", "text", "text/plain\r\nX: y", "text/ü"])
async def test_a_bad_media_type_is_refused(files: FileStore, media_type: str) -> None:
    with pytest.raises(ValueError, match="media type"):
        await files.open(KEY, 1, "a", media_type)


async def test_a_discarded_file_is_gone_and_takes_nothing_more(files: FileStore) -> None:
    draft = await files.open(KEY, 1, "a", "text/plain")
    draft.write(b"x")
    draft.discard()
    draft.discard()
    assert everything(files) == []
    with pytest.raises(AttemptFenced):
        draft.write(b"y")
    with pytest.raises(AttemptFenced):
        draft.seal()


@pytest.mark.parametrize("location", ["", "a", "a/b", "../x/y", "a/../b", "a/b/c/d", "/a/b"])
def test_a_location_never_leaves_the_folder(files: FileStore, location: str) -> None:
    with pytest.raises(ValueError, match="not a location"):
        files.path(location)


async def submitted(store: MemoryStore) -> Lease:
    new = NewRequest(KEY, "act", "null", "digest", "s-1", RetryPolicy())
    await store.submit(new, max_in_flight=10)
    (claimed,) = await store.claim("worker", ["act"], limit=1, lease_ms=1000)
    return claimed.lease


async def test_orphans_are_removed_and_recorded_files_stay(files: FileStore) -> None:
    store = MemoryStore()
    lease = await submitted(store)
    kept = (await files.open(KEY, 1, "kept", "text/plain")).seal()
    lost = await files.open(KEY, 1, "lost", "text/plain")
    foreign = await files.open(replace(KEY, id="r-2"), 1, "foreign", "text/plain")
    await store.complete(lease, "null", files=[kept])
    after_restart = FileStore(files.root)
    assert await after_restart.remove_orphans(store.get) == 2
    assert files.path(kept.location).exists()
    assert not lost.path.exists()
    assert not foreign.path.exists()
    assert await after_restart.remove_orphans(store.get) == 0


async def test_files_of_running_attempts_are_no_orphans(files: FileStore) -> None:
    store = MemoryStore()
    await submitted(store)
    mine = await files.open(KEY, 7, "mine", "text/plain")
    assert await files.remove_orphans(store.get) == 0
    elsewhere = FileStore(files.root)
    current = await elsewhere.open(KEY, 1, "current", "text/plain")
    stale = await elsewhere.open(KEY, 0, "stale", "text/plain")
    assert await files.remove_orphans(store.get) == 1
    assert mine.path.exists()
    assert current.path.exists()
    assert not stale.path.exists()


async def test_a_half_made_or_expired_file_is_an_orphan(files: FileStore) -> None:
    draft = await files.open(KEY, 1, "a", "text/plain")
    draft.path.unlink()
    second = await files.open(KEY, 1, "b", "text/plain")
    second.path.parent.with_suffix(".json").write_text("torn")

    async def expired(key: RequestKey) -> Tombstone:
        return Tombstone(key, "digest", 0, 0)

    assert await FileStore(files.root).remove_orphans(expired) == 2
    assert everything(files) == []


async def test_a_file_that_another_process_begins_right_now_is_no_orphan(
    files: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    replace = Path.replace

    def look_and_replace(path: Path, target: Path) -> Path:
        seen.append(list(FileStore(files.root)._notes()))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", look_and_replace)
    draft = await files.open(KEY, 1, "a", "text/plain")
    assert seen == [[]]
    assert draft.path.exists()


async def test_a_note_that_cannot_be_read_now_makes_no_orphan(
    files: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = await files.open(KEY, 1, "a", "text/plain")

    def too_many_open_files(*_: object, **__: object) -> str:
        raise OSError(24, "Too many open files")

    async def unknown(key: RequestKey) -> None:
        return None

    monkeypatch.setattr(Path, "read_text", too_many_open_files)
    assert await FileStore(files.root).remove_orphans(unknown) == 0
    assert draft.path.exists()
    monkeypatch.undo()
    assert await FileStore(files.root).remove_orphans(unknown) == 1


async def test_a_note_that_was_never_finished_is_removed_when_it_is_old(files: FileStore) -> None:
    draft = await files.open(KEY, 1, "a", "text/plain")
    young = draft.path.parent.with_name("young.new")
    old = young.with_name("old.new")
    young.touch()
    old.touch()
    os.utime(old, (0, 0))
    assert await files.remove_orphans(MemoryStore().get) == 0
    assert (young.exists(), old.exists()) == (True, False)


async def test_a_store_that_does_not_answer_loses_no_file(files: FileStore) -> None:
    draft = await files.open(KEY, 1, "a", "text/plain")

    async def unavailable(key: RequestKey) -> None:
        raise StoreUnavailable

    assert await FileStore(files.root).remove_orphans(unavailable) == 0
    assert draft.path.exists()
