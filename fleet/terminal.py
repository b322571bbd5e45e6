"""What every command of `kazasu-fleet` needs: configuration, clock, databases, who it is.

A command that cannot do what it was asked says why in one sentence on stderr and ends with 1; a
wrong command line ends with 2, as typer has it. Every text that a person types is one of the types
`Text`, `Why`, `Programme` or has their guard: an individual number never gets past it (C8). A list
is a table at a terminal, and elsewhere one line a row with tabs between, of any width.
"""

import contextlib
import errno
import getpass
import logging
import re
import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import structlog
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from fleet.config import Config, read_config
from fleet.grants import Role
from fleet.store import Store, open_fleet, open_persons
from programmes.register import rulebook
from wire.clock import Clock
from wire.individual_number import refuse_individual_number

out: Final = Console(soft_wrap=True, markup=False, emoji=False, highlight=False)
err: Final = Console(stderr=True, soft_wrap=True, markup=False, emoji=False, highlight=False)


# --- what a person types -------------------------------------------------------------------------


def guard(param: typer.CallbackParam, value: str | None) -> str | None:
    """Let every text pass but an individual number. Raises IndividualNumberRefused."""
    return value and refuse_individual_number(param.name or "", value)


def guard_programme(param: typer.CallbackParam, value: str) -> str:
    """Let the name of a programme pass. Raises UnknownProgramme, naming those there are."""
    guard(param, value)
    return rulebook(value).name


Text = Annotated[str, typer.Argument(callback=guard)]
Why = Annotated[str, typer.Argument(callback=guard, help="The reason, kept for who asks later.")]
Programme = Annotated[
    str, typer.Option(callback=guard_programme, help="Such as senior-pass or attendance.")
]


@dataclass(frozen=True)
class Site:
    """What a command works on."""

    config_path: Path
    clock: Clock

    @property
    def config(self) -> Config:
        """The configuration file, read. Raises ConfigRefused."""
        return read_config(self.config_path)

    def now_ms(self) -> int:
        """The time by this process's clock."""
        return self.clock.now_ms()

    @contextlib.contextmanager
    def fleet(self) -> Iterator[Store]:
        """Open the database without persons as its owner."""
        store = open_fleet(self.config.databases, Role.OWNER)
        try:
            yield store
        finally:
            store.close()

    @contextlib.contextmanager
    def people(self) -> Iterator[Store]:
        """Open the database of persons as its owner."""
        store = open_persons(self.config.databases, Role.OWNER)
        try:
            yield store
        finally:
            store.close()


def site_of(context: typer.Context) -> Site:
    """Return what this command works on."""
    site = context.find_object(Site)
    if site is None:
        raise RuntimeError("the command was not started through fleet.cli")
    return site


def who() -> str:
    """Return the name under which this person's changes are written down."""
    return f"cli:{getpass.getuser()}"


# --- what a person is told -----------------------------------------------------------------------


def show(columns: Sequence[str], rows: Sequence[Sequence[object]], console: Console = out) -> None:
    """Show a list whole. No columns: without a heading."""
    if console.is_terminal:
        heads = [Column(name, overflow="fold") for name in columns or [""] * len(rows[0])]
        table = Table(*heads, box=SIMPLE_HEAD, show_header=bool(columns))
        for row in rows:
            table.add_row(*map(str, row))
        console.print(table, soft_wrap=False)
        return
    for cells in [columns, *rows] if columns else rows:
        line = "\t".join(" ".join(str(cell).split()) for cell in cells)
        typer.echo(line, file=console.file)  # rich would turn tabs into blanks


def fail(why: object) -> typer.Exit:
    """Say why it cannot be done, a sentence or an error; raise what this returns."""
    err.print(explain(why), style="bold red")
    return typer.Exit(1)


_WHAT_TO_DO: Final[Mapping[int, str]] = {
    errno.ENOENT: "there is no such file: check the path",
    errno.EISDIR: "this is a folder: name a file",
    errno.ENOTDIR: "a part of this path is no folder: check the path",
    errno.EACCES: "this user may not open it: look at its owner and mode",
    errno.EPERM: "this user may not do that: look at its owner and mode",
    errno.EROFS: "the disk can only be read: mount it for writing",
    errno.ENOSPC: "the disk is full: make room, then try again",
    errno.EADDRINUSE: "another process listens there: stop it, or set another port in fleet.toml",
    errno.EADDRNOTAVAIL: "this machine has no such address: correct the host in fleet.toml",
}
_BOUND: Final = re.compile(r"address \('([^']+)', (\d+)")
"""Where an asyncio server could not listen: its OSError names the address in its text alone."""


def explain(why: object) -> str:
    """Return a sentence: what an operating system's error means here, or the error's own."""
    cause = why if isinstance(why, OSError) else getattr(why, "__cause__", None)
    if not isinstance(cause, OSError):
        return str(why)
    if isinstance(cause, ssl.SSLError):  # its errno is OpenSSL's own
        return f"TLS: {cause}: look at the certificates and keys that fleet.toml names"
    what = _WHAT_TO_DO.get(cause.errno or 0, cause.strerror or str(cause))
    if bound := _BOUND.search(str(cause)):
        host, port = bound.groups()
        if cause.errno == errno.EACCES:
            what = "this user may not listen there: set a port above 1023 in fleet.toml"
        return f"port {port} of {host}: {what}"
    return f"{cause.filename}: {what}" if cause.filename else what


def log_plainly() -> None:
    """Let a service log one line an event: coloured at a terminal, JSON elsewhere."""
    at_terminal = sys.stderr.isatty()
    renderer = (
        structlog.dev.ConsoleRenderer() if at_terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
