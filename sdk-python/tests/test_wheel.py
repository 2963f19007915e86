# SPDX-License-Identifier: Apache-2.0
"""What is shipped: the wheel's content and metadata, and that it works where nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import longcall

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PROJECT = Path(__file__).parents[1]
CONSTRAINTS = PROJECT.parent / "requirements" / "constraints.txt"
# The versions that the repository pins, for the build backend as well.
PIP = {
    "PIP_CONSTRAINT": str(CONSTRAINTS),
    "PIP_BUILD_CONSTRAINT": str(CONSTRAINTS),
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}


def run(*words: str | Path, code: int = 0, **environment: str) -> str:
    """What a program prints, in an environment without this checkout."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        list(map(str, words)),
        env={**own, **PIP, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == code, output
    return output


def pip(*words: str | Path, python: str | Path = sys.executable) -> None:
    run(sys.executable, "-m", "pip", "--quiet", "--python", python, *words)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", folder, PROJECT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """The folder of the programs of an environment in which nothing is installed."""
    venv.create(tmp_path / "venv", with_pip=False)
    return tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        programs = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "longcall = longcall.cli:main" in archive.read(programs[0]).decode()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    sources = PROJECT / "src"
    files = {path.relative_to(sources).as_posix() for path in sources.rglob("*") if path.is_file()}
    assert names == {name for name in files if "__pycache__" not in name}
    assert "longcall/py.typed" in names


def test_metadata_says_what_it_needs_and_for_whom_it_is(metadata: Message) -> None:
    assert metadata["Version"] == longcall.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    needs = metadata.get_all("Requires-Dist") or []
    base = {need.split(">")[0] for need in needs if "extra ==" not in need}
    assert base == {"pydantic", "websockets"}
    assert "cli" in (metadata.get_all("Provides-Extra") or [])
    classifiers = metadata.get_all("Classifier") or []
    assert "Typing :: Typed" in classifiers
    assert "Programming Language :: Python :: 3 :: Only" in classifiers
    assert str(metadata.get_payload()).startswith("# longcall for Python")


def test_installed_without_the_extra_it_is_a_library_and_the_command_says_what_is_missing(
    wheel: Path, empty: Path
) -> None:
    pip("install", wheel, python=empty / "python")
    library = "import longcall; print(longcall.connect('ws://a'), longcall.sync.connect('ws://a'))"
    assert run(empty / "python", "-W", "error", "-c", library).count("Client object") == 2
    said = run(empty / "longcall", "list", code=2)
    assert said.strip() == (
        "longcall: the command line needs rich and argcomplete: pip install 'longcall[cli]'"
    )


def test_installed_with_the_extra_the_command_runs(wheel: Path, empty: Path) -> None:
    pip("install", f"{wheel}[cli]", python=empty / "python")
    assert run(empty / "longcall", "--version").strip() == f"longcall {longcall.__version__}"
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"
    assert '"sub": "a"' in run(empty / "longcall", "token", "decode", token)
    assert "_python_argcomplete" in run(empty / "longcall", "completion", "bash")
    address = "ws://127.0.0.1:9"
    said = run(empty / "longcall", "list", "--url", address, "--connect-timeout", "100ms", code=5)
    assert f"no connection to {address}" in said
