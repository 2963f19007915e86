# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from token_maker import EC, ED25519, NOW, RSA, claims, pem, private_pem, refused, token

from longcall_server.auth import Authenticator, AuthFailure, KeyProblem, KeyRing, SigningKey, files
from longcall_server.auth.files import MAX_FILE_BYTES, KeyFile, pem_file, secrets_file

OLD = SigningKey.of_secret(b"o" * 32)
NEW = SigningKey.of_secret(b"n" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def put(path: Path, content: str | bytes | None) -> None:
    """Writes the file; None removes it."""
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def replace(path: Path, content: str) -> None:
    beside = path.with_suffix(".new")
    put(beside, content)
    beside.replace(path)


def _verifier(file: KeyFile) -> Authenticator:
    return Authenticator(KeyRing(files=[file]), clock=lambda: NOW)


async def test_secrets_are_rotated_while_old_and_new_are_good(path: Path) -> None:
    put(path, b"# of May\n" + b"o" * 32 + b"\n")
    file = KeyFile(path, secrets_file)
    verifier = _verifier(file)
    await verifier.verify(token(OLD, claims()))
    await refused(verifier, token(NEW, claims()))

    put(path, b"n" * 32 + b"\r\n\n" + b"  " + b"o" * 32)
    await file.look()
    for key in (OLD, NEW):
        await verifier.verify(token(key, claims()))

    put(path, b"n" * 32)
    await file.look()
    await verifier.verify(token(NEW, claims()))
    assert (await refused(verifier, token(OLD, claims()))).reason is AuthFailure.SIGNATURE


async def test_a_public_key_may_be_followed_by_one_of_another_kind(path: Path) -> None:
    put(path, pem(RSA))
    file = KeyFile(path, pem_file)
    verifier = _verifier(file)
    await verifier.verify(token(RSA, claims()))
    await refused(verifier, token(ED25519, claims()))
    put(path, pem(RSA) + pem(ED25519))
    await file.look()
    await verifier.verify(token(ED25519, claims()))
    await verifier.verify(token(RSA, claims()))


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"gibberish",
        pem(EC)[:80].encode(),
        private_pem(EC).encode(),
        b"\xff" * 100,
        b"x" * (MAX_FILE_BYTES + 1),
        None,
    ],
)
async def test_a_broken_new_file_leaves_the_keys_and_is_said_once(
    path: Path, broken: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    put(path, pem(RSA))
    file = KeyFile(path, pem_file)
    put(path, broken)
    with caplog.at_level(logging.INFO):
        await file.look()
        await file.look()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "the keys stay as they were" in caplog.text
    await _verifier(file).verify(token(RSA, claims()))
    put(path, pem(EC))
    await file.look()
    await _verifier(file).verify(token(EC, claims()))
    await refused(_verifier(file), token(RSA, claims()))


async def test_a_file_that_is_broken_again_is_said_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(path, pem(RSA))
    file = KeyFile(path, pem_file)
    for text in ("", pem(RSA), ""):
        put(path, text)
        await file.look()
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


@pytest.mark.parametrize(
    ("data", "parse", "problem"),
    [
        (b"", secrets_file, "from 1 to 100 secrets"),
        (b"# nothing\n\n", secrets_file, "from 1 to 100 secrets"),
        (b"short", secrets_file, "32 bytes"),
        (b"k" * 32 + b"\nshort", secrets_file, "32 bytes"),
        (b"k" * 32 + b"\n" + pem(RSA).encode(), secrets_file, "32 bytes"),
        (b"k" * 40, pem_file, "no public key in PEM"),
        (None, pem_file, "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_bad_from_the_start_is_refused_and_named(
    path: Path, data: bytes | None, parse: object, problem: str
) -> None:
    put(path, data)
    with pytest.raises(KeyProblem, match=problem) as caught:
        KeyFile(path, parse)  # type: ignore[arg-type]  # one of the two, by parametrize
    assert str(path) in str(caught.value)


class Heard(logging.Handler):
    """`await heard(text)` waits until the log says so."""

    def __init__(self) -> None:
        super().__init__()
        self._said: list[str] = []
        self._more = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())
        self._more.set()

    async def __call__(self, text: str) -> None:
        async with asyncio.timeout(20):
            while not any(text in said for said in self._said):
                self._more.clear()
                await self._more.wait()


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[Heard]:
    log = logging.getLogger(files.__name__)
    made = Heard()
    log.addHandler(made)
    caplog.set_level(logging.INFO)
    yield made
    log.removeHandler(made)


@pytest.fixture
async def watched(path: Path) -> AsyncIterator[KeyFile]:
    put(path, pem(RSA))
    file = KeyFile(path, pem_file, look_s=0.01)
    await file.start()
    yield file
    await file.close()


async def test_a_change_is_found_without_a_signal(
    path: Path, watched: KeyFile, heard: Heard
) -> None:
    # As Kubernetes and careful people do: another file under the same name.
    replace(path, pem(ED25519))
    await heard("has changed")
    await _verifier(watched).verify(token(ED25519, claims()))


async def test_an_unexpected_error_does_not_end_the_looking(
    path: Path,
    watched: KeyFile,
    heard: Heard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: bytes) -> tuple[()]:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(watched, "_parse", broken)
        put(path, pem(EC))
        await heard("cannot be looked at")
    await heard("has changed")
    await _verifier(watched).verify(token(EC, claims()))
