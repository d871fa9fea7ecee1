"""What the generator reads: the async client, and what is written by hand of the blocking one."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType

Function = ast.FunctionDef | ast.AsyncFunctionDef


class CannotGenerateError(Exception):
    """The async client has something for which no blocking form can be made."""


@dataclass(frozen=True, eq=False)
class Source:
    """A module of the async client: its tree, and where the names in it come from."""

    module: ModuleType

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(inspect.getsource(self.module))

    @cached_property
    def imports(self) -> dict[str, str]:
        """Every name of the module's top level -> the statement that imports it from elsewhere."""
        found: dict[str, str] = {}
        for node in self.tree.body:
            match node:
                case ast.ImportFrom(module=str(where), names=names):
                    for one in names:
                        found[one.asname or one.name] = f"from {where} import {_alias(one)}"
                case ast.Import(names=names):
                    for one in names:
                        found[one.asname or one.name] = f"import {_alias(one)}"
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                    found[name] = f"from {self.module.__name__} import {name}"
                case (
                    ast.Assign(targets=[ast.Name(id=name)])
                    | ast.AnnAssign(target=ast.Name(id=name))
                ):
                    found[name] = f"from {self.module.__name__} import {name}"
                case _:
                    pass
        return found

    def class_node(self, name: str) -> ast.ClassDef:
        """The definition of a class of this module."""
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return node
        raise CannotGenerateError(f"{self.module.__name__} has no class {name}")


@dataclass(frozen=True)
class AsyncMethod:
    """A public method or property as it stands in the source."""

    source: Source
    node: Function

    @property
    def name(self) -> str:
        return self.node.name

    @cached_property
    def decorators(self) -> frozenset[str]:
        return frozenset(ast.unparse(one) for one in self.node.decorator_list)

    @cached_property
    def yields(self) -> bool:
        return any(isinstance(one, ast.Yield) for one in ast.walk(self.node))

    def result_class(self) -> type | None:
        """The class that it returns, if its annotation is nothing but that name."""
        if not isinstance(self.node.returns, ast.Name):
            return None
        found = getattr(self.source.module, self.node.returns.id, None)
        return found if isinstance(found, type) else None


@dataclass(frozen=True)
class ByHand:
    """The module of `sync/by_hand` that belongs to one of the async client, read without running
    it: what is generated may be out of date. `names`: its public classes."""

    module: str = ""
    names: tuple[str, ...] = ()
    tree: ast.Module = field(default_factory=lambda: ast.Module([], []))

    def methods_of(self, name: str) -> frozenset[str]:
        """The public methods of a class; none if there is no such class."""
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                functions = (one.name for one in node.body if isinstance(one, Function))
                return frozenset(one for one in functions if not one.startswith("_"))
        return frozenset()


def methods_of(kind: type) -> Iterator[AsyncMethod]:
    """The public methods of a class and its bases, in the order of the source."""
    found: dict[str, AsyncMethod] = {}
    for base in reversed(kind.__mro__[:-1]):
        module = inspect.getmodule(base)
        assert module is not None
        source = Source(module)
        for node in source.class_node(base.__name__).body:
            if isinstance(node, Function) and (node.name == "__init__" or node.name[0] != "_"):
                found[node.name] = AsyncMethod(source, node)
    yield from found.values()


def by_hand(folder: Path, package: str, stem: str) -> ByHand:
    """What is written by hand for the module `stem`; nothing if there is no such file."""
    path = folder / f"{stem}.py"
    if not path.exists():
        return ByHand()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return ByHand(f"{package}.{stem}", tuple(ast.literal_eval(value)), tree)
            case _:
                pass
    raise CannotGenerateError(f"{path} has no __all__")


def _alias(name: ast.alias) -> str:
    return f"{name.name} as {name.asname}" if name.asname else name.name
