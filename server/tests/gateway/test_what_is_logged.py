# SPDX-License-Identifier: Apache-2.0
"""What clients send and handlers give back is nobody's to read in a log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from gateway_harness import gateway
from gateway_stage import is_terminal
from pydantic import BaseModel, field_validator

from longcall_server import HandlerError, Handlers, JsonValue, RequestContext

SECRET = "hush-hush"


class Strict(BaseModel):
    number: int

    @field_validator("number", mode="before")
    @classmethod
    def _not_a_secret(cls, value: object) -> object:
        if value == SECRET:
            raise ValueError(f"{value} is no number")
        return value


def secretive() -> Handlers:
    made = Handlers()

    @made.register("echo", durable=False)
    async def echo(ctx: RequestContext, payload: JsonValue) -> JsonValue:
        return payload

    @made.register("store")
    async def store(ctx: RequestContext, payload: JsonValue) -> JsonValue:
        await ctx.progress(50, SECRET, {"of": SECRET})
        await ctx.chunk(payload, checkpoint=payload)
        async with ctx.file(f"{SECRET}.txt") as file:
            await file.write(SECRET.encode())
        return payload

    @made.register("refuse", attempts=1)
    async def refuse(ctx: RequestContext, payload: JsonValue) -> None:
        raise HandlerError(SECRET, SECRET, retryable=False, details=payload)

    @made.register("defect", attempts=1)
    async def defect(ctx: RequestContext, payload: JsonValue) -> None:
        raise RuntimeError("told without its payload")

    @made.register("strict")
    async def strict(ctx: RequestContext, payload: Strict) -> None:
        pass

    return made


async def test_payloads_results_and_what_handlers_tell_are_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with gateway(secretive(), tmp_path) as at:
        peer = await at.welcomed()
        metadata = {"note": SECRET}
        await peer.request("echo", SECRET, id="q", metadata=metadata)
        assert (await peer.receive())["result"] == SECRET
        for action in ("store", "refuse", "defect"):
            await peer.request(action, SECRET, id=action, metadata=metadata)
            await peer.until(is_terminal)
        for payload in ({"number": SECRET}, {"number": [SECRET]}, SECRET):
            await peer.request("strict", payload, id="s")
            assert (await peer.receive())["error"]["code"] == "VALIDATION_ERROR"
        await peer.send(f'{{"type":"request","id":"{SECRET}","payload":["{SECRET}",1e999]}}')
        await peer.send(f'{{"type":"{SECRET}"')
        await peer.send({"type": "cancel", "request_id": "store", "reason": SECRET})
        await peer.until(lambda message: message["type"] == "snapshot")
    assert "told without its payload" in caplog.text, "what a handler did not expect is logged"
    assert SECRET not in caplog.text
