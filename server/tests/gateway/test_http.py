# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import Harness, gateway, token

from longcall_server import Handlers, RequestContext
from longcall_server.core.codes import CloseCode
from longcall_server.gateway.app import GatewaySettings, drain
from longcall_server.stores.base import StoreUnavailable

BODY = bytes(range(256)) * 4096
ETAG = f'"{hashlib.sha256(BODY).hexdigest()}"'
NAME = 'häufig "1".csv'


@pytest.fixture
def handlers() -> Handlers:
    made = Handlers()

    @made.register("report")
    async def report(ctx: RequestContext) -> None:
        async with ctx.file(NAME, "text/csv; charset=utf-8") as file:
            await file.write(BODY)
        async with ctx.file("empty.txt", "text/plain") as file:
            await file.write(b"")

    return made


@pytest.fixture
async def at(handlers: Handlers, tmp_path: Path) -> AsyncIterator[Harness]:
    async with gateway(handlers, tmp_path) as harness:
        await harness.desk.submit("report")
        await harness.desk.node.finished(harness.desk.key())
        yield harness


class Answer:
    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


async def get(
    at: Harness,
    *,
    id: str = "r1",
    name: str = NAME,
    who: str | None = None,
    method: str = "GET",
    **headers: str,
) -> Answer:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    given.setdefault("Authorization", f"Bearer {who or token()}")
    url = f"{at.http}/v1/requests/{id}/files/{name}"
    async with at.client().request(method, url, headers=given) as response:
        return Answer(response.status, response.headers, await response.read())


@pytest.mark.clause("8.6.1", "8.6.4")
async def test_the_owner_gets_the_file_as_it_was_attached(at: Harness) -> None:
    answer = await get(at)
    assert (answer.status, answer.body) == (200, BODY)
    assert answer.headers["ETag"] == ETAG
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Length"] == str(len(BODY))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    disposition = "attachment; filename*=UTF-8''h%C3%A4ufig%20%221%22.csv"
    assert answer.headers["Content-Disposition"] == disposition


async def test_an_empty_file_is_a_file(at: Harness) -> None:
    answer = await get(at, name="empty.txt")
    assert (answer.status, answer.body) == (200, b"")


async def test_head_tells_what_get_would(at: Harness) -> None:
    answer = await get(at, method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(BODY))
    assert answer.headers["ETag"] == ETAG


@pytest.mark.clause("8.6.6")
async def test_everybody_else_gets_the_same_not_found(at: Harness) -> None:
    reader = token("ann2", "requests:read:tenant", "admin", "request:*")
    answers = [
        await get(at, who=token("bob")),
        await get(at, who=token("ann", tenant="other")),
        await get(at, who=reader),
        await get(at, id="never"),
        await get(at, name="other.csv"),
        await get(at, name="..%2F..%2Fsecret"),
    ]
    for answer in answers:
        assert answer.status == 404
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert answer.body == answers[0].body
    assert b'"code": "NOT_FOUND"' in answers[0].body


@pytest.mark.clause("3.2.8")
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "Bearer no.token.here"])
async def test_without_a_good_token_nothing_is_said(at: Harness, header: str) -> None:
    answer = await get(at, Authorization=header)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert b"UNAUTHORIZED" in answer.body
    assert b"no.token" not in answer.body


@pytest.mark.clause("8.6.5")
@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=1000-", 1000, len(BODY)),
        ("bytes=-10", len(BODY) - 10, len(BODY)),
        ("bytes=-99999999999", 0, len(BODY)),
        (f"bytes=5-{len(BODY) * 2}", 5, len(BODY)),
    ],
)
async def test_a_range_is_that_part(at: Harness, wanted: str, start: int, end: int) -> None:
    answer = await get(at, Range=wanted)
    assert answer.status == 206
    assert answer.body == BODY[start:end]
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(BODY)}"
    assert answer.headers["ETag"] == ETAG


@pytest.mark.parametrize(
    "wanted", ["bytes=9-3", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6", "bytes"]
)
async def test_a_range_that_is_not_understood_is_ignored(at: Harness, wanted: str) -> None:
    answer = await get(at, Range=wanted)
    assert (answer.status, answer.body) == (200, BODY)


@pytest.mark.parametrize(
    "wanted", [f"bytes={len(BODY)}-", "bytes=-0", f"bytes={len(BODY)}-{2**40}"]
)
async def test_a_range_outside_of_the_file_is_refused(at: Harness, wanted: str) -> None:
    answer = await get(at, Range=wanted)
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(BODY)}"


async def test_a_download_goes_on_only_with_the_same_file(at: Harness) -> None:
    same = await get(at, Range="bytes=10-", If_Range=ETAG)
    assert (same.status, same.body) == (206, BODY[10:])
    other = await get(at, Range="bytes=10-", If_Range='"another"')
    assert (other.status, other.body) == (200, BODY)
    weak = await get(at, Range="bytes=10-", If_Range=f"W/{ETAG}")
    assert weak.status == 200


async def test_what_the_client_has_is_not_sent_again(at: Harness) -> None:
    for tags in (ETAG, f"W/{ETAG}", f'"x", {ETAG}', "*"):
        answer = await get(at, If_None_Match=tags)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["ETag"] == ETAG
    assert (await get(at, If_None_Match='"x"')).status == 200


@pytest.mark.clause("8.6.3")
async def test_a_file_of_an_unfinished_request_is_not_there(
    handlers: Handlers, tmp_path: Path
) -> None:
    @handlers.register("half")
    async def half(ctx: RequestContext) -> None:
        async with ctx.file("a.txt") as file:
            await file.write(b"half")
        await ctx.chunk("written")
        await ctx.wait_cancelled()

    async with gateway(handlers, tmp_path) as at:
        await at.desk.submit("half")
        await at.desk.node.until(at.desk.key(), lambda record: record.last_seq == 3)
        assert (await get(at, name="a.txt")).status == 404


async def test_a_file_that_is_gone_is_not_found(at: Harness, tmp_path: Path) -> None:
    record = await at.desk.node.record(at.desk.key())
    (tmp_path / record.files[0].location).unlink()
    assert (await get(at)).status == 404


async def test_a_store_that_is_away_is_unavailable(at: Harness) -> None:
    at.desk.store.break_next("get", StoreUnavailable)
    answer = await get(at)
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    assert b'"code": "UNAVAILABLE"' in answer.body


async def test_a_defect_is_told_with_an_incident_alone(at: Harness) -> None:
    at.desk.store.break_next("get", KeyError)
    answer = await get(at)
    assert answer.status == 500
    assert b"incident_id" in answer.body
    assert b"KeyError" not in answer.body


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/what", 404),
        ("POST", "/healthz", 405),
        ("POST", "/v1/connect", 405),
        ("GET", "/v1/connect", 400),
    ],
)
async def test_every_error_is_a_problem_document(
    at: Harness, method: str, path: str, status: int
) -> None:
    headers = {"Upgrade": "websocket"}
    async with at.client().request(method, at.http + path, headers=headers) as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"
        body = await response.json(content_type=None)
        assert (body["status"], body["type"]) == (status, "about:blank")
        if status == 405:
            assert "GET" in response.headers["Allow"]


@pytest.mark.clause("8.9.1", "8.9.2")
async def test_health_and_readiness(handlers: Handlers, tmp_path: Path) -> None:
    ready = False
    settings = GatewaySettings()
    async with gateway(handlers, tmp_path, settings=settings, ready=lambda: ready) as at:

        async def status(path: str) -> int:
            async with at.client().get(at.http + path) as response:
                return response.status

        assert (await status("/healthz"), await status("/readyz")) == (200, 503)
        ready = True
        assert (await status("/healthz"), await status("/readyz")) == (200, 200)
        await drain(at.app, code=CloseCode.GOING_AWAY, reason="bye", grace_s=0)
        assert (await status("/healthz"), await status("/readyz")) == (200, 503)
        assert (await get(at)).status == 404
