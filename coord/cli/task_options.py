"""The options of a task on the command line, for every command that submits tasks."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, cast

import typer

from coord.cli.output import pairs
from coord.cli.remote import Remote
from coord.client import TaskOptions
from coord.terminal.options import whole

LONGEST_MS: Final = 366 * 86_400_000
LATEST_UNIX_MS: Final = (1 << 53) - 1
MOST_ATTEMPTS: Final = 1_000


def _ms(name: str, meaning: str) -> Any:
    return Annotated[int, whole(name, high=LONGEST_MS, help=meaning)]


OPTIONS: Final[dict[str, Any]] = {
    "type": Annotated[str, typer.Option("--type", metavar="TYPE", help="Which handler is meant.")],
    "priority": Annotated[
        int, whole("--priority", low=-(2**31), high=2**31 - 1, help="Larger is sooner.")
    ],
    "delay_ms": _ms("--delay-ms", "Not claimable before."),
    "not_before_unix_ms": Annotated[
        int,
        whole(
            "--not-before-unix-ms",
            high=LATEST_UNIX_MS,
            help="Not claimable before this time, in milliseconds since 1970.",
        ),
    ],
    "max_attempts": Annotated[int, whole("--max-attempts", high=MOST_ATTEMPTS, help="0 means 3.")],
    "max_lost_leases": Annotated[
        int,
        whole(
            "--max-lost-leases",
            high=MOST_ATTEMPTS,
            help="Workers that may be lost with it. 0 means 10, or the attempts if those are more.",
        ),
    ],
    "backoff_initial_ms": _ms("--backoff-initial-ms", "Wait before attempt 2. 0 means 1000."),
    "backoff_max_ms": _ms("--backoff-max-ms", "Longest wait between two attempts. 0 means 60000."),
    "backoff_multiplier_permille": Annotated[
        int,
        whole(
            "--backoff-multiplier-permille",
            high=100_000,
            help="How much longer each wait is than the one before. 0 means 2000: twice as long.",
        ),
    ],
    "attempt_timeout_ms": _ms(
        "--attempt-timeout-ms", "Longest time of one attempt. 0 means no limit."
    ),
    "progress_timeout_ms": _ms(
        "--progress-timeout-ms", "Longest time without progress. 0 means no limit."
    ),
    "total_timeout_ms": _ms(
        "--total-timeout-ms", "Longest time of all attempts together. 0 means no limit."
    ),
    "retention_ms": _ms(
        "--retention-ms",
        "How long it is kept after its end. 0 means 1 hour, and 10 minutes if it is completed.",
    ),
    "idempotency_key": Annotated[
        str,
        typer.Option(
            "--idempotency-key",
            metavar="KEY",
            help="A second submit with this key returns the first task.",
        ),
    ],
    "labels": Annotated[
        list[str] | None,
        typer.Option("--label", metavar="KEY=VALUE", help="May be repeated."),
    ],
}
_NOT_GIVEN: Final = {int: 0, str: ""}

Body = Callable[..., Awaitable[None]]


def with_task_options(body: Body) -> Body:
    """Give a command the options of a task; its body gets those that were used, as `options`."""
    signature = inspect.signature(body, eval_str=True)

    async def command(cli: Remote, **values: Any) -> None:
        given = {name: value for name in OPTIONS if (value := values.pop(name))}
        if labels := given.get("labels"):
            given["labels"] = pairs(labels, "--label")
        await body(cli, **values, options=cast("TaskOptions", given))

    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        shown = [_parameter(name) for name in OPTIONS]
        parameters += shown if parameter.name == "options" else [parameter]
    vars(command)["__signature__"] = signature.replace(parameters=parameters)
    command.__doc__ = body.__doc__
    return command


def _parameter(name: str) -> inspect.Parameter:
    annotation = OPTIONS[name]
    default = _NOT_GIVEN.get(annotation.__origin__)
    return inspect.Parameter(
        name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation, default=default
    )
