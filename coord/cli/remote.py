"""Commands that talk to a cluster: their common options, their client and their errors."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from coord.cli.exits import INTERRUPTED, UNREACHABLE, USAGE, CommandError
from coord.cli.output import Format, Output
from coord.client import Client
from coord.client.transport.errors import CoordError, NoLeaderError, TooStaleError, UnavailableError
from coord.terminal.help import PlainCommand, PlainGroup
from coord.terminal.options import whole
from coord.terminal.text import counted

DEFAULT_ENDPOINTS = "127.0.0.1:7400"
DEFAULT_TIMEOUT_MS = 10_000
LONGEST_TIMEOUT_MS = 86_400_000
LOOK_MS = 1_000

EndpointsOption = Annotated[
    str | None,
    typer.Option(
        "--endpoints",
        metavar="HOST:PORT,...",
        help="Nodes to ask, else those in COORD_ENDPOINTS.",
        show_default=DEFAULT_ENDPOINTS,
    ),
]
OutputOption = Annotated[
    Format | None,
    typer.Option(
        "-o",
        "--output",
        metavar="table|json",
        help="How to print the result.",
        show_default="table",
    ),
]
TimeoutOption = Annotated[
    int | None,
    whole(
        "--timeout-ms",
        low=1,
        high=LONGEST_TIMEOUT_MS,
        help="Give up on a call after this long.",
        show_default="10000",
    ),
]


@dataclass(frozen=True, slots=True)
class Common:
    """The common options; None = not given."""

    endpoints: str | None = None
    output: Format | None = None
    timeout_ms: int | None = None

    def over(self, outer: Common) -> Common:
        """These options where given, else those given before the command's name."""
        return Common(
            endpoints=self.endpoints or outer.endpoints,
            output=self.output or outer.output,
            timeout_ms=self.timeout_ms or outer.timeout_ms,
        )


class Remote:
    """What the body of a command gets: a client (made when first used) and the output."""

    def __init__(self, common: Common) -> None:
        self.out = Output(common.output or Format.TABLE)
        self.endpoints = check_endpoints(common.endpoints or DEFAULT_ENDPOINTS)
        self.timeout_ms = common.timeout_ms or DEFAULT_TIMEOUT_MS
        self.timeout_is_given = common.timeout_ms is not None

    def client(self, *, usual_timeout_ms: int = 0, **settings: Any) -> Client:
        """`usual_timeout_ms`: of this command, unless the user gives another."""
        if usual_timeout_ms and not self.timeout_is_given:
            self.timeout_ms = usual_timeout_ms
        return Client(self.endpoints, name="coord", timeout_ms=self.timeout_ms, **settings)


P = ParamSpec("P")
Body = Callable[Concatenate[Remote, P], Awaitable[None]]


def remote(app: typer.Typer, name: str) -> Callable[[Body[P]], Body[P]]:
    """Registers an async function as a command; its first parameter is the Remote, the others are
    its options and arguments, to which the common options are added."""

    def register(body: Body[P]) -> Body[P]:
        own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]

        def command(ctx: typer.Context, **values: Any) -> None:
            common = Common(values.pop("endpoints"), values.pop("output"), values.pop("timeout_ms"))
            try:
                asyncio.run(_run(body, common.over(ctx.obj or Common()), values))
            except KeyboardInterrupt:
                raise typer.Exit(INTERRUPTED) from None

        parameters = [_parameter("ctx", typer.Context, inspect.Parameter.empty), *own]
        parameters += [
            _parameter("endpoints", EndpointsOption, None),
            _parameter("output", OutputOption, None),
            _parameter("timeout_ms", TimeoutOption, None),
        ]
        keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
        vars(command)["__signature__"] = inspect.Signature(keyword_only)
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        command.__doc__ = body.__doc__
        app.command(name, cls=PlainCommand)(command)
        return body

    return register


def group(name: str, summary: str) -> typer.Typer:
    """A group of commands, such as `coord task`."""
    return typer.Typer(
        name=name,
        cls=PlainGroup,
        help=summary,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def check_endpoints(text: str) -> str:
    """The endpoints as given; a usage error when one is not host:port."""
    for endpoint in text.split(","):
        if not is_endpoint(endpoint):
            raise CommandError(f"endpoint {endpoint.strip()!r} is not HOST:PORT", USAGE)
    return text


def is_endpoint(text: str) -> bool:
    """Whether this is host:port, or [IPv6 address]:port."""
    found = re.fullmatch(r"\s*(\[[0-9A-Fa-f:.%]+\]|[^\s:/,\[\]]+):([0-9]{1,5})\s*", text)
    return found is not None and 0 < int(found[2]) < 65_536


async def _run(body: Callable[..., Awaitable[None]], common: Common, values: Any) -> None:
    cli = Remote(common)
    try:
        await body(cli, **values)
    except TooStaleError as error:
        raise CommandError(str(error)) from error
    except NoLeaderError as error:
        raise CommandError(
            f"{await _votes_there(cli) or error} (NO_LEADER)", UNREACHABLE
        ) from error
    except UnavailableError as error:
        raise CommandError(f"no node serves at {cli.endpoints}: {error}", UNREACHABLE) from error


async def _votes_there(cli: Remote) -> str:
    """How many members answer, of how many that are needed; empty where nobody can say."""
    try:
        async with Client(cli.endpoints, name="coord", timeout_ms=LOOK_MS) as client:
            members = (await client.cluster.status()).members
    except CoordError:
        return ""
    there = [member.id for member in members if member.reachable]
    needed = len(members) // 2 + 1
    if len(there) >= needed:
        return ""
    return (
        f"no majority, so no leader: of {counted(len(members), 'member')} only "
        f"{', '.join(there) or 'none'} {'answers' if len(there) == 1 else 'answer'}, "
        f"{needed} are needed"
    )


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
    )
