# SPDX-License-Identifier: Apache-2.0
"""What a Python package offers to the public: the names in `__all__` of its public modules.

Read from the sources by griffe, nothing is imported: what an extra needs need not be installed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import griffe

# A public name may be any of these; the other special methods say nothing to a reader.
SPECIAL = frozenset(
    f"__{name}__"
    for name in (
        *("init", "call", "await", "len", "contains", "getitem"),
        *("iter", "next", "enter", "exit", "aiter", "anext", "aenter", "aexit"),
    )
)


@dataclass(frozen=True)
class Surface:
    """The public names of a package, by module, as the modules' `__all__` give them."""

    modules: Mapping[str, griffe.Module]
    homes: Mapping[str, str]
    """Where an object is defined -> the first public name that it has: `longcall.Chunk`."""

    def objects(self, module: str) -> Iterator[tuple[str, griffe.Object]]:
        """The names of one module with what they stand for, in the order of `__all__`."""
        yield from exported(self.modules[module])

    def members(self, cls: griffe.Class) -> Iterator[griffe.Object]:
        """The public members of a class, with those of its bases that are not public themselves."""
        seen: set[str] = set()
        hidden = [base for base in cls.mro() if base.canonical_path not in self.homes]
        inner = [base for base in hidden if base.package is cls.package]
        for owner in (cls, *inner):
            for name, member in owner.members.items():
                if name not in seen and not member.is_alias and self._is_shown(member, owner):
                    seen.add(name)
                    assert isinstance(member, griffe.Object)
                    yield member

    def bases(self, cls: griffe.Class) -> list[str]:
        """The bases that a reader can look up; of one that is not public, its own bases."""
        return list(dict.fromkeys(self._bases(cls)))

    def _bases(self, cls: griffe.Class) -> Iterator[str]:
        known = {base.canonical_path: base for base in cls.mro()}
        for base in cls.bases:
            path = base if isinstance(base, str) else base.canonical_path
            if path in known and path not in self.homes:
                yield from self._bases(known[path])
            elif path != "object":
                yield str(base)

    def _is_shown(self, member: griffe.Object | griffe.Alias, owner: griffe.Class) -> bool:
        name = member.name
        if name == "__init__" and isinstance(member, griffe.Function):
            # One that needs what is not public is not for users: they are given the object.
            is_given = "Made by `" in (owner.docstring.value if owner.docstring else "")
            is_dataclass = "dataclass" in owner.labels
            return not (is_dataclass or is_given or list(self.hidden(member)))
        return name in SPECIAL or not name.startswith("_")

    def hidden(self, thing: griffe.Object) -> Iterator[str]:
        """Types of the package that its public signature names, and that are not public."""
        for expression in annotations(thing):
            if isinstance(expression, griffe.Expr):
                for part in expression.iterate(flat=True):
                    if isinstance(part, griffe.ExprName) and self._is_hidden(part, thing):
                        yield part.name

    def _is_hidden(self, name: griffe.ExprName, thing: griffe.Object) -> bool:
        path = name.canonical_path
        package = thing.package
        if not path.startswith(f"{package.name}.") or path in self.homes:
            return False
        try:
            found: griffe.Object | griffe.Alias = package[path.removeprefix(f"{package.name}.")]
            found = found.final_target if isinstance(found, griffe.Alias) else found
        except KeyError:
            return True
        return found.canonical_path not in self.homes and not is_type_variable(found)


def load(sources: Path, names: tuple[str, ...]) -> Surface:
    """Reads the named modules; the first one is the package, of the others those that are there."""
    package = griffe.load(
        names[0],
        search_paths=[sources],
        docstring_parser="google",
        allow_inspection=False,
        try_relative_path=False,
    )
    assert isinstance(package, griffe.Module)
    modules = {names[0]: package}
    for name in names[1:]:
        inside = name.removeprefix(f"{names[0]}.")
        if inside in package.modules:
            modules[name] = package.modules[inside]
    homes: dict[str, str] = {}
    for name, module in modules.items():
        for public, thing in exported(module):
            homes.setdefault(thing.canonical_path, f"{name}.{public}")
    return Surface(modules, homes)


def exported(module: griffe.Module) -> Iterator[tuple[str, griffe.Object]]:
    """What `__all__` of a module names; raises ValueError where it has none, or not the name."""
    if module.exports is None:
        raise ValueError(f"{module.path} has no __all__: what is public in it?")
    for name in map(str, module.exports):
        if name not in module.members:
            raise ValueError(f"{module.path}.__all__ names {name}, which is not there")
        member = module.members[name]
        thing = member.final_target if isinstance(member, griffe.Alias) else member
        assert isinstance(thing, griffe.Object)
        yield name, thing


def annotations(thing: griffe.Object) -> Iterator[str | griffe.Expr | None]:
    """The types in the signature of one thing; of a class none, its members are asked."""
    match thing:
        case griffe.Function():
            for overload in thing.overloads or [thing]:
                yield overload.returns
                for parameter in overload.parameters:
                    yield parameter.annotation
        case griffe.Attribute():
            yield thing.annotation
            if is_alias(thing):
                yield thing.value


def is_alias(thing: griffe.Attribute) -> bool:
    """Whether an attribute of a module is another name for a type."""
    return "TypeAlias" in str(thing.annotation) or (
        thing.annotation is None and isinstance(thing.value, griffe.ExprSubscript)
    )


def is_type_variable(thing: griffe.Object | griffe.Alias) -> bool:
    """Whether it only stands for a type in a signature."""
    value = thing.value if isinstance(thing, griffe.Attribute) else None
    made_by = value.function if isinstance(value, griffe.ExprCall) else None
    return str(made_by).rpartition(".")[2] in {"TypeVar", "ParamSpec", "TypeVarTuple"}
