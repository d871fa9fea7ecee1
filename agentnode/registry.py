"""Handlers by name: the decorator, and how payloads and results are turned into values.

A handler takes the payload, or the payload and a context. An annotation of `bytes` gets the raw
payload; anything else is decoded from JSON and checked against the annotation (pydantic rules,
strict: no guessing between types), so dataclasses and models work too. It returns `bytes`, stored
as they are, or a value that is stored as JSON.
"""

from __future__ import annotations

import functools
import inspect
import json
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import pydantic
import pydantic_core

from agentnode.errors import LoadError, PermanentError
from agentnode.outcome import text_of

MAX_RESULT_BYTES = 1_048_576

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Handler:
    """One registered function and its options."""

    name: str
    function: Callable[..., Any]
    # Of positional parameters: none, the payload, the payload and the context.
    parameters: int
    is_async: bool
    timeout_ms: int
    permanent: tuple[type[BaseException], ...]

    def decode(self, payload: bytes) -> object:
        """The payload as the handler wants it. PermanentError when it does not fit.

        An empty payload stands for JSON null."""
        if self._payload_type is bytes:
            return payload
        try:
            return self._adapter.validate_json(payload or b"null", strict=True)
        except pydantic.ValidationError as error:
            raise PermanentError(
                f"the payload does not fit handler {self.name!r}: {_first_problem(error)}"
            ) from None

    def encode(self, value: object) -> bytes:
        """A result as it is stored. PermanentError when it is not JSON, or too large."""
        data = self._as_bytes(value)
        if len(data) > MAX_RESULT_BYTES:
            raise PermanentError(
                f"the result of handler {self.name!r} has {len(data)} bytes; at most"
                f" {MAX_RESULT_BYTES}: keep it elsewhere and return where it is"
            )
        return data

    def _as_bytes(self, value: object) -> bytes:
        if isinstance(value, bytes):
            return memoryview(value).tobytes()  # of a subclass, too, nothing but the bytes
        if inspect.isawaitable(value):
            _close(value)
            raise PermanentError(
                f"handler {self.name!r} returned something to await instead of a result:"
                " declare it with `async def`, or await that before returning"
            )
        try:
            data = pydantic_core.to_json(value)
            check_numbers(data)
        except Exception as error:
            raise PermanentError(
                f"the result of handler {self.name!r} is not JSON: {text_of(error)}"
            ) from None
        return data

    def check(self) -> None:
        """Resolve the annotations now. LoadError when that fails."""
        try:
            _ = self._payload_type is bytes or self._adapter
        except (NameError, TypeError, pydantic.errors.PydanticUserError) as error:
            raise LoadError(
                f"handler {self.name!r}: cannot use its payload annotation: {error}"
            ) from None

    @cached_property
    def _payload_type(self) -> Any:
        # Late: an annotation may name something the module defines further down.
        names = list(inspect.signature(self.function).parameters)
        if not names:
            return Any
        return typing.get_type_hints(_annotated(self.function)).get(names[0], Any)

    @cached_property
    def _adapter(self) -> pydantic.TypeAdapter[Any]:
        return pydantic.TypeAdapter(self._payload_type)


class Registry:
    """The handlers one worker serves, by task type."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def task(
        self,
        name: str | None = None,
        *,
        timeout_ms: int = 0,
        permanent: tuple[type[BaseException], ...] = (),
    ) -> Callable[[_F], _F]:
        """Register a function under `name` (default: its own), to be used as a decorator.

        A plain function runs in a thread of its own, a coroutine function on the event loop.
        `timeout_ms` bounds one attempt (0: no bound); exceptions of the `permanent` types make
        the task dead at once, all others are tried again. ValueError for a name used twice,
        TypeError for a function that cannot be a handler."""
        if timeout_ms < 0:
            raise ValueError(f"timeout_ms must be 0 or more, not {timeout_ms}")

        def register(function: _F) -> _F:
            handler = Handler(
                name=name or _name_of(function),
                function=function,
                parameters=_count_parameters(function),
                is_async=_is_async(function),
                timeout_ms=timeout_ms,
                permanent=permanent,
            )
            if handler.name in self._handlers:
                raise ValueError(f"two handlers are named {handler.name!r}")
            self._handlers[handler.name] = handler
            return function

        return register

    def find(self, task_type: str, queue: str) -> Handler | None:
        """The handler of a task: by its type; without one by its queue's name, or the only one."""
        if task_type:
            return self._handlers.get(task_type)
        if queue in self._handlers:
            return self._handlers[queue]
        return next(iter(self._handlers.values())) if len(self._handlers) == 1 else None

    def check(self) -> None:
        """LoadError if there is no handler, or one that cannot work."""
        if not self._handlers:
            raise LoadError("the registry has no handlers")
        for handler in self:
            handler.check()

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._handlers.values())

    def __len__(self) -> int:
        return len(self._handlers)


def _annotated(function: Callable[..., Any]) -> Callable[..., Any]:
    """What carries the annotations of a callable."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    return type(function).__call__


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", None)
    if not isinstance(name, str):
        raise TypeError("a handler without a name of its own is registered under one: task('name')")
    return name


def _is_async(function: Callable[..., Any]) -> bool:
    """Also for an object whose call is a coroutine function."""
    if inspect.isasyncgenfunction(function):
        raise TypeError("a handler returns one result; it cannot be an asynchronous generator")
    called = getattr(function, "__call__", None)  # noqa: B004 - what a call runs, not whether
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def _close(awaitable: object) -> None:
    """End a coroutine that was never begun, without the interpreter's warning."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()


def check_numbers(data: bytes) -> None:
    """ValueError if JSON text of Python has a number that JSON does not know: NaN or Infinity."""
    if b"NaN" in data or b"Infinity" in data:
        json.loads(data, parse_constant=no_constant)


def no_constant(name: str) -> float:
    """For `json.loads(parse_constant=...)`: refuse NaN and Infinity."""
    raise ValueError(f"{name} is not JSON")


def _count_parameters(function: Callable[..., Any]) -> int:
    positional = 0
    for parameter in inspect.signature(function).parameters.values():
        match parameter.kind:
            case parameter.POSITIONAL_ONLY | parameter.POSITIONAL_OR_KEYWORD:
                if positional < 2 or parameter.default is parameter.empty:
                    positional += 1
            case parameter.KEYWORD_ONLY if parameter.default is parameter.empty:
                raise TypeError(f"a handler takes (payload) or (payload, ctx), not {parameter}")
            case _:
                pass
    if positional > 2:
        raise TypeError(f"a handler takes (payload) or (payload, ctx), not {positional} parameters")
    return positional


def _first_problem(error: pydantic.ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    where = json.dumps([str(part) for part in problem["loc"]]) if problem["loc"] else ""
    return f"{problem['msg']}{' at ' + where if where else ''}"
