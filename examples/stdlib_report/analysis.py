"""Figures of one module, from its source alone.

Whole numbers only, so that a result is the same wherever it was computed. Cyclomatic complexity
is McCabe's: one, plus one for every place where the flow can take another branch; a nested
function counts for itself.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from typing import Any

Figures = dict[str, Any]
Function = ast.FunctionDef | ast.AsyncFunctionDef

BRANCHES = (
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.Assert,
    ast.match_case,
)
LAYOUT = frozenset(
    {
        tokenize.ENCODING,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
)


def analyse_source(module: str, source: bytes) -> Figures:
    """The figures of one module. A source that does not parse has `parsed` false and zeros."""
    figures: Figures = {
        "module": module,
        "parsed": True,
        "lines": source.count(b"\n"),
        "code_lines": 0,
        "comment_lines": 0,
        "functions": 0,
        "classes": 0,
        "documentable": 0,
        "documented": 0,
        "complexity": 0,
        "most_complex": {"name": "", "complexity": 0},
        "longest": {"name": "", "lines": 0},
        "imports": [],
    }
    try:
        tree = ast.parse(source)
        figures["code_lines"], figures["comment_lines"] = count_lines(source)
    except (SyntaxError, ValueError, tokenize.TokenError):
        figures["parsed"] = False
        return figures
    _count_definitions(tree, module, figures)
    figures["imports"] = sorted(imported_packages(tree, module))
    return figures


def count_lines(source: bytes) -> tuple[int, int]:
    """Lines with code (or text in quotes) on them, and lines with a comment on them."""
    code: set[int] = set()
    comments: set[int] = set()
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments.add(token.start[0])
        elif token.type not in LAYOUT:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code), len(comments)


def complexity(function: Function) -> int:
    """McCabe's number of one function, without the functions and classes nested in it."""
    total = 1
    for node in _own_nodes(function):
        if isinstance(node, BRANCHES):
            total += 1
        elif isinstance(node, ast.comprehension):
            total += 1 + len(node.ifs)
        elif isinstance(node, ast.BoolOp):
            total += len(node.values) - 1
    return total


def imported_packages(tree: ast.Module, module: str) -> set[str]:
    """The outermost packages that a module imports anywhere in it, except its own."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
    own = module.partition(".")[0]
    return {name.partition(".")[0] for name in found} - {own}


def _count_definitions(tree: ast.Module, module: str, figures: Figures) -> None:
    _count_docstring(tree, module.rpartition(".")[2], figures)
    for name, node in _definitions(tree, ""):
        _count_docstring(node, node.name, figures)
        if isinstance(node, ast.ClassDef):
            figures["classes"] += 1
            continue
        figures["functions"] += 1
        own = complexity(node)
        figures["complexity"] += own
        if own > figures["most_complex"]["complexity"]:
            figures["most_complex"] = {"name": name, "complexity": own}
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > figures["longest"]["lines"]:
            figures["longest"] = {"name": name, "lines": lines}


def _count_docstring(
    node: ast.Module | ast.ClassDef | Function, name: str, figures: Figures
) -> None:
    """Only public names are expected to have one."""
    if name.startswith("_"):
        return
    figures["documentable"] += 1
    figures["documented"] += ast.get_docstring(node, clean=False) is not None


def _definitions(parent: ast.AST, prefix: str) -> Iterator[tuple[str, ast.ClassDef | Function]]:
    """Every class and function with its dotted name, in order of the source."""
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{prefix}{node.name}"
            yield name, node
            yield from _definitions(node, f"{name}.")
        elif isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _definitions(node, prefix)


def _own_nodes(function: Function) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            waiting.extend(ast.iter_child_nodes(node))
