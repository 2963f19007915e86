# SPDX-License-Identifier: Apache-2.0
"""The command line up to the point where a server would start."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from token_maker import ED25519, pem

from longcall_server import __version__
from longcall_server.__main__ import main
from longcall_server.config import GATEWAY_SETTINGS, Settings, load_settings
from longcall_server.serving import LoadError, dev_token, load_handlers

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LONGCALL_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    known = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in set(sys.modules) - known:
        if name.startswith("app_"):
            del sys.modules[name]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_without_a_key_serve_says_how_to_make_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("serve", "app_a:handlers") == 2
    said = capsys.readouterr().err
    for way in ("JWT_SECRET ", "JWT_SECRET_FILE", "JWT_PUBLIC_KEY ", "JWT_PUBLIC_KEY_FILE"):
        assert f"LONGCALL_{way}" in said
    assert "LONGCALL_JWKS_URL" in said
    assert "--dev" in said
    assert "openssl rand" in said


def test_a_bad_setting_names_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("serve", "app_a:handlers", "--dev", "--lease", "soon") == 2
    assert "--lease: write a duration as" in capsys.readouterr().err


def test_a_handler_module_that_is_missing_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("serve", "app_missing:handlers", "--dev") == 2
    assert "there is no module 'app_missing'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("", "app_a", "not of the form MODULE:HANDLERS"),
        ("", "app_b:handlers", "no module 'app_b'"),
        ("import app_nowhere", "app_a:handlers", "imports 'app_nowhere'"),
        ("", "app_a:handlers", "has no 'handlers'"),
        ("handlers = {}", "app_a:handlers", "is a dict, not a longcall_server.Handlers"),
        (
            "from longcall_server import Handlers\nhandlers = Handlers()",
            "app_a:handlers",
            "no handler registered",
        ),
        (
            "from longcall_server import Handlers\nHandlers().register('1')",
            "app_a:handlers",
            "bad action name",
        ),
    ],
)
def test_what_is_wrong_with_the_handlers_is_said(
    folder: Path, source: str, target: str, reason: str
) -> None:
    (folder / "app_a.py").write_text(source)
    with pytest.raises(LoadError, match=reason):
        load_handlers(target)


def test_handlers_are_found_in_the_current_folder(folder: Path) -> None:
    (folder / "app_good.py").write_text(
        "from longcall_server import Handlers, RequestContext\n"
        "class Namespace:\n"
        "    handlers = Handlers()\n"
        "@Namespace.handlers.register('act')\n"
        "async def act(ctx: RequestContext) -> None: ...\n"
    )
    assert load_handlers("app_good:Namespace.handlers").actions() == ("act",)


def test_dev_prints_a_token_only_where_it_can_sign_one() -> None:
    assert dev_token(load_settings(jwt_secret="k" * 32)).count(".") == 2
    assert "elsewhere" in dev_token(load_settings(jwt_public_key=pem(ED25519)))


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"longcall-server {__version__}\n"


def test_help_and_readme_name_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("serve", "--help") == 0
    said = re.sub(r"\s+", " ", capsys.readouterr().out)
    readme = README.read_text()
    for name, field in Settings.model_fields.items():
        if name != "jwt_secret":
            assert f"--{name.replace('_', '-')} VALUE" in said
        assert f"| `LONGCALL_{name.upper()}` |" in readme
        assert f"| {field.description} |" in readme


def test_the_help_of_a_worker_leaves_out_what_it_has_no_use_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("worker", "--help") == 0
    said = re.sub(r"\s+", " ", capsys.readouterr().out)
    for name in Settings.model_fields:
        assert (f"--{name.replace('_', '-')} VALUE" in said) == (name not in GATEWAY_SETTINGS)
    assert Settings.model_fields.keys() >= GATEWAY_SETTINGS


def test_a_worker_needs_no_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("worker", "app_missing:handlers") == 2
    assert "there is no module 'app_missing'" in capsys.readouterr().err
