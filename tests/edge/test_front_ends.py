"""What every front end promises (edge.frontends), shown with the same cards over each of them."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

from edge.frontends import Card, CardGone, FrontEnd, FrontEndFault, Technology
from edge.frontends.opening import open_front_end
from edge.schemes import REGISTER
from edge.schemes.allowlist import SELECT_COMMON_AP, NoIdentifier, Reading
from hw.sim.antenna import Antenna
from hw.sim.cards import FeliCaCard, Phone, StaffToken, foreign_eid
from hw.sim.isodep import Reply
from hw.sim.mynumber import MyNumberCard
from hw.sim.pn532 import PN532
from tests.edge.pcsc_kit import Leaving, desk
from tests.edge.reader_kit import identifier, my_number_card
from tests.edge.usb_kit import PATH, plugged_in
from tests.timing import IN_TIME
from wire.credential import Scheme

ALL: Final[tuple[Technology, ...]] = ("106B", "212F", "106A")
IDM: Final = bytes.fromhex("0114D5A2B3C4E5F6")
UID: Final = bytes.fromhex("04A1B2C3D4E5F6")
PATIENCE_S: Final = 5.0
"""For a card that takes 20 ms to be found or missed."""
LATER_S: Final = 0.4
"""How much later than a deadline a busy machine may be."""


class Holder(Protocol):
    """What cards are held over."""

    def place(self, card: Any, /) -> None: ...

    def remove(self) -> None: ...


class Bench:
    """A front end that is open, and what cards are held over."""

    def __init__(self, path: str, front_end: FrontEnd, holder: Holder) -> None:
        self.path = path
        self.front_end = front_end
        self._holder = holder

    def place(self, card: Any) -> None:
        """Hold a card, whether or not it can be found."""
        self._holder.place(card)

    def hold(self, card: Any) -> Card:
        """Hold a card in an empty field and return what is found."""
        self._holder.remove()
        self._until(lambda found: found is None)
        self._holder.place(card)
        found = self._until(lambda found: found is not None)
        assert found
        return found

    def _until(self, like: Callable[[Card | None], bool]) -> Card | None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not like(found := self.front_end.sense(ALL)):
            assert time.monotonic() < deadline_s
        return found


@contextlib.contextmanager
def over_udp(folder: Path) -> Iterator[tuple[str, Holder]]:
    with Antenna(poll_ms={"A": 2.0, "B": 2.0, "F": 2.0}) as antenna:
        yield antenna.device, antenna


@contextlib.contextmanager
def over_serial_line(folder: Path) -> Iterator[tuple[str, Holder]]:
    with PN532() as chip:
        yield f"pn532:{chip.path}", chip


@contextlib.contextmanager
def over_usb(folder: Path) -> Iterator[tuple[str, Holder]]:
    with plugged_in() as device:
        yield PATH, device


@contextlib.contextmanager
def over_pcsc(folder: Path) -> Iterator[tuple[str, Holder]]:
    with desk(folder) as place:
        yield "pcsc", place.reader


@pytest.fixture(scope="module", params=[over_udp, over_serial_line, over_usb, over_pcsc])
def device(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Holder]]:
    with request.param(tmp_path_factory.mktemp("device")) as device:
        yield device


@pytest.fixture
def bench(device: tuple[str, Holder]) -> Iterator[Bench]:
    path, holder = device
    front_end = open_front_end(path, "0003")
    yield Bench(path, front_end, holder)
    holder.remove()
    front_end.close()


def read(card: Card, scheme: Scheme, within_s: float = 2.0) -> bytes:
    end_s = time.monotonic() + within_s
    one = REGISTER[scheme]
    return bytes(one.read(Reading(card, one.commands, lambda: end_s - time.monotonic())))


def test_an_empty_field_is_no_card(bench: Bench) -> None:
    assert bench.front_end.sense(ALL) is None
    assert bench.front_end.waited_ns > 0


@pytest.mark.parametrize(
    ("card", "technology", "sensed_id"),
    [
        (my_number_card(0x01020304), "106B", "01020304"),
        (FeliCaCard(IDM), "212F", IDM.hex()),
        (StaffToken(UID), "106A", UID.hex()),
        (StaffToken(UID[:4]), "106A", UID[:4].hex()),
    ],
)
def test_a_card_is_found_as_what_it_is(
    card: Any, technology: Technology, sensed_id: str, bench: Bench
) -> None:
    found = bench.hold(card)
    assert (found.technology, found.sensed_id.hex()) == (technology, sensed_id)
    assert found.speaks_apdu == (technology == "106B")
    assert found.times_us["detect"] > 0
    assert found.about


def test_a_felica_card_without_the_configured_system_is_no_card(bench: Bench) -> None:
    """A PC/SC reader asks for any system: then no scheme may take its IDm for a member's."""
    if bench.path != "pcsc":
        bench.place(FeliCaCard(bytes(8), systems=(0x8008,)))
        for _ in range(5):
            assert bench.front_end.sense(ALL) is None


def test_a_phone_is_found_by_another_id_each_time(bench: Bench) -> None:
    phone = Phone(random.Random(1))
    found = [bench.hold(phone).sensed_id for _ in range(3)]
    assert len(set(found)) == 3
    assert all(sensed[0] == 0x08 for sensed in found)


@pytest.mark.parametrize(
    ("scheme", "card"),
    [
        (Scheme.COMMON_AP, my_number_card(7)),
        (Scheme.JPKI_AUTH, my_number_card(7)),
        (Scheme.FELICA_IDM, FeliCaCard(IDM)),
        (Scheme.STAFF_TOKEN, StaffToken(UID)),
    ],
)
def test_every_scheme_reads_its_card(
    scheme: Scheme, card: MyNumberCard | FeliCaCard | StaffToken, bench: Bench
) -> None:
    assert read(bench.hold(card), scheme) == identifier(card, scheme)


def test_a_card_without_our_applications_has_no_identifier(bench: Bench) -> None:
    with pytest.raises(NoIdentifier):
        read(bench.hold(foreign_eid(random.Random(1))), Scheme.COMMON_AP)


def test_a_card_left_lying_is_found_again_and_can_be_asked_again(bench: Bench) -> None:
    first = bench.hold(my_number_card(5))
    for _ in range(3):
        again = bench.front_end.sense(ALL)
        assert again
        assert again.sensed_id == first.sensed_id
        assert again.transceive(SELECT_COMMON_AP, 2.0) == b"\x90\x00"


@pytest.mark.parametrize("blocks", [0, 1])
def test_a_card_that_is_torn_away_is_gone_and_the_next_one_is_served(
    blocks: int, bench: Bench
) -> None:
    found = bench.hold(Leaving(my_number_card(1), blocks))
    with pytest.raises(CardGone):
        read(found, Scheme.COMMON_AP, within_s=0.4)
    assert read(bench.hold(my_number_card(2)), Scheme.COMMON_AP) == f"{2:015}".encode()


@IN_TIME
def test_no_command_outlasts_the_callers_deadline(bench: Bench) -> None:
    found = bench.hold(my_number_card(apdu_ms=60_000, wtx_ms=20))
    started_s = time.monotonic()
    with pytest.raises(CardGone):
        found.transceive(SELECT_COMMON_AP, 0.1)
    assert time.monotonic() - started_s < 0.1 + LATER_S
    with pytest.raises(CardGone):
        found.transceive(SELECT_COMMON_AP, 0.0)


@IN_TIME
def test_a_slow_card_that_asks_for_time_gets_it(bench: Bench) -> None:
    found = bench.hold(my_number_card(apdu_ms=280, wtx_ms=90))
    assert found.transceive(SELECT_COMMON_AP, 2.0) == b"\x90\x00"


class Garbled:
    """A Type B card that answers every block with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._card = my_number_card()
        self._answer = answer

    def reset(self) -> None:
        self._card.reset()

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        reply = self._card.answer(technology, frame)
        return Reply(self._answer) if reply and frame[0] not in (0x05, 0x1D) else reply


@pytest.mark.parametrize("answer", ["F2", "02", "03", "A2", "C2", "FF", "0290", "12", "0A0102"])
def test_what_a_hostile_card_answers_is_its_own_fault(answer: str, bench: Bench) -> None:
    found = bench.hold(Garbled(bytes.fromhex(answer)))
    with pytest.raises(CardGone):
        found.transceive(SELECT_COMMON_AP, 0.5)


@pytest.mark.parametrize(
    "path",
    ["udp:no.such.host.invalid:1", "pn532:/dev/nothing", "usb:ffff", "pcsc:no reader", "tty:S0"],
)
def test_a_device_that_is_not_there_is_a_fault(path: str) -> None:
    with pytest.raises(FrontEndFault):
        open_front_end(path, "0003")


def test_after_a_restart_it_serves_as_before(bench: Bench) -> None:
    bench.hold(my_number_card())
    bench.front_end.restart()
    assert read(bench.hold(my_number_card(3)), Scheme.COMMON_AP) == f"{3:015}".encode()


def test_closing_is_harmless_more_than_once_and_lets_another_one_open_it(
    device: tuple[str, Holder],
) -> None:
    for _ in range(2):
        front_end = open_front_end(device[0], "0003")
        assert front_end.sense(ALL) is None
        front_end.close()
        front_end.close()
