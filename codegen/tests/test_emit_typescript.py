# SPDX-License-Identifier: Apache-2.0
"""The TypeScript emitter: what it makes of the fixture; what it says where tools are missing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from golden import CHECKOUT, FIXTURE, emitted, kept

from longcall_codegen.emit_typescript import FOLDER, TOOLS, emit
from longcall_codegen.errors import ToolFailed, ToolMissing
from longcall_codegen.load import load_schema

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (CHECKOUT / TOOLS / "node_modules").is_dir(),
    reason=f"node or {TOOLS}/node_modules is not there",
)


def _emit(root: Path) -> None:
    schema = load_schema(FIXTURE / "schema")
    emit(schema.bundle, schema.codes, schema.states, root)


@needs_node
def test_the_emitter_makes_what_is_kept_each_time() -> None:
    assert emitted("typescript") == kept("typescript") == emitted("typescript")


@needs_node
def test_the_validators_need_nothing_and_point_at_the_first_defect(tmp_path: Path) -> None:
    code = emitted("typescript")[FOLDER / "validators.ts"]
    assert "require(" not in code
    assert re.findall(r"^import (\w+)", code, re.MULTILINE) == ["type"]

    def defect(message: dict[str, Any]) -> Any:
        return _run(tmp_path, code, f"checkServerMessage({json.dumps(message)}) ?? null")

    tell = {"type": "tell", "seq": 1, "mood": "new", "answer": None}
    assert defect(tell) is None
    assert defect({"type": "beat"}) is None
    assert defect(tell | {"seq": 2}) == {"pointer": "/seq", "rule": "const"}
    assert defect(tell | {"mood": None}) == {"pointer": "/mood", "rule": "type"}
    assert defect(tell | {"mood": "\N{GRINNING FACE}" * 16}) is None  # code points, not units
    assert defect(tell | {"mood": "x" * 17}) == {"pointer": "/mood", "rule": "maxLength"}
    assert defect(tell | {"point": {"x": 2}}) == {"pointer": "/point/x", "rule": "maximum"}
    del tell["answer"]
    assert defect(tell) == {"pointer": "/answer", "rule": "required"}
    assert defect({"type": "toString"}) == {"pointer": "/type", "rule": "enum"}


@needs_node
def test_what_the_walker_could_not_tell_is_refused() -> None:
    schema = load_schema(FIXTURE / "schema")
    del schema.bundle.document["$defs"]["Point"]["properties"]["x"]["maximum"]
    with pytest.raises(ToolFailed, match="Point/x"):
        emit(schema.bundle, schema.codes, schema.states, CHECKOUT)


def test_a_missing_node_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolMissing, match=r"Node\.js"):
        _emit(CHECKOUT)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not there")
def test_missing_packages_are_named(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="npm ci"):
        _emit(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not there")
def test_a_script_that_fails_is_told_with_its_words(tmp_path: Path) -> None:
    tools = tmp_path / PurePosixPath(TOOLS)
    (tools / "node_modules").mkdir(parents=True)
    (tools / "emit.mjs").write_text("throw new Error('out of ink')")
    with pytest.raises(ToolFailed, match="out of ink"):
        _emit(tmp_path)


def _run(folder: Path, module: str, expression: str) -> Any:
    (folder / "validators.ts").write_text(module)
    esbuild = CHECKOUT / TOOLS / "node_modules/.bin/esbuild"
    subprocess.run([esbuild, "validators.ts", "--outfile=validators.mjs"], cwd=folder, check=True)
    script = (
        f"import {{ checkServerMessage }} from './validators.mjs';"
        f"console.log(JSON.stringify({expression}))"
    )
    (folder / "run.mjs").write_text(script)
    done = subprocess.run(
        ["node", "run.mjs"], cwd=folder, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)
