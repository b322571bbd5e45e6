"""A whole taxi without a network: both halves of its reader as processes, and its cards."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hw.sim.antenna import Antenna
from hw.sim.mynumber import MyNumberCard
from tests.edge.reader_kit import TAXI, ReaderKit, make_reader, my_number_card
from tests.edge.rig import Authority, free_port

DISCOUNT = "障害者割引"


@dataclass
class Taxi:
    """One vehicle: the reader's folder, its antenna and the cards that are enrolled."""

    kit: ReaderKit
    antenna: Antenna
    cards: list[MyNumberCard]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The reader's own screen."""
        return f"http://127.0.0.1:{self.kit.config.page_port}"

    @property
    def tablet_url(self) -> str:
        return f"http://{self.kit.config.tablet_host}:{self.kit.config.tablet_port}"

    def start(self, half: str) -> None:
        """Start `tap` or `link`."""
        command = [sys.executable, "-m", f"edge.{half}", str(self.kit.folder / "edge.toml")]
        self.processes[half] = subprocess.Popen(command)

    def kill(self, half: str) -> None:
        """Pull one half's battery."""
        process = self.processes.pop(half)
        process.kill()
        process.wait()

    def stop(self) -> None:
        for half in list(self.processes):
            self.kill(half)


def make_taxi(folder: Path, antenna: Antenna, cards: int = 3) -> Taxi:
    """Write a taxi's files; nobody answers where its broker would be."""
    authority = Authority(folder / "authority")
    certificate, key = authority.issue("kazasu-shi/bus-1")
    kit = make_reader(
        folder / "taxi",
        antenna.device,
        kind="taxi",
        programmes=(TAXI,),
        page_port=free_port(),
        tablet_host="127.0.0.1",
        tablet_port=free_port(),
        authority=str(authority.root),
        certificate=str(certificate),
        key=str(key),
    )
    held = [my_number_card(serial) for serial in range(1, cards + 1)]
    kit.enrol(*held, programme=TAXI, discounts={DISCOUNT: 10})
    return Taxi(kit, antenna, held)


@contextlib.contextmanager
def driving(taxi: Taxi) -> Iterator[Taxi]:
    """Run both halves until the block ends."""
    try:
        for half in ("tap", "link"):
            taxi.start(half)
        yield taxi
    finally:
        taxi.stop()
