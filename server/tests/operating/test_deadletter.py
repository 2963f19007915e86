# SPDX-License-Identifier: Apache-2.0
"""`longcall-server deadletter` on a data folder."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from pathlib import Path

import pytest
from operator_harness import DataFolder, fail, without_environment

from longcall_server.__main__ import main
from longcall_server.stores.base import Owner, Record, StoredFile, StoreUnavailable, Tombstone
from longcall_server.stores.sqlite import SqliteStore
from longcall_server.stores.suite import Scene
from longcall_server.stores.suite.support import ALICE, BOB, START, key_of

EVE = Owner("evil", "alice")


@pytest.fixture
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> DataFolder:
    without_environment(monkeypatch)
    return DataFolder(tmp_path / "data", capsys)


async def three(scene: Scene) -> None:
    await fail(scene, "a")
    await fail(scene, "b", BOB, action="mail")
    await fail(scene, "a", EVE)


def record_of(folder: DataFolder, id: str, owner: Owner = ALICE) -> Record | Tombstone | None:
    return folder.play(lambda scene: scene.store.get(key_of(id, owner)))


# --- list -----------------------------------------------------------------------------------------


def test_a_listing_for_programs_is_one_object_a_line_the_newest_first(folder: DataFolder) -> None:
    folder.play(three)
    said = folder.command("deadletter", "list", "--json")
    assert said.code == 0
    assert [(line["tenant"], line["sub"], line["id"]) for line in said.lines] == [
        ("evil", "alice", "a"),
        ("acme", "bob", "b"),
        ("acme", "alice", "a"),
    ]
    assert said.lines[1] == {
        "tenant": "acme",
        "sub": "bob",
        "id": "b",
        "action": "mail",
        "attempts": 1,
        "failures": 1,
        "finished_at": "2027-01-15T08:00:02.000Z",
        "expires_at": "2027-01-16T08:00:02.000Z",
        "error": {"code": "HANDLER_ERROR", "message": "no luck"},
    }


def test_a_listing_for_people_is_a_table(folder: DataFolder) -> None:
    folder.play(three)
    heads, *rows = folder.command("deadletter", "list").out.splitlines()
    assert heads.split() == [
        *("FAILED", "AT", "TENANT", "SUB", "ID", "ACTION", "ATTEMPTS", "REQUEUED", "CODE"),
        "MESSAGE",
    ]
    column = heads.index("ID")
    assert [row[column] for row in rows] == ["a", "b", "a"]
    assert rows[1].startswith("2027-01-15 08:00:02Z  acme    bob    b   mail")
    assert rows[1].endswith("no        HANDLER_ERROR  no luck")


def test_on_a_terminal_a_long_message_is_cut_and_cannot_speak_to_it(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = '{"code":"HANDLER_ERROR","message":"\\u001b[2J\\u202e\\n%s","retryable":false}' % (
        "x" * 500
    )

    async def story(scene: Scene) -> None:
        lease = await scene.running("a")
        await scene.store.fail(lease, evil, retryable=False)

    folder.play(story)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    _, row = folder.command("deadletter", "list").out.splitlines()
    assert len(row) <= 120
    assert "\\x1b[2J\\u202e\\nxxx" in row
    assert row.endswith("…")


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--tenant", "acme"], ["b", "a"]),
        (["--sub", "alice"], ["a", "a"]),
        (["--tenant", "evil", "--sub", "alice"], ["a"]),
        (["--action", "mail"], ["b"]),
        (["--action", "none"], []),
    ],
)
def test_a_listing_keeps_to_its_filters(
    folder: DataFolder, options: list[str], shown: list[str]
) -> None:
    folder.play(three)
    said = folder.command("deadletter", "list", "--json", *options)
    assert [line["id"] for line in said.lines] == shown


def test_a_listing_says_when_there_is_more_and_pages_through_thousands(folder: DataFolder) -> None:
    async def story(scene: Scene) -> None:
        await asyncio.gather(*(scene.submit(f"r{n}", deadline_ms=100 + n) for n in range(1_200)))
        scene.clock.advance(2_000)
        while (await scene.store.sweep(limit=300)).changed:
            pass

    folder.play(story)
    said = folder.command("deadletter", "list", "--json")
    assert len(said.lines) == 50
    assert "more than 50" in said.err
    said = folder.command("deadletter", "list", "--json", "--limit", "1200")
    assert {line["id"] for line in said.lines} == {f"r{n}" for n in range(1_200)}
    assert said.err == ""
    assert "more than 1000" in folder.command("deadletter", "list", "--limit", "1000").err


def test_an_empty_list_says_so_to_people_and_nothing_to_programs(folder: DataFolder) -> None:
    folder.play(lambda scene: scene.submit("queued"))
    said = folder.command("deadletter", "list")
    assert (said.code, said.out) == (0, "")
    assert "no dead letters" in said.err
    said = folder.command("deadletter", "list", "--json")
    assert (said.code, said.out, said.err) == (0, "", "")


def test_a_reader_that_has_had_enough_is_no_traceback(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.play(three)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        said = folder.command("deadletter", "list", "--json")
    assert (said.code, said.err) == (1, "")


def test_a_folder_without_a_database_is_an_error_and_stays_empty(folder: DataFolder) -> None:
    said = folder.command("deadletter", "list")
    assert said.code == 1
    assert f"there is no database {folder.settings.database}" in said.err
    assert not folder.path.exists()


def test_the_folder_may_come_from_the_environment(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.play(three)
    monkeypatch.setenv("LONGCALL_DATA_DIR", str(folder.path))
    with pytest.raises(SystemExit) as ended:
        main(["deadletter", "list", "--json"])
    assert ended.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_a_bad_limit_is_refused(folder: DataFolder, limit: str) -> None:
    said = folder.command("deadletter", "list", f"--limit={limit}")
    assert said.code == 2
    assert "--limit" in said.err


# --- show -----------------------------------------------------------------------------------------


def test_one_is_shown_whole(folder: DataFolder) -> None:
    error = '{"code":"HANDLER_ERROR","message":"no luck","retryable":false,"details":{"code":"x"}}'

    async def story(scene: Scene) -> None:
        lease = await scene.running(
            "a", payload='{"pages":3}', metadata={"order": "ö17"}, deadline_ms=60_000
        )
        await scene.chunk(lease, [1, 2], 1, checkpoint='{"page":1}')
        await scene.store.fail(lease, error, retryable=False)

    folder.play(story)
    said = folder.command("deadletter", "show", "a")
    shown = json.loads(said.out)
    events = shown.pop("events")
    assert shown == {
        "tenant": "acme",
        "sub": "alice",
        "id": "a",
        "action": "action-of-a",
        "status": "failed",
        "attempts": 1,
        "failures": 1,
        "created_at": "2027-01-15T08:00:00.000Z",
        "deadline_at": "2027-01-15T08:01:00.000Z",
        "finished_at": "2027-01-15T08:00:00.000Z",
        "expires_at": "2027-01-16T08:00:00.000Z",
        "priority": 5,
        "metadata": {"order": "ö17"},
        "payload": {"pages": 3},
        "checkpoint": {"page": 1},
        "error": {
            "code": "HANDLER_ERROR",
            "message": "no luck",
            "retryable": False,
            "details": {"code": "x"},
        },
        "files": [],
    }
    assert [(event["seq"], event["type"]) for event in events] == [
        (1, "acknowledgment"),
        (2, "status"),
        (3, "chunk"),
        (4, "error"),
    ]
    assert events[2]["data"] == [1, 2]


def test_an_id_that_several_users_have_needs_the_user(folder: DataFolder) -> None:
    folder.play(three)
    said = folder.command("deadletter", "show", "a")
    assert (said.code, said.out) == (1, "")
    assert said.err.splitlines() == [
        "longcall-server: 2 users have a dead letter a; say whose:",
        "  --tenant acme --sub alice",
        "  --tenant evil --sub alice",
    ]
    said = folder.command("deadletter", "show", "a", "--tenant", "evil")
    assert '"tenant": "evil"' in said.out


def test_what_is_no_dead_letter_is_not_shown(folder: DataFolder) -> None:
    folder.play(three)
    folder.play(lambda scene: scene.submit("queued"))
    for arguments in (["queued"], ["unknown"], ["b", "--sub", "alice"]):
        said = folder.command("deadletter", "show", *arguments)
        assert (said.code, said.out) == (1, "")
        assert f"no dead letter {arguments[0]}" in said.err


# --- requeue --------------------------------------------------------------------------------------


@pytest.mark.clause("10.20.1")
def test_a_requeue_makes_a_new_request_and_tells_its_id(folder: DataFolder) -> None:
    folder.play(three)
    said = folder.command("deadletter", "requeue", "b", "--json")
    (line,) = said.lines
    fresh = record_of(folder, line["requeued_as"], BOB)
    assert isinstance(fresh, Record)
    assert (fresh.status, fresh.requeued_from, fresh.payload) == ("queued", "b", '{"of": "b"}')
    old = record_of(folder, "b", BOB)
    assert isinstance(old, Record)
    assert old.status == "failed"


def test_a_requeue_given_again_makes_no_second_request(folder: DataFolder) -> None:
    folder.play(three)
    first = folder.command("deadletter", "requeue", "--all", "--json")
    again = folder.command("deadletter", "requeue", "--all", "--json")
    assert again == first
    assert len({line["requeued_as"] for line in first.lines}) == 3
    claimed = folder.play(lambda scene: scene.claim("report", "mail"))
    assert len(claimed) == 3


def test_what_was_requeued_is_marked_in_the_list(folder: DataFolder) -> None:
    folder.play(three)
    (line,) = folder.command("deadletter", "requeue", "b", "--json").lines
    shown = folder.command("deadletter", "list", "--json").lines
    assert [letter.get("requeued_as") for letter in shown] == [None, line["requeued_as"], None]


def test_the_id_of_a_requeue_can_be_chosen(folder: DataFolder) -> None:
    folder.play(three)
    for _ in range(2):
        said = folder.command("deadletter", "requeue", "b", "--new-id", "b.2")
        assert (said.code, said.out) == (0, "b of acme/bob is requeued as b.2\n")
    said = folder.command("deadletter", "requeue", "b", "--new-id", "b")
    assert said.code == 1
    assert "the id b stands for another request" in said.err


def test_a_requeue_whose_request_is_gone_again_asks_for_an_id(folder: DataFolder) -> None:
    folder.play(three)
    (line,) = folder.command("deadletter", "requeue", "b", "--json").lines

    async def end(scene: Scene) -> None:
        await scene.store.request_cancel(key_of(line["requeued_as"], BOB), None)
        await scene.store.delete(key_of(line["requeued_as"], BOB))

    folder.play(end)
    said = folder.command("deadletter", "requeue", "b")
    assert said.code == 1
    assert "was requeued before" in said.err
    assert "--new-id" in said.err


def test_filters_choose_what_is_requeued(folder: DataFolder) -> None:
    folder.play(three)
    said = folder.command("deadletter", "requeue", "--all", "--tenant", "acme", "--json")
    assert {line["sub"] for line in said.lines} == {"alice", "bob"}
    assert {line["tenant"] for line in said.lines} == {"acme"}


def test_nothing_is_requeued_when_one_id_is_not_there(folder: DataFolder) -> None:
    folder.play(three)
    said = folder.command("deadletter", "requeue", "b", "unknown")
    assert (said.code, said.out) == (1, "")
    assert folder.play(lambda scene: scene.claim("mail")) == []


def test_what_was_purged_meanwhile_is_told_and_the_rest_is_requeued(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.play(three)
    requeue = SqliteStore.requeue

    async def purged_before(self: SqliteStore, key: object, new_id: str) -> Record | None:
        return None if key == key_of("b", BOB) else await requeue(self, key, new_id)  # type: ignore[arg-type]

    monkeypatch.setattr(SqliteStore, "requeue", purged_before)
    said = folder.command("deadletter", "requeue", "--all", "--json")
    assert said.code == 1
    assert len(said.lines) == 2
    assert "b of acme/bob: it has just been removed" in said.err
    assert "1 of 3 are as they were" in said.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "name the ids"),
        (["a", "--all"], "name the ids"),
        (["a", "--action", "mail"], "--action"),
        (["a", "--older-than", "1d"], "--older-than"),
        (["a", "b", "--new-id", "c"], "--new-id goes with one id"),
        (["--all", "--new-id", "c"], "--new-id goes with one id"),
        (["a", "--new-id", ".."], "--new-id"),
        (["a", "--new-id", "x y"], "--new-id"),
        (["--all", "--older-than", "soon"], "--older-than"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    folder: DataFolder, arguments: list[str], problem: str
) -> None:
    folder.play(three)
    said = folder.command("deadletter", "requeue", *arguments)
    assert (said.code, said.out) == (2, "")
    assert problem in said.err


def test_a_store_that_cannot_be_written_is_no_traceback(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise StoreUnavailable("the database cannot be written right now: disk full")

    folder.play(three)
    monkeypatch.setattr(SqliteStore, "requeue", refuse)
    said = folder.command("deadletter", "requeue", "--all")
    assert said.code == 1
    assert said.err == "longcall-server: the database cannot be written right now: disk full\n"


# --- purge ----------------------------------------------------------------------------------------


@pytest.mark.clause("10.31.1")
def test_a_purge_takes_log_and_files_and_the_id_stays_known(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.play(three)
    monkeypatch.setenv("LONGCALL_ID_RETENTION", "30d")
    said = folder.command("deadletter", "purge", "b", "--yes")
    assert (said.code, said.out) == (0, "b of acme/bob is removed\n")
    stone = record_of(folder, "b", BOB)
    assert isinstance(stone, Tombstone)
    again = folder.play(lambda scene: scene.submit("b", BOB, submission="later"))
    assert again.outcome == "expired"
    assert len(folder.command("deadletter", "list", "--json").lines) == 2


def test_filters_and_age_choose_what_is_purged(folder: DataFolder) -> None:
    folder.clock.now = START - 10**10  # long ago by the clock of the commands
    folder.play(three)

    async def lately(scene: Scene) -> None:
        await fail(scene, "new")

    folder.clock.now = SqliteStore(folder.settings.database).now()
    folder.play(lately)
    said = folder.command(
        *("deadletter", "purge", "--all", "--older-than", "1d", "--sub", "alice", "--yes", "--json")
    )
    assert [(line["tenant"], line["id"]) for line in said.lines] == [("evil", "a"), ("acme", "a")]
    left = folder.command("deadletter", "list", "--json").lines
    assert [line["id"] for line in left] == ["new", "b"]


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("n\n", 3), ("", 3), ("\n", 3)])
def test_a_purge_asks_on_a_terminal(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    folder.play(three)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    said = folder.command("deadletter", "purge", "--all")
    assert said.code == 0
    assert "Remove 3 dead letters, with logs and files? [y/N]" in said.err
    assert len(folder.command("deadletter", "list", "--json").lines) == left


def test_a_purge_that_nobody_can_be_asked_about_needs_yes(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.play(three)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    said = folder.command("deadletter", "purge", "--all")
    assert said.code == 2
    assert "--yes" in said.err
    assert len(folder.command("deadletter", "list", "--json").lines) == 3


def test_files_that_the_store_names_are_removed(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = folder.play(lambda scene: scene.running("a"))
    folder.play(lambda scene: scene.fail(lease, retryable=False))
    file = asyncio.run(folder.file(lease, "r.txt", b"rows"))

    async def delete(*_: object) -> tuple[StoredFile, ...]:
        return (file,)

    monkeypatch.setattr(SqliteStore, "delete", delete)
    assert (folder.settings.files_dir / file.location).exists()
    assert folder.command("deadletter", "purge", "a", "--yes").code == 0
    assert [path for path in folder.settings.files_dir.rglob("*") if path.is_file()] == []
