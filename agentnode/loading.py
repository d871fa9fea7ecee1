"""Finds a registry by `MODULE[:REGISTRY]`, where MODULE is a dotted name or the path of a file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from agentnode.errors import LoadError
from agentnode.outcome import text_of
from agentnode.registry import Registry

_FRAMES_LOOKED_AT = 64


def load_registry(reference: str) -> Registry:
    """The named registry; without a name `registry`, or the only one of the module.

    The working directory is importable. LoadError says what is wrong."""
    module_name, _, attribute = reference.partition(":")
    module = _load_module(module_name)
    registry = _named(module, attribute) if attribute else _only(module)
    registry.check()
    return registry


def _load_module(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        if name.endswith(".py"):
            return _load_file(Path(name))
        return importlib.import_module(name)
    except (LoadError, KeyboardInterrupt):
        raise
    except ModuleNotFoundError as error:
        raise LoadError(f"cannot load {name!r}: {error}{_place(error)}") from None
    except BaseException as error:  # a module may as well exit
        text = " ".join(text_of(error).split())
        raise LoadError(
            f"loading {name!r} failed: {type(error).__name__}: {text}{_place(error)}"
        ) from None


def _place(error: BaseException) -> str:
    """Where in the user's code it happened, as far as that is known."""
    if isinstance(error, SyntaxError) and error.filename:
        return ""  # its text says it
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__, limit=-_FRAMES_LOOKED_AT)
        if not frame.filename.startswith(("<frozen ", __file__, importlib.__file__))
    ]
    if not frames:
        return ""
    return f" (at {frames[-1].filename}:{frames[-1].lineno}{_from_module(frames)})"


def _from_module(frames: list[traceback.FrameSummary]) -> str:
    """The line of the module itself, if the error is in something that it calls or imports."""
    first, last = frames[0], frames[-1]
    if first.filename == last.filename:
        return ""
    return f", reached from {first.filename}:{first.lineno}"


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise LoadError(f"there is no file {str(path)!r}")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{str(path)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Known by its name, as for any import: dataclasses and type hints look it up.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _named(module: ModuleType, attribute: str) -> Registry:
    found = getattr(module, attribute, None)
    if found is None:
        raise LoadError(f"module {module.__name__!r} has no {attribute!r}")
    if not isinstance(found, Registry):
        raise LoadError(f"{module.__name__}:{attribute} is not an agentnode Registry")
    return found


def _only(module: ModuleType) -> Registry:
    default = getattr(module, "registry", None)
    if isinstance(default, Registry):
        return default
    found = {id(value): value for value in vars(module).values() if isinstance(value, Registry)}
    if len(found) != 1:
        raise LoadError(
            f"module {module.__name__!r} has {len(found)} registries; name one: MODULE:REGISTRY"
        )
    return next(iter(found.values()))
