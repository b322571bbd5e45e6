"""`kazasu-edge`: runs the agent, one of its halves, reads its journal, looks at cards.

Rules of `run`: both halves are processes of their own · a half that died is started again, later
and later while it keeps dying, for ever: what it lacks may be there in a minute · where another
agent has the state folder and keeps it, this one ends and says so · neither half outlives this one,
even when it is killed, so that the next start finds the folder free.
"""

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from edge.backoff import Backoff
from edge.lock import LINK_LOCK, InUse, refuse_held

HALVES: Final = ("tap", "link")
CONFIG_REFUSED: Final = 2
"""Exit status when the configuration or the journal cannot be read at all, or is another's."""
PR_SET_PDEATHSIG: Final = 1
"""linux/prctl.h: the signal that a process gets when the one that started it has ended."""
RESTART_BASE_S: Final = 0.5
RESTART_CAP_S: Final = 10.0
"""The longest that passengers wait for a half that dies at every start, and the least rest that a
machine gets which cannot start it."""
STEADY_S: Final = 60.0
"""A half that lived this long died of something new: it is started again at once."""
STOP_S: Final = 8.0
"""For a half to say goodbye; then it is killed, which it must bear at any instant anyway."""
LINGER_S: Final = 5.0
"""The halves of an agent that was just killed have the state folder so long at most: the last
status takes 2 s, the page 1 s. Whoever has it longer stays, and it is this agent that ends."""
POLL_S: Final = 0.1


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit status."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["card"]:
        return _card(words[1:])
    if words[:1] == ["head"]:
        return _head(words[1:])
    arguments = _parser().parse_args(words)
    command: Callable[[argparse.Namespace], int] = arguments.command
    return command(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("kazasu-edge", description="the agent on the reader")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, what, command in (
        ("run", "run both halves, and start again what dies", _run),
        ("tap", "run the card half alone", _tap),
        ("link", "run the network half alone", _link),
        ("journal", "verify the journal and show its entries", _journal),
    ):
        one = commands.add_parser(name, help=what, description=what)
        one.add_argument("config", type=Path, metavar="CONFIG", help="the reader's edge.toml")
        one.set_defaults(command=command)
        if name == "journal":
            one.add_argument("--json", action="store_true", help="one JSON object a line")
        elif name in HALVES:
            one.add_argument("--parent", type=int, default=0, help=argparse.SUPPRESS)
    enrol = commands.add_parser("enrol", help="turn a new card's claim into this reader's identity")
    enrol.add_argument("config", type=Path, metavar="CONFIG", help="the reader's edge.toml")
    enrol.add_argument("--card", type=Path, required=True, help="the folder with the claim")
    enrol.set_defaults(command=_enrol)
    unsent = commands.add_parser("unsent", help="write what lies on a dead reader's card")
    unsent.add_argument("state", type=Path, metavar="STATE", help="its state folder")
    unsent.add_argument("--reader", required=True, help="its full name, tenant/reader")
    unsent.add_argument("--key", type=Path, required=True, help="its private key (reader.key)")
    unsent.set_defaults(command=_unsent)
    card = commands.add_parser("card", help="look at cards and readers, at a bench")
    card.set_defaults(command=lambda _: _card([]))
    head = commands.add_parser("head", help="look after a reader head, at a bench")
    head.set_defaults(command=lambda _: _head([]))
    return parser


def _card(words: list[str]) -> int:
    """Hand all that follows `card` to the bench, which no half of the agent imports."""
    from edge.bench.cli import main as bench

    return bench(words)


def _head(words: list[str]) -> int:
    """Hand all that follows `head` to the bench, likewise."""
    from edge.bench.head import main as bench

    return bench(words)


def _tap(arguments: argparse.Namespace) -> int:
    from edge.tap import main as tap

    _end_with(arguments.parent)
    return tap([str(arguments.config)])


def _link(arguments: argparse.Namespace) -> int:
    from edge.link import main as link

    _end_with(arguments.parent)
    return link([str(arguments.config)])


def _end_with(parent: int) -> None:
    """Get SIGTERM when the process `parent` ends; 0: nobody started this one to look after it."""
    if not parent:
        return
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it has ended already
        os.kill(os.getpid(), signal.SIGTERM)


def _run(arguments: argparse.Namespace) -> int:
    from edge.config import ConfigRefused, read_config
    from edge.journal import FOLDER
    from edge.journal_writer import LOCK

    try:
        state = Path(read_config(arguments.config).state)
    except ConfigRefused as error:
        sys.stderr.write(f"{error}\n")
        return CONFIG_REFUSED
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    locks = {"tap": state / FOLDER / LOCK, "link": state / LINK_LOCK}
    halves = [_Half(name, arguments.config, locks[name]) for name in HALVES]
    try:
        while not stop.wait(POLL_S):
            for half in halves:
                half.look()
    except InUse as error:
        sys.stderr.write(f"{error}\n")
        return CONFIG_REFUSED
    finally:
        for half in halves:
            half.terminate()
        end_s = time.monotonic() + STOP_S
        for half in halves:
            half.wait(end_s - time.monotonic())
    return 0


class _Half:
    """One child process, started again after it died."""

    def __init__(self, name: str, config: Path, lock: Path) -> None:
        self._name, self._lock = name, lock
        self._command = [sys.executable, "-m", "edge.cli", name, str(config)]
        self._command += ["--parent", str(os.getpid())]
        self._backoff = Backoff(base_s=RESTART_BASE_S, cap_s=RESTART_CAP_S)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = self._due_s = 0.0
        self._refused_s: float | None = None

    def look(self) -> None:
        """Start what is due; notice what has died. Raises InUse when another agent is here."""
        now_s = time.monotonic()
        if self._process is None:
            if now_s >= self._due_s:
                self._process, self._started_s = subprocess.Popen(self._command), now_s
            return
        status = self._process.poll()
        if status is None:
            return
        self._process = None
        wait_s = RESTART_BASE_S if self._is_refused(status, now_s) else self._next_wait_s(now_s)
        self._due_s = now_s + wait_s
        sys.stderr.write(f"{self._name} ended with {status}: again in {wait_s:.1f} s\n")

    def _is_refused(self, status: int, now_s: float) -> bool:
        """Say whether it ended because another agent has its lock; raise InUse after LINGER_S."""
        try:
            if status == CONFIG_REFUSED:
                refuse_held(self._lock)
        except InUse:
            self._refused_s = now_s if self._refused_s is None else self._refused_s
            if now_s - self._refused_s >= LINGER_S:
                raise
            return True
        except OSError:
            pass  # without a folder there is no other agent in it: the half has said what is wrong
        self._refused_s = None
        return False

    def _next_wait_s(self, now_s: float) -> float:
        if now_s - self._started_s >= STEADY_S:
            self._backoff.reset()
        return self._backoff.next_s()

    def terminate(self) -> None:
        """Ask it to end."""
        if self._process:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait until it has ended, and kill it when that takes longer."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _journal(arguments: argparse.Namespace) -> int:
    """Print every entry and what is missing; 1 when something is, 2 when nothing can be read."""
    from edge.config import ConfigRefused, read_config
    from edge.journal import FOLDER
    from edge.verify import Missing, verify

    try:
        config = read_config(arguments.config)
        damaged = False
        for found in verify(Path(config.state) / FOLDER, config.reader):
            damaged = damaged or isinstance(found, Missing)
            line = found.as_dict()
            sys.stdout.write((_as_json if arguments.json else _as_text)(line) + "\n")
    except (ConfigRefused, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return CONFIG_REFUSED
    return 1 if damaged else 0


def _enrol(arguments: argparse.Namespace) -> int:
    """0: this reader has its identity; 1: ask again later; 2: the card cannot be used."""
    from edge.config import ConfigRefused, read_config
    from edge.enrol import EnrolRefused, NotNow, enrol

    try:
        config = read_config(arguments.config)
        fresh = enrol(config, arguments.card)
    except (ConfigRefused, EnrolRefused, NotNow, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return CONFIG_REFUSED if isinstance(error, ConfigRefused | EnrolRefused) else 1
    sys.stdout.write(f"{config.reader}: {'enrolled' if fresh else 'has been enrolled before'}\n")
    return 0


def _unsent(arguments: argparse.Namespace) -> int:
    """Write signed batches, one a line, for `kazasu-fleet ledger recover`."""
    from edge.unsent import CardRefused, batches, read_signer

    try:
        for payload in batches(arguments.state, arguments.reader, read_signer(arguments.key)):
            sys.stdout.buffer.write(payload + b"\n")
        sys.stdout.buffer.flush()
    except (CardRefused, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return CONFIG_REFUSED
    return 0


def _as_json(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False)


def _as_text(line: dict[str, Any]) -> str:
    if "missing" in line:
        first, last = line["missing"]
        return f"{line['journal'][:8]} {first} to {last} MISSING: {line['why']}"
    rest = " ".join(
        f"{key}={value}" for key, value in line["body"].items() if key not in ("v", "n", "kind")
    )
    return f"{line['journal'][:8]} {line['n']} {line['body']['kind']} {rest}"


if __name__ == "__main__":
    sys.exit(main())
