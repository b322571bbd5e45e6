"""A reader in its box for tests: the card half behind a virtual head, and what its lamp says."""

import contextlib
import importlib.util
import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from hw.sim import head as sim
from hw.sim.pn532 import PN532
from tests.edge.reader_kit import WAIT_S, Link, ReaderKit, make_reader
from wire import headlink

FIRMWARE: Final = Path("firmware")
ORDERS: Final = {
    "watch-soon": ("power.py", "self._watch_ms = seconds * 1000", "self._watch_ms = seconds * 30"),
    "off-at-once": ("senses.py", "IGNITION_OFF_MS = 200, 3_000", "IGNITION_OFF_MS = 200, 50"),
}
"""A head whose seconds are short, by file, words and other words: nobody waits for two minutes."""


def _face() -> ModuleType:
    sys.modules.setdefault("headlink", headlink)
    spec = importlib.util.spec_from_file_location("firmware_face", FIRMWARE / "face.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FACE: Final[Any] = _face()
DARK: Final = (FACE.DARK,) * FACE.LAMPS


def pictures(meaning: str) -> set[tuple[Any, ...]]:
    """Return what the ring may show of a meaning; dark is what several show now and then."""
    shown = {tuple(FACE.frame(meaning, ms)) for ms in range(0, 4000, 50)}
    return shown if meaning == "off" else shown - {DARK}


def meaning_of(one: sim.Told) -> str:
    """Return what the ring shows from here on; empty: it is something else, or dark for now."""
    if one.kind != "lamp":
        return ""
    data = bytes.fromhex(one.value)
    picture = tuple(zip(data[::3], data[1::3], data[2::3], strict=True))
    return next((of for of in headlink.MEANINGS if picture in pictures(of) - {DARK}), "")


def told(board: sim.Head, since: int = 0) -> list[str]:
    """Return the meanings that the ring has shown, in order."""
    shown = [meaning for one in board.told[since:] if (meaning := meaning_of(one))]
    return [one for one, _ in itertools.groupby(shown)]


def eventually(holds: Callable[[], object], within_s: float = WAIT_S) -> None:
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def shows(board: sim.Head, meaning: str) -> bool:
    """Wait until the ring shows it."""
    eventually(lambda: board.lamp in pictures(meaning))
    return True


@dataclass
class Overheard:
    """Everything that is asked of the head over the USB."""

    asked: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    said: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    """Answers and events."""
    _to: headlink.Stream = field(default_factory=headlink.Stream)
    _from: headlink.Stream = field(default_factory=headlink.Stream)

    def __call__(self, data: bytes, to_head: bool) -> bytes:
        for kind, _, code, payload in (self._to if to_head else self._from).feed(data):
            op = headlink.BY_CODE[code]
            if kind == headlink.REQUEST:
                self.asked.append((op.name, op.read_asked(payload)))
            elif kind in (headlink.RESPONSE, headlink.EVENT):
                self.said.append((op.name, op.read_answered(payload)))
        return data

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """Return what was asked by an operation's name."""
        return [values for one, values in self.asked if one == name]

    def ignition(self) -> int:
        """Return what the head has said last of the ignition."""
        return next(
            int(values[0]) for name, values in reversed(self.said) if name in ("sense", "state")
        )


@dataclass
class Boxed:
    """A reader, its head and its chip."""

    kit: ReaderKit
    chip: PN532
    board: sim.Head
    heard: Overheard

    def shows(self, meaning: str) -> bool:
        """Wait until the ring shows it."""
        return shows(self.board, meaning)


@contextlib.contextmanager
def boxed(folder: Path, *hasty: str, kind: str = "bus", **more: Any) -> Iterator[Boxed]:
    """Build a reader around a virtual head; `hasty`: see ORDERS."""
    link, flash = folder / "head", folder / "flash"
    sim.flash(flash)
    for order in hasty:
        name, words, others = ORDERS[order]
        file = flash / "a" / name
        assert words in file.read_text()
        file.write_text(file.read_text().replace(words, others))
    heard = Overheard()
    with PN532() as chip, sim.Head(chip, flash, link=link, mangle=heard) as board:
        kit = make_reader(folder / "r", f"head:{link}", kind=kind, **more)
        yield Boxed(kit, chip, board, heard)


@contextlib.contextmanager
def process(kit: ReaderKit) -> Iterator[tuple[subprocess.Popen[bytes], Link]]:
    """Run the card half as a process of its own, until it is ready; give a connected link too."""
    command = [sys.executable, "-m", "edge.tap", str(kit.folder / "edge.toml")]
    with subprocess.Popen(command) as running:
        try:
            with contextlib.closing(Link(kit.state)) as link:
                link.ready()
                yield running, link
        finally:
            running.kill()
