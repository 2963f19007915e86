# SPDX-License-Identifier: Apache-2.0
"""What `make test` consists of: one row a part. How parts are run stands in run_tests.py."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from environment import PYTHON, ROOT, VENV
from needs import VULNERABILITIES
from sources import tracked

BIN = VENV / "bin"

# Folder of a Python package -> the folders in it that hold Python, its import package's first.
PYTHON_PACKAGES = {
    "server": ("src", "tests"),
    "sdk-python": ("src", "tests", "examples"),
    "codegen": ("src", "tests"),
    "conformance-tests": (
        "src",
        "tests",
        "programs",
        "chaos",
        "hostile",
        "footprint",
        "drivers/python",
        "handlers",
    ),
    "server/examples": (".", "tests"),
}
TOX_ENVIRONMENTS = {
    "server": "server",
    "sdk-python": "sdk-python",
    "codegen": "codegen",
    "conformance-tests": "conformance-tests",
    "examples": "server/examples",
}
SUITE = ROOT / "conformance-tests"
# What says which tests there are, and has to be true.
PAGES_OF_TESTS = ("clauses", "requirements", "complaints")
# A part of its own: schedules by the thousand say nothing more in another environment.
SIMULATION = "server/tests/simulation"
# Another: its second half needs what the package's own environment does not have.
FUZZ = "server/tests/fuzz"


@dataclass(frozen=True)
class Command:
    """One program to run; `quiet` means that any output is a failure (gofmt -l)."""

    argv: tuple[str, ...]
    cwd: Path = ROOT
    env: dict[str, str] = field(default_factory=dict)
    quiet: bool = False


@dataclass(frozen=True)
class Part:
    """One row of the table. `--only` finds it by its name or its group."""

    name: str
    group: str
    commands: tuple[Command, ...]
    needs: tuple[str, ...] = ()  # what it cannot be run at all without (needs.py)
    wants: tuple[str, ...] = ()  # languages without which it skips some of it, and says so
    fast: tuple[Command, ...] = ()  # what `make test-fast` runs instead; nothing: not at all
    alone: bool = True  # watched live, with the machine to itself; else two at a time


def all_parts() -> list[Part]:
    """Every part, in the order of the table: what fails soonest first."""
    return [*checks(), *python_tests(), *javascript_tests(), *go_tests(), *conformance(), *proofs()]


def checks() -> Iterator[Part]:
    """What reads the sources and runs none of them."""
    ruff = (run("ruff", "check", "."), run("ruff", "format", "--check", "."))
    licences, paths = python("tools/check_licences.py"), python("tools/check_paths.py")
    imports = run("lint-imports", "--no-cache")
    yield Part("ruff", "lint", ruff, fast=ruff, alone=False)
    yield Part("imports", "lint", (imports,), fast=(imports,), alone=False)
    yield Part("licences", "lint", (licences,), fast=(licences,), alone=False)
    yield Part("paths", "lint", (paths,), fast=(paths,), alone=False)
    yield Part("biome", "lint", tuple(npm("lint")), needs=("node",), alone=False)
    yield Part("go vet", "lint", tuple(go_lint()), needs=("go",), alone=False)
    known = ("go", VULNERABILITIES)
    yield Part("govulncheck", "lint", tuple(vulnerabilities()), needs=known, alone=False)
    yield Part("mypy", "types", tuple(mypy()), alone=False)
    yield Part("tsc", "types", tuple(npm("types")), needs=("node",), alone=False)
    authors = tuple(npm("authors"))
    yield Part("pyright", "types", authors, needs=("node",), alone=False)
    yield Part("schema", "generated", tuple(schema()), fast=tuple(schema()), alone=False)
    proven = tuple(python(f"tools/{page}.py", "check") for page in PAGES_OF_TESTS)
    yield Part("clauses", "generated", proven, fast=proven, alone=False)
    current = run("longcall-codegen", "check")
    yield Part("generated", "generated", (current,), needs=("node", "go"), alone=False)
    reference = (python("tools/python_reference.py", "check"),)
    yield Part("reference", "generated", reference, fast=reference, alone=False)
    offered = (python("tools/python_api.py", "check"),)
    yield Part("api python", "api", offered, fast=offered, alone=False)
    yield Part("api js", "api", tuple(npm("api")), needs=("node",), alone=False)
    documented = (python("tools/go_api.py", "check"),)
    yield Part("api go", "api", documented, needs=("go",), alone=False)


def python_tests() -> Iterator[Part]:
    """The tools' own tests, and each package in its tox environment."""
    yield Part("tools", "test", (run("pytest", "tools/tests"),), fast=(fast("tools/tests"),))
    for name, folder in TOX_ENVIRONMENTS.items():
        tests = run("tox", "run", "-e", name)
        wants = ("node", "go") if name == "codegen" else ()
        yield Part(name, "test", (tests,), wants=wants, fast=(fast(f"{folder}/tests"),))
        if name == "sdk-python":
            oldest = run("tox", "run", "-e", "sdk-python-floors")
            yield Part("sdk-python, floors", "test", (oldest,))
        if name == "server":
            yield Part("simulation", "test", (run("pytest", SIMULATION),))
            yield Part("fuzz", "test", (run("pytest", FUZZ), fuzz("hypothesis")))
            yield Part("fuzz by coverage", "test", (fuzz("atheris"),), needs=("atheris",))


def fuzz(fuzzer: str) -> Command:
    """A taste of `make fuzz`."""
    words = ("-m", "fuzz", "run", "--fuzzers", fuzzer, "--seconds", "5")
    return Command((str(PYTHON), *words), (ROOT / FUZZ).parent)


def fast(tests: str) -> Command:
    """The tests of a folder that start no processes and take no time."""
    return run("pytest", "-m", "not slow", tests)


def javascript_tests() -> Iterator[Part]:
    """`npm test` of each folder that has one."""
    commands = tuple(npm("build", "test"))
    yield Part("sdk-js", "test", commands, needs=("node",), fast=tuple(npm("test:fast")))
    yield Part("browser", "test", tuple(npm("build", "test:browser")), needs=("node", "chromium"))


def go_tests() -> Iterator[Part]:
    """`go test` of each module; the race detector has no place in the fast loop."""
    every = tuple(go("test", "-race", "./..."))
    yield Part("sdk-go", "test", every, needs=("go",), fast=tuple(go("test", "-short", "./...")))
    taste = (python("tools/go_fuzz.py", "--seconds", "20"),)
    yield Part("fuzz go", "test", taste, needs=("go",))


def conformance() -> Iterator[Part]:
    """Every SDK and the reference server against the one suite."""
    suite = run("longcall-conformance", "run", "--junit", "out/junit.xml", cwd=SUITE)
    yield Part("suite", "conformance", (suite,), wants=("node", "go"))


def proofs() -> Iterator[Part]:
    """What the suite's pieces prove beyond it (docs/proofs.md), each in its short form."""
    yield Part("suite, worker processes", "proofs", (conformance_of_workers(),))
    programs = run("pytest", "conformance-tests/programs")
    yield Part("programs", "proofs", (programs,), wants=("node", "go"))
    through = ("faults", "--requests", "300", "--jobs", "5")
    faults = run("longcall-conformance", *through, cwd=SUITE)
    yield Part("faults", "proofs", (faults,), wants=("node", "go"))
    hostile = run("python", "conformance-tests/hostile/hostile.py", "--mutations", "10000")
    yield Part("hostile", "proofs", (hostile,))
    yield Part("chaos", "proofs", (chaos("kill", 5), chaos("worker", 3), chaos("term", 3)))


def chaos(mode: str, rounds: int) -> Command:
    """A taste of `make chaos` and `make drain`."""
    program = "conformance-tests/chaos/chaos.py"
    return run("python", program, mode, "--rounds", str(rounds), "--clients", "20")


def conformance_of_workers() -> Command:
    """What workers have a part in, against several processes; one SDK shows what they do."""
    groups = (
        "cancel",
        "deadline",
        "durable",
        "idempotency",
        "isolation",
        "limits",
        "list",
        "quick",
    )
    chosen = [word for group in groups for word in ("--only", f"server/{group}")]
    where = (
        "--driver",
        "python",
        "--server",
        "manifests/longcall-server-workers.yaml",
        "--out",
        "out/workers",
    )
    return run("longcall-conformance", "run", *chosen, "--only", "e2e", *where, cwd=SUITE)


def run(program: str, *arguments: str, cwd: Path = ROOT) -> Command:
    """A program of the environment."""
    return Command((str(BIN / program), *arguments), cwd)


def python(*arguments: str) -> Command:
    """One of our own tools."""
    return Command((str(PYTHON), *arguments))


def mypy() -> Iterator[Command]:
    """Each package by itself: test modules of two packages may bear one name."""
    others = {
        # What it shares stands beside the other driver, which is called `driver` as well.
        "conformance-tests/drivers/python-sync": (".", "../python"),
        "tools": (".", "tests"),
    }
    for folder, roots in {**PYTHON_PACKAGES, **others}.items():
        bases = [os.path.normpath(f"{folder}/{root}") for root in roots]
        typed = bases[:1] if roots[0] == "." else bases
        cache = f".mypy_cache/{folder.replace('/', '-')}"
        yield replace(run("mypy", "--cache-dir", cache, *typed), env={"MYPYPATH": ":".join(bases)})


def schema() -> Iterator[Command]:
    """Each schema is one, and the bundle as well."""
    schemas = [str(path) for path in tracked() if is_schema(path)]
    yield run("check-jsonschema", "--check-metaschema", *schemas)


def is_schema(path: Path) -> bool:
    """Whether a file of schema/ says that it is a JSON Schema."""
    if path.parts[0] != "schema" or path.suffix != ".json" or "vectors" in path.parts:
        return False
    document = json.loads((ROOT / path).read_text())
    return isinstance(document, dict) and "$schema" in document


def npm(*scripts: str) -> Iterator[Command]:
    """The named scripts of each npm folder, where it has them."""
    for folder in npm_folders():
        known = json.loads((folder / "package.json").read_text()).get("scripts", {})
        for script in scripts:
            if script in known:
                yield Command(("npm", "run", "--silent", script), folder)


def biome(*arguments: str) -> Iterator[Command]:
    """Biome, in each npm folder where it is installed."""
    for folder in npm_folders():
        program = folder / "node_modules" / ".bin" / "biome"
        if program.exists():
            yield Command((str(program), *arguments), folder)


def npm_folders() -> list[Path]:
    """Folders with a lock file: what can be installed exactly as it was committed."""
    return [ROOT / path.parent for path in tracked() if path.name == "package-lock.json"]


def go(*arguments: str) -> Iterator[Command]:
    """`go ARGUMENTS` in each module that is not a list of tools."""
    for folder in go_modules():
        yield Command(("go", *arguments), folder)


def go_lint() -> Iterator[Command]:
    """gofmt, vet, and staticcheck."""
    for folder in go_modules():
        yield Command(("gofmt", "-l", "."), folder, quiet=True)
        yield Command(("go", "vet", "./..."), folder)
        yield go_tool("staticcheck", folder)


def vulnerabilities() -> Iterator[Command]:
    """What is known to be unsafe in the Go modules and what they depend on."""
    for folder in go_modules():
        yield go_tool("govulncheck", folder)


def go_tool(name: str, folder: Path) -> Command:
    """A tool over a module, at the version that sdk-go/tools/go.mod pins."""
    pinned = ROOT / "sdk-go" / "tools" / "go.mod"
    return Command(("go", "tool", f"-modfile={pinned}", name, "./..."), folder)


def go_modules() -> list[Path]:
    """Folders of the Go modules."""
    modules = [ROOT / path.parent for path in tracked() if path.name == "go.mod"]
    return [folder for folder in modules if folder.name != "tools"]
