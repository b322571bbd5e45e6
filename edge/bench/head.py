"""`kazasu-edge head`: state, show, pulse and update, for whoever builds or looks after a head.

The head is named as in edge.toml (`head`, `head:NUMBER`), or by an edge.toml, whose agent must not
run meanwhile. Texts are Japanese, and English where the locale says so ($LANG).
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge.bench.terminal import (
    FAULT,
    REFUSED,
    bear_any_terminal,
    complain,
    named,
    tell,
    text,
)
from edge.config import ConfigRefused
from edge.frontends.opening import head_of
from edge.head import Head, HeadGone, HeadRefused
from edge.head_update import begun, keep, sent
from wire import headlink
from wire.headlink import MEANINGS, RELAY_MS_MAX

SHOWN_S: Final = 4.0
"""For each meaning when all are shown: twice as long as an answer stands."""
PULSE_MS: Final = 500


def main(words: list[str]) -> int:
    """Run one command; return its exit status."""
    bear_any_terminal()
    arguments = _parser().parse_args(words)
    command: Callable[[Head, argparse.Namespace], int] = arguments.command
    try:
        head = head_of(named(arguments.head)[0])
    except ConfigRefused as error:
        complain("fault", error=str(error))
        return REFUSED
    if head is None:
        complain("head.none", name=arguments.head)
        return REFUSED
    try:
        return command(head, arguments)
    except HeadGone as error:
        complain("fault", error=str(error))
        return FAULT
    except HeadRefused as error:
        complain("head.refused", error=str(error))
        return FAULT
    finally:
        head.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("kazasu-edge head", description="look after a reader head")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, what, command in (
        ("state", "show which head it is, and what it senses", state),
        ("show", "show a meaning on lamp and buzzer, or all of them in turn", show),
        ("pulse", "close the relay once", pulse),
        ("update", "bring a firmware into the head's other slot, and try it", update),
    ):
        one = commands.add_parser(name, help=what, description=what)
        where = "head, head:NUMBER, or an edge.toml (the head that is plugged in)"
        one.add_argument("--head", default="head", metavar="HEAD", help=where)
        one.set_defaults(command=command)
        if command is show:
            one.add_argument("meaning", nargs="?", choices=MEANINGS, help="one (all in turn)")
            one.add_argument("--silent", action="store_true", help="without its sound")
        elif command is pulse:
            one.add_argument("--ms", type=int, default=PULSE_MS, help=f"how long ({PULSE_MS})")
        elif command is update:
            one.add_argument("bundle", type=Path, metavar="FILE", help="a head's firmware")
    return parser


def state(head: Head, _: argparse.Namespace) -> int:
    """Show which head it is, and what it senses."""
    ignition, opened, tenths, mv, faults = head.ask(headlink.SENSE)
    _tell_who(head)
    for name, value in (("ignition", ignition), ("lid", opened)):
        tell(f"{text(f'head.{name}')}: {text(f'head.{name}.{min(value, 1)}')}")
    tell(f"{text('head.temperature')}: {tenths / 10:.1f} °C")
    tell(f"{text('head.supply')}: {mv / 1000:.1f} V")
    for bit, name in enumerate(headlink.FAULTS):
        if faults >> bit & 1:
            tell(f"✗ {text(f'head.{name}')}")
    return 0


def _tell_who(head: Head) -> None:
    if hello := head.hello:
        firmware = ".".join(map(str, hello.firmware))
        tell(
            text(
                "head.who",
                number=hello.unique_id,
                firmware=firmware,
                board=hello.board,
                seconds=hello.up_ms // 1000,
            )
        )


def show(head: Head, arguments: argparse.Namespace) -> int:
    """Show one meaning, or all in turn."""
    for number, meaning in enumerate(MEANINGS):
        if arguments.meaning in (None, meaning):
            head.ask(headlink.SHOW, number, int(not arguments.silent))
            tell(f"{meaning:<11} {text(f'head.meaning.{meaning}')}")
            if arguments.meaning is None:
                time.sleep(SHOWN_S)
    return 0


def pulse(head: Head, arguments: argparse.Namespace) -> int:
    """Close the relay once."""
    if not 1 <= arguments.ms <= RELAY_MS_MAX:
        sys.stderr.write(f"--ms: 1 to {RELAY_MS_MAX}\n")
        return REFUSED
    head.ask(headlink.RELAY, arguments.ms)
    tell(text("head.pulsed", ms=arguments.ms))
    return 0


def update(head: Head, arguments: argparse.Namespace) -> int:
    """Bring a firmware into the other slot, restart into it, and keep it if it works."""
    try:
        bundle = arguments.bundle.read_bytes()
        for done in sent(head, bundle):
            _progress(done, len(bundle))
    except (OSError, ValueError) as error:
        if isinstance(error, HeadGone | HeadRefused):
            raise
        complain("head.no-bundle", path=str(arguments.bundle), error=str(error))
        return REFUSED
    tell(text("head.restarts"))
    if not begun(head):
        complain("head.fell-back")
        return FAULT
    keep(head)
    _tell_who(head)
    tell(text("head.kept"))
    return 0


def _progress(done: int, whole: int) -> None:
    if sys.stderr.isatty() or done == whole:
        sys.stderr.write(f"\r{100 * done // whole:3} %" + ("\n" if done == whole else ""))
