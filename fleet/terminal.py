"""What every command of `kazasu-fleet` needs: configuration, clock, databases, who it is.

A command that cannot do what it was asked says why in one sentence on stderr and ends with 1; a
wrong command line ends with 2, as typer has it.
"""

import contextlib
import getpass
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
import typer
from rich.console import Console

from fleet.config import Config, read_config
from fleet.grants import Role
from fleet.store import Store, open_fleet, open_persons
from wire.clock import Clock

out: Final = Console()
err: Final = Console(stderr=True, soft_wrap=True)


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
        store = open_fleet(self.config.state_folder, Role.OWNER)
        try:
            yield store
        finally:
            store.close()

    @contextlib.contextmanager
    def people(self) -> Iterator[Store]:
        """Open the database of persons as its owner."""
        store = open_persons(self.config.state_folder, Role.OWNER)
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


def fail(sentence: object) -> typer.Exit:
    """Say why it cannot be done; raise what this returns."""
    err.print(str(sentence), style="bold red", markup=False, highlight=False)
    return typer.Exit(1)


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
