"""`kazasu-edge card`: watch, info, dump, speed, prove and doctor, for whoever has a reader.

The front end is named as in edge.toml (`pcsc`, `pn532:/dev/ttyAMA0`, …), or by an edge.toml, whose
agent must not run meanwhile. Texts are Japanese, and English where the locale says so ($LANG).
"""

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from edge.bench import doctor, timing
from edge.bench.observe import READ, TORN, Observed, Observer
from edge.bench.prove import prove
from edge.bench.terminal import (
    FAULT,
    INTERRUPTED,
    REFUSED,
    bear_any_terminal,
    complain,
    named,
    opened,
    tell,
    text,
)
from edge.config import ConfigRefused
from edge.frontends import Crowded, FrontEnd, FrontEndFault, Technology
from edge.frontends.opening import open_front_end

TECHNOLOGIES: Final[tuple[Technology, ...]] = ("106B", "212F", "106A")
WAIT_S: Final = 30
"""For a card, before giving up."""
TIMES: Final = 100
TIMES_MAX: Final = 100_000
IDLE_ROUNDS: Final = 20
"""To tell how long a round without a card takes."""
RANDOM_LOOKS: Final = 3
EMPTY_ROUNDS: Final = 2
PAUSE_S: Final = 0.01
"""Between two looks, lest a front end that answers at once keep the processor busy."""


def main(words: list[str]) -> int:
    """Run one command; return its exit status."""
    bear_any_terminal()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell had it ignored
    arguments = _parser().parse_args(words)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read has seen enough; Python would complain at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAULT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("kazasu-edge card", description="look at cards and readers")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, what, command in (
        (
            "watch",
            "show each card that is held: its kind, what can be read, how long it took",
            watch,
        ),
        ("info", "show one card: what it says of itself and by which schemes it can be read", info),
        ("dump", "show every exchange with one card; data that identifies it is hidden", dump),
        ("speed", "read one card again and again, and show how long each step takes", speed),
        ("prove", "have one card sign with its PIN; the last try is never made", prove),
        ("doctor", "find readers, drivers and what is in their way, and say what to do", examine),
    ):
        one = commands.add_parser(name, help=what, description=what)
        where = "?" if command is examine else None
        kinds = "pcsc, pn532:/dev/ttyAMA0, usb:054c:06c3, or an edge.toml"
        one.add_argument("front_end", nargs=where, metavar="FRONT_END", help=kinds)
        one.set_defaults(command=command)
        if command is speed:
            one.add_argument("--times", type=int, default=TIMES, help=f"how often ({TIMES})")
            one.add_argument("--export", type=Path, metavar="FILE", help="a .csv or .json to write")
    return parser


def _waited_for(observer: Observer) -> Observed:
    """Return the first card that is held. Exits when none comes."""
    complain("waiting", seconds=WAIT_S)
    end_s = time.monotonic() + WAIT_S
    while time.monotonic() < end_s:
        try:
            if seen := observer.look():
                return seen
        except Crowded:
            complain("two-cards")
            time.sleep(1)
    complain("no-card")
    raise SystemExit(FAULT)


def _headline(seen: Observed) -> str:
    ms = f"{seen.times_us['total'] / 1000:.0f}" if seen.times_us else "-"
    return text("seen", kind=text(f"kind.{seen.kind}"), mark=seen.mark, ms=ms)


def _schemes(seen: Observed) -> str:
    return "  ".join(f"{name}: {text(f'scheme.{what}')}" for name, what in seen.schemes.items())


def watch(arguments: argparse.Namespace) -> int:
    """Show each card that is held, until Ctrl-C."""
    with opened(arguments.front_end) as (front_end, schemes):
        observer = Observer(front_end, schemes, TECHNOLOGIES)
        tell(text("hold"))
        with contextlib.suppress(KeyboardInterrupt):
            _follow(observer)
    return 0


def _follow(observer: Observer) -> None:
    """Show a card when it comes; one that stays, or is torn away then, is the same presentation."""
    last, empty = "", EMPTY_ROUNDS
    while True:
        try:
            seen = observer.look()
        except Crowded:
            tell(text("two-cards"))
            time.sleep(1)
            continue
        if seen and empty < EMPTY_ROUNDS and TORN in seen.schemes.values():
            empty = 0
            continue
        if seen and (empty >= EMPTY_ROUNDS or seen.mark != last):
            again = "  " + text("again") if seen.mark == last else ""
            tell(f"{time.strftime('%H:%M:%S')}  {_headline(seen)}{again}")
            tell(f"          {_schemes(seen)}")
        last, empty = (seen.mark, 0) if seen else (last, empty + 1)
        time.sleep(PAUSE_S)


def info(arguments: argparse.Namespace) -> int:
    """Show one card."""
    with opened(arguments.front_end) as (front_end, schemes):
        observer = Observer(front_end, schemes, TECHNOLOGIES)
        seen = _waited_for(observer)
        marks = [seen.sensed_mark, *_marks(front_end, observer)]
        tell(f"{text('info.kind')}: {text(f'kind.{seen.kind}')}")
        tell(f"{text('info.technology')}: {seen.technology}")
        tell(f"{text('info.about')}: {seen.about or '-'}")
        for name, what in seen.schemes.items():
            tell(f"{name}: {text(f'scheme.{what}')}")
        if len(marks) > 1:
            tell(text("info.id-fixed" if len(set(marks)) == 1 else "info.id-random"))
    return 0


def _marks(front_end: FrontEnd, observer: Observer) -> Iterator[str]:
    """Yield what the card is found by in further looks, for as often as it is found.

    A PC/SC reader powers a card that lies there up again only when it is opened anew.
    """
    for _ in range(RANDOM_LOOKS):
        front_end.restart()
        with contextlib.suppress(Crowded):
            if seen := observer.look():
                yield seen.sensed_mark


def dump(arguments: argparse.Namespace) -> int:
    """Show every exchange with one card."""
    with opened(arguments.front_end) as (front_end, schemes):
        seen = _waited_for(Observer(front_end, schemes, TECHNOLOGIES))
        tell(f"{seen.technology} {seen.about}")
        for one in seen.exchanges:
            tell(f"> {one.command.hex().upper()}")
            tell(f"< {one.masked()}  {one.us / 1000:.1f} ms")
    return 0


def speed(arguments: argparse.Namespace) -> int:
    """Read one card again and again."""
    if not 1 <= arguments.times <= TIMES_MAX:
        sys.stderr.write(f"--times: 1 to {TIMES_MAX}\n")
        return REFUSED
    observed: list[Observed] = []
    if arguments.export and not _written(lambda: arguments.export.open("a").close()):
        return REFUSED
    with opened(arguments.front_end) as (front_end, schemes):
        observer = Observer(front_end, schemes, TECHNOLOGIES, first_only=True)
        _waited_for(observer)
        lost = _again_and_again(observer, arguments.times, observed)
        _print_times(observed)
        if lost:
            tell(text("speed.lost", times=lost))
    if observed and arguments.export:
        if not _written(lambda: timing.write(arguments.export, observed)):
            return FAULT
        tell(text("speed.written", path=str(arguments.export)))
    return 0 if observed else FAULT


def _written(write: Callable[[], None]) -> bool:
    """Write a file; complain when that cannot be done."""
    try:
        write()
    except OSError as error:
        complain("speed.not-written", error=str(error))
        return False
    return True


def _again_and_again(observer: Observer, times: int, observed: list[Observed]) -> int:
    """Read the card so often, or until Ctrl-C; return how often it could not be read."""
    lost = 0
    with contextlib.suppress(KeyboardInterrupt):
        for done in range(1, times + 1):
            seen = None
            with contextlib.suppress(Crowded):
                seen = observer.look()
            if seen and READ in seen.schemes.values():
                observed.append(seen)
            else:
                lost += 1
            if sys.stderr.isatty() or done == times:
                sys.stderr.write("\r" + text("speed.progress", done=done, times=times))
    sys.stderr.write("\n")
    return lost


def _print_times(observed: list[Observed]) -> None:
    tell(f"{text('speed.stage'):10} {'p50':>8} {'p95':>8} {'p99':>8} {'max':>8}  ms")
    for one in timing.spreads(observed):
        figures = " ".join(f"{value:8.1f}" for value in one[2:])
        tell(f"{one.stage:10} {figures}")
    for stage in ("select", "read", "total"):
        if lines := timing.histogram(observed, stage):
            tell("\n" + text("speed.histogram", stage=stage))
            for line in lines:
                tell(line)


def examine(arguments: argparse.Namespace) -> int:
    """Look at everything, try the front end that is named, and say what to do.

    Where one is named, it alone decides the exit status: a reader on a PN532 needs no pyscard.
    """
    tried = list(_tried(arguments.front_end)) if arguments.front_end else []
    findings = list(doctor.examine())
    for finding in (*findings, *tried):
        mark = "✓" if finding.fine else "✗"
        word = text("doctor.fine" if finding.fine else "doctor.wrong")
        tell(f"{mark} {word}  {text(f'doctor.{finding.message}', **finding.about)}")
    return 0 if all(finding.fine for finding in tried or findings) else FAULT


def _tried(name: str) -> Iterator[doctor.Finding]:
    """Open the front end, let it test itself, and time rounds without a card."""
    try:
        path, felica_system, _ = named(name)
        started_s = time.monotonic()
        front_end = open_front_end(path, felica_system)
    except (ConfigRefused, FrontEndFault) as error:
        yield doctor.Finding(False, "not-opened", {"path": name, "error": str(error)})
        return
    try:
        front_end.restart()
        ms = f"{1000 * (time.monotonic() - started_s):.0f}"
        yield doctor.Finding(True, "opened", {"path": path, "ms": ms})
        started_s = time.monotonic()
        if any(front_end.sense(TECHNOLOGIES) for _ in range(IDLE_ROUNDS)):
            yield doctor.Finding(False, "stray", {})
            return
        ms = f"{1000 * (time.monotonic() - started_s) / IDLE_ROUNDS:.0f}"
        about = {"ms": ms, "technologies": " ".join(TECHNOLOGIES)}
        yield doctor.Finding(True, "polls", about)
    except Crowded:
        yield doctor.Finding(False, "stray", {})
    except FrontEndFault as error:
        yield doctor.Finding(False, "not-opened", {"path": name, "error": str(error)})
    finally:
        front_end.close()
