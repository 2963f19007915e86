# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from pathlib import Path

import pytest

import environment
import needs
from needs import install_debian_packages, missing, missing_debian_packages, missing_language

WriteProgram = Callable[[str, str], Path]


def test_a_language_that_is_not_there_is_named_with_what_to_install(
    program: WriteProgram,
) -> None:
    assert missing_language("go") == "go and gofmt not found: install Go 1.24 or newer"

    program("node", "echo v22.1.0")
    assert missing_language("node") == "npm not found: install Node.js 20 or newer, with npm"


@pytest.mark.parametrize("version", ["v18.20.1", "nonsense"])
def test_a_language_that_is_too_old_is_as_good_as_missing(
    program: WriteProgram, version: str
) -> None:
    program("node", f"echo {version}")
    program("npm", "")

    reason = missing_language("node")

    assert reason == f"node is too old ({version}): install Node.js 20 or newer, with npm"


@pytest.mark.parametrize("version", ["go1.24.2", "go1.30.0", "go2.0"])
def test_a_language_that_is_new_enough_is_not_missing(program: WriteProgram, version: str) -> None:
    program("go", f"echo go version {version} linux/amd64")
    program("gofmt", "")

    assert missing_language("go") is None


def test_a_machine_without_a_browser_is_told_where_its_package_is_named(
    program: WriteProgram,
) -> None:
    assert missing("chromium") == "chromium not found: see .ci/debian-packages.txt"

    program("chromium", "")
    assert missing("chromium") is None


def test_packages_are_missing_unless_dpkg_says_that_they_are_installed(
    program: WriteProgram,
) -> None:
    program("dpkg-query", 'case "$3" in gcc) printf installed;; git) printf config-files;; esac')

    assert missing_debian_packages(["gcc", "git", "strace"]) == ["git", "strace"]


def test_where_there_is_no_dpkg_nothing_is_asked_of_it(program: WriteProgram) -> None:
    assert missing_debian_packages(["gcc"]) == []


def test_who_is_not_root_is_told_which_line_to_run(
    program: WriteProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("dpkg-query", "printf not-installed")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(needs, "debian_packages", lambda: ["strace"])

    assert install_debian_packages() == (
        "missing strace; run: sudo apt-get install --yes --no-install-recommends strace"
    )


@pytest.mark.parametrize("succeeds", [True, False])
def test_root_has_them_installed_and_hears_if_that_failed(
    program: WriteProgram, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, succeeds: bool
) -> None:
    done = tmp_path / "done"
    program("dpkg-query", f"[ -e {done} ] && printf installed")
    program("apt-get", f'[ "$1" = install ] && : >{done}' if succeeds else "exit 100")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(needs, "debian_packages", lambda: ["strace"])

    expected = None if succeeds else "apt-get did not install strace"
    assert install_debian_packages() == expected


def test_the_list_of_packages_holds_names_only() -> None:
    assert needs.debian_packages()
    assert all(name.replace("-", "").isalnum() for name in needs.debian_packages())


def test_a_machine_without_the_fuzzer_is_told_where_it_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(environment, "PYTHON", "false")
    assert missing("atheris") == "atheris cannot be installed here: see requirements/fuzz.txt"

    monkeypatch.setattr(environment, "PYTHON", "true")
    assert missing("atheris") is None


def test_a_database_that_is_not_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no such host")

    monkeypatch.setattr("socket.create_connection", refuse)

    reason = missing(needs.VULNERABILITIES)
    assert reason == "vuln.go.dev, the database of govulncheck, cannot be reached: no such host"
