"""Whole front ends, each open on its real line, and what cards are held over."""

import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Final, NamedTuple, Protocol

from edge.frontends import FrontEnd
from edge.frontends.nfcpy import Nfcpy
from edge.frontends.pcsc import Pcsc
from edge.frontends.pn532 import Pn532
from edge.frontends.pn532_chip import OnLine
from hw.sim.antenna import Antenna
from hw.sim.card import Card
from hw.sim.pn532 import PN532, Fault
from hw.sim.rcs380 import RCS380
from hw.sim.rcs380 import Fault as UsbFault
from hw.sim.rcs380_radio import Status
from tests.edge.pcsc_kit import Desk, desk
from tests.edge.usb_kit import PATH, plugged_in
from tests.fuzz.noisy_line import NoisyLine

FELICA_SYSTEM: Final = "0003"
KILLED: Final = 1 / 20
"""Of all harm, pcscd is killed: a start takes a tenth of a second."""
PIECES_MAX: Final = 12
"""Of a chip, an acknowledgement and an answer to each command: those of a whole conversation."""


class Harm(NamedTuple):
    """What goes wrong when `act` is called, from any thread, at once or soon."""

    act: Callable[[], None]
    changes: bool = False
    """It may change what a card has said."""


class Bench(Protocol):
    """A front end that is open, and what cards are held over."""

    front_end: FrontEnd
    margin_s: float
    """The longest that one command takes beyond the card's time."""
    found_s: float
    """How long a card is looked for that may never be found."""
    alone: bool
    """Only one card can be held."""

    def place(self, *cards: Card) -> None: ...

    def harm(self, rng: random.Random) -> "Harm":
        """Say what is to go wrong with the front end itself."""

    def calm(self) -> None:
        """Let nothing more go wrong."""

    def mend(self) -> None:
        """Do what people do to a front end that has failed. Raises FrontEndFault."""


class Pn532Bench:
    """A PN532 on its serial line, whose timers run in no time."""

    margin_s = 0.6
    """300 ms for an acknowledgement, 200 ms for an answer, 60 ms to cancel."""
    found_s = 0.05
    alone = False

    def __init__(self, chip: PN532, path: str) -> None:
        self._chip = chip
        self.place = chip.place
        self.front_end: FrontEnd = Pn532(OnLine(path), FELICA_SYSTEM)

    def harm(self, rng: random.Random) -> Harm:
        faults = rng.choices(list(Fault), k=rng.randint(1, 2))
        return Harm(lambda: self._chip.fail_next(*faults))

    def calm(self) -> None:
        return

    def mend(self) -> None:
        self._chip.reset()
        self.front_end.restart()


class NoisyBench(Pn532Bench):
    """The same behind a line that damages what the chip says."""

    def __init__(self, chip: PN532, line: NoisyLine) -> None:
        self._noisy = line
        super().__init__(chip, line.path)

    def harm(self, rng: random.Random) -> Harm:
        changes, piece = rng.random() < 0.5, rng.randint(1, PIECES_MAX)
        return Harm(lambda: self._noisy.harm_next(piece, changes=changes), changes)

    def calm(self) -> None:
        self._noisy.harm_next(0, changes=False)


class UdpBench:
    """The simulator's antenna, by nfcpy."""

    margin_s = 1.1
    """nfcpy's `sense` waits for a second when nothing is heard, not even that nothing was found."""
    found_s = 0.03
    alone = False

    def __init__(self, antenna: Antenna) -> None:
        self.place = antenna.place
        self.front_end: FrontEnd = Nfcpy(antenna.device, FELICA_SYSTEM)

    def harm(self, rng: random.Random) -> Harm:
        return Harm(lambda: None)

    def calm(self) -> None:
        return

    def mend(self) -> None:
        self.front_end.restart()


class Rcs380Bench:
    """An RC-S380 on a USB bus, by nfcpy."""

    margin_s = 0.6
    """300 ms for an acknowledgement, and as long for an answer."""
    found_s = 0.1
    alone = False

    def __init__(self, device: RCS380) -> None:
        self._device = device
        self.place = device.place
        self.front_end: FrontEnd = Nfcpy(PATH, FELICA_SYSTEM)

    def harm(self, rng: random.Random) -> Harm:
        faults = rng.choices(list(UsbFault), k=rng.randint(1, 2))
        statuses = rng.choices(list(Status), k=rng.randint(1, 3))
        return Harm(
            rng.choice(
                (
                    lambda: self._device.fail_next(*faults),
                    lambda: self._device.end_next(*statuses),
                    Thread(target=self._device.unplug).start,  # a card that calls it has the field
                )
            )
        )

    def calm(self) -> None:
        return

    def mend(self) -> None:
        self._device.unplug()
        self._device.plug()
        self.front_end.restart()


class PcscBench:
    """pcscd and a reader of its own."""

    margin_s = 2.0
    """For what takes pcscd a millisecond."""
    found_s = 0.15
    alone = True

    def __init__(self, place: Desk) -> None:
        self._desk = place
        self.front_end: FrontEnd = Pcsc("pcsc", FELICA_SYSTEM)

    def place(self, *cards: Card) -> None:
        if cards:
            self._desk.reader.place(cards[0])
        else:
            self._desk.reader.remove()

    def harm(self, rng: random.Random) -> Harm:
        return Harm(self._desk.pcscd.kill if rng.random() < KILLED else lambda: None)

    def calm(self) -> None:
        return

    def mend(self) -> None:
        self._desk.pcscd.kill()
        self._desk.pcscd.start()
        self.front_end.restart()


@contextlib.contextmanager
def over_pn532(folder: Path, rng: random.Random) -> Iterator[Bench]:
    with PN532(paced=False) as chip:
        bench = Pn532Bench(chip, chip.path)
        yield bench
        bench.front_end.close()


@contextlib.contextmanager
def over_noisy_line(folder: Path, rng: random.Random) -> Iterator[Bench]:
    with PN532(paced=False) as chip, NoisyLine(chip.path, rng) as line:
        bench = NoisyBench(chip, line)
        yield bench
        bench.front_end.close()


@contextlib.contextmanager
def over_udp(folder: Path, rng: random.Random) -> Iterator[Bench]:
    with Antenna(poll_ms={"A": 0.2, "B": 0.2, "F": 0.2}, air=lambda *_: 0) as antenna:
        bench = UdpBench(antenna)
        yield bench
        bench.front_end.close()


@contextlib.contextmanager
def over_rcs380(folder: Path, rng: random.Random) -> Iterator[Bench]:
    with plugged_in() as device:
        bench = Rcs380Bench(device)
        yield bench
        bench.front_end.close()


@contextlib.contextmanager
def over_pcsc(folder: Path, rng: random.Random) -> Iterator[Bench]:
    with desk(folder, air=lambda *_: 0) as place:
        bench = PcscBench(place)
        yield bench
        bench.place()
        bench.front_end.close()
