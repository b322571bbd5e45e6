"""An RC-S380 behind nfcpy's own USB transport: recorded, simulated, torn, hot, late, unplugged."""

import contextlib
import errno
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer
from typing import Any, Final

import pytest
import usb1  # type: ignore[import-untyped]

from edge.frontends import Card, CardGone, FrontEndFault, Technology
from edge.frontends.isodep import AGAIN_S, ANSWER_S, Garbled, Silence
from edge.frontends.nfcpy import Nfcpy
from edge.frontends.opening import open_front_end
from edge.frontends.rcs380 import ANSWER_MS, NOT_SENT
from edge.frontends.recovery import (
    AGAIN,
    BACKOFF_MS_FIRST,
    FAULT,
    REOPENED,
    RESTARTED,
    Recovering,
)
from edge.panel import Condition
from edge.schemes import REGISTER
from edge.schemes.allowlist import SELECT_COMMON_AP, Reading
from hw.sim.cards import Chip, FeliCaCard, Phone, StaffToken, TornAway, TypeBCard, foreign_eid
from hw.sim.field import Frame
from hw.sim.mynumber import MyNumberCard
from hw.sim.rcs380 import ACK, COMMAND, RCS380, Command, Fault, frame
from hw.sim.rcs380_radio import Status
from tests.edge.reader_kit import identifier, lift, make_reader, my_number_card, running
from tests.edge.usb_kit import PATH, Recording, on_bus, plugged_in, recorded
from wire.clock import SystemClock
from wire.codes import Code
from wire.credential import Scheme

ALL: Final[tuple[Technology, ...]] = ("106B", "212F", "106A")
IDM: Final = bytes.fromhex("0114D5A2B3C4E5F6")
UID: Final = bytes.fromhex("04A1B2C3D4E5F6")
BUSY_S: Final = 0.1
"""How much later than reckoned a busy machine may be."""

LOGGED: Final = FeliCaCard(bytes.fromhex("0114D5A2B3C4E503"))
LITE_S: Final = FeliCaCard(
    bytes.fromhex("01010701260CCA02"), bytes.fromhex("0F0D23042F7783FF"), systems=(0x12FC,)
)
TYPE_B: Final = TypeBCard(
    Chip({}),
    bytes.fromhex("E8253EEC"),
    application_data=bytes.fromhex("00000011"),
    protocol=bytes.fromhex("008185"),
)
RECORDINGS: Final[list[tuple[str, Technology, Any]]] = [
    ("type-b", "106B", TYPE_B),
    ("type-b-nobody", "106B", None),
    ("felica-of-a-log", "212F", LOGGED),
    ("felica", "212F", LITE_S),
    ("felica-nobody", "212F", None),
    ("type-a", "106A", StaffToken(bytes.fromhex("04093B7F"))),
    ("type-a-nobody", "106A", None),
]
"""Names of recordings, what was looked for, and a card that says what theirs said."""


@pytest.fixture
def device() -> Iterator[RCS380]:
    with plugged_in() as plugged:
        yield plugged


@pytest.fixture
def front_end(device: RCS380) -> Iterator[Nfcpy]:
    opened = Nfcpy(PATH, "0003")
    yield opened
    opened.close()


Held = Callable[[Any], Card]


@pytest.fixture
def held(device: RCS380, front_end: Nfcpy) -> Held:
    def hold(card: Any) -> Card:
        device.place(card)
        return found(front_end)

    return hold


def found(front_end: Nfcpy, technologies: tuple[Technology, ...] = ALL) -> Card:
    card = front_end.sense(technologies)
    assert card
    return card


def read(card: Card, scheme: Scheme) -> bytearray:
    end_s = time.monotonic() + 2
    one = REGISTER[scheme]
    return one.read(Reading(card, one.commands, lambda: end_s - time.monotonic()))


# --- recorded ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "technology", "card"), RECORDINGS)
def test_nfcpy_sends_byte_for_byte_what_was_recorded(
    name: str, technology: Technology, card: Any
) -> None:
    nobody = card is None
    rest = ["field-off"] * nobody + ["closing"] * (name != "type-a")  # that one ends too early
    recording = Recording("opening", "field-off", name, *rest)
    with on_bus(recording):
        front_end = Nfcpy(PATH, "FFFF")
        with contextlib.suppress(FrontEndFault):
            assert bool(front_end.sense((technology,))) is not nobody
        front_end.close()
    assert recording.left == []


@pytest.mark.parametrize(("name", "technology", "card"), RECORDINGS)
def test_the_simulated_device_answers_byte_for_byte_what_was_recorded(
    name: str, technology: Technology, card: Any
) -> None:
    device = RCS380()
    device.place(*[card] * (card is not None))
    for part in ("opening", "field-off", name, "closing"):
        for line in recorded()[part]:
            frame = bytes.fromhex(line[2:])
            if line.startswith(">"):
                device.write(frame)
            else:
                assert device.read(1000).hex() == frame.hex()
    with pytest.raises(TimeoutError):
        device.read(1)


def asked(device: RCS380, command: str) -> str:
    """Send a command and return what it is answered, both without their frames."""
    device.write(frame(bytes([COMMAND]) + bytes.fromhex(command)))
    assert device.read(1000) == ACK
    return device.read(1000)[8:-2].hex()


@pytest.mark.parametrize(
    ("name", "card", "otherwise"),
    [
        ("type-b", TYPE_B, ["0100", "0900", "0b00", "0707"]),
        ("felica", LITE_S, ["0100", "0707"]),
        ("type-a", StaffToken(UID[:4]), ["0101", "0400", "0707"]),
    ],
)
def test_a_simulated_card_hears_only_what_is_sent_as_its_kind_needs_it(
    name: str, card: Any, otherwise: list[str]
) -> None:
    commands = [line[2 + 18 : -4] for line in recorded()[name] if line.startswith(">")]
    for setting in otherwise:
        device = RCS380()
        device.place(card)
        for command in commands[:-1]:
            assert asked(device, command)[4:12] in ("00", "00000000")
        assert asked(device, "02" + setting) == "d70300"
        assert asked(device, commands[-1]) == "d70580000000"


def test_an_ack_ends_the_simulated_command_that_runs_and_what_was_said_stays(
    device: RCS380,
) -> None:
    assert asked(device, "0003070f07") == "d70100"
    device.write(frame(bytes.fromhex("D604E803050010")))  # 100 ms of silence
    device.write(ACK)
    assert device.read(1) == ACK
    with pytest.raises(TimeoutError):
        device.read(150)


@pytest.mark.parametrize("command", ["0001020304", "021400", "0602", "2a02"])
def test_the_simulated_device_refuses_what_means_nothing(device: RCS380, command: str) -> None:
    assert asked(device, command).endswith("01")


def test_a_damaged_command_is_none(device: RCS380) -> None:
    whole = frame(bytes.fromhex("D60600"))
    for at in range(5, len(whole)):
        device.write(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
    with pytest.raises(TimeoutError):
        device.read(1)


# --- read ----------------------------------------------------------------------------------------


def test_every_scheme_reads_its_card(device: RCS380) -> None:
    front_end = open_front_end(PATH, "0003")
    cards: dict[Scheme, MyNumberCard | FeliCaCard | StaffToken] = {
        Scheme.COMMON_AP: my_number_card(1),
        Scheme.JPKI_AUTH: my_number_card(2),
        Scheme.FELICA_IDM: FeliCaCard(IDM),
        Scheme.STAFF_TOKEN: StaffToken(UID),
    }
    for scheme, card in cards.items():
        device.place(card)
        sensed = front_end.sense(ALL)
        assert sensed
        assert read(sensed, scheme) == identifier(card, scheme)
        device.remove()
        assert front_end.sense(ALL) is None
    front_end.close()


def test_what_is_on_the_air_is_only_what_is_needed() -> None:
    air: list[Frame] = []
    with plugged_in(transcript=air.append) as device:
        front_end = Nfcpy(PATH, "0003")
        device.place(my_number_card(1))
        air.clear()
        read(found(front_end, ("106B",)), Scheme.COMMON_AP)
        front_end.close()
    sent = [frame.data for frame in air if frame.to_card]
    assert [frame[:1].hex() for frame in sent] == ["05", "1d", "02", "03"]


def test_what_a_round_and_a_block_cost_on_the_bus(device: RCS380, front_end: Nfcpy) -> None:
    device.commands.clear()
    assert front_end.sense(ALL) is None
    off, setting = [Command.SWITCH_RF], [Command.IN_SET_RF, *[Command.IN_SET_PROTOCOL] * 2]
    asked = [command[0] for command in device.commands]
    assert asked == 3 * [*off, *setting, Command.IN_COMM_RF, *off]
    device.place(my_number_card(1))
    card = found(front_end)
    card.transceive(SELECT_COMMON_AP, 0.4)  # and ATTRIB
    device.commands.clear()
    card.transceive(SELECT_COMMON_AP, 0.4)
    assert [command[0] for command in device.commands] == [*setting, Command.IN_COMM_RF]


def test_commands_and_answers_of_any_length_pass(held: Held) -> None:
    card = held(my_number_card(1))
    for length in (*range(5, 70), 127, 128, 250, 253, 254, 261):  # packets that are full among them
        assert len(card.transceive(bytes(length), 0.4)) == 2
    assert card.transceive(bytes.fromhex("00A4040C0AD392F000260100000001"), 0.4) == b"\x90\x00"
    assert len(card.transceive(bytes.fromhex("00B08A0000"), 1.0)) == 256 + 2


def test_a_card_loses_its_power_before_each_search(device: RCS380, front_end: Nfcpy) -> None:
    device.place(foreign_eid(random.Random(1)))
    ids = {found(front_end).sensed_id for _ in range(4)}
    assert len(ids) == 4  # its PUPI is drawn anew each time that it gets power
    device.place(my_number_card(1))
    for _ in range(3):
        assert found(front_end).transceive(SELECT_COMMON_AP, 0.4) == b"\x90\x00"


def test_our_waits_reach_the_device_in_tenths_of_a_millisecond(held: Held, device: RCS380) -> None:
    card = held(TornAway(my_number_card(1), frames=2))
    device.commands.clear()
    with pytest.raises(CardGone):
        card.transceive(SELECT_COMMON_AP, 0.4)
    asked = [command[1:3] for command in device.commands if command[0] == Command.IN_COMM_RF]
    # ATTRIB, the block and R(NAK), each in nfcpy's whole milliseconds and one more.
    assert [int.from_bytes(time, "little") for time in asked] == [1010, 1010, 130]


# --- torn, slow, crowded -------------------------------------------------------------------------


def test_a_card_torn_away_frees_the_reader_in_two_answers_time(
    device: RCS380, front_end: Nfcpy
) -> None:
    """The best of three: the machine that tests is busy."""
    took_s = []
    for _ in range(3):
        device.place(TornAway(my_number_card(1), frames=2))
        card = found(front_end, ("106B",))
        started_s = time.monotonic()
        with pytest.raises(CardGone):
            card.transceive(SELECT_COMMON_AP, 0.9)
        took_s.append(time.monotonic() - started_s)
        device.remove()
    assert min(took_s) < ANSWER_S + AGAIN_S + BUSY_S


@pytest.mark.parametrize("frames", range(1, 4))
def test_the_next_card_is_served_after_one_was_torn_away_at_any_frame(
    held: Held, frames: int
) -> None:
    with pytest.raises(CardGone):
        read(held(TornAway(my_number_card(1), frames=frames)), Scheme.COMMON_AP)
    mine = my_number_card(2)
    assert read(held(mine), Scheme.COMMON_AP) == identifier(mine, Scheme.COMMON_AP)


def test_a_card_taken_away_while_it_thinks_is_gone(held: Held, device: RCS380) -> None:
    card = held(my_number_card(1, apdu_ms=90))
    taken = Timer(0.03, device.remove)
    taken.start()
    with pytest.raises(CardGone):
        card.transceive(SELECT_COMMON_AP, 0.4)
    taken.join()


def test_a_slow_legal_card_is_given_up_once_and_then_its_whole_time(held: Held) -> None:
    card = my_number_card(1, 250)  # its FWT is 309 ms; it asks for more after 232
    with pytest.raises(CardGone):
        held(card).transceive(SELECT_COMMON_AP, 0.9)
    assert held(card).transceive(SELECT_COMMON_AP, 0.9) == b"\x90\x00"


def test_a_slow_card_that_asks_for_time_is_waited_for(held: Held) -> None:
    card = held(my_number_card(apdu_ms=280, wtx_ms=90))
    assert card.transceive(SELECT_COMMON_AP, 1.0) == b"\x90\x00"


def test_a_card_that_asks_for_time_for_ever_is_gone_at_the_deadline(held: Held) -> None:
    card = held(my_number_card(apdu_ms=60_000, wtx_ms=5))
    started_s = time.monotonic()
    with pytest.raises(CardGone):
        card.transceive(SELECT_COMMON_AP, 0.2)
    assert time.monotonic() - started_s < 0.2 + BUSY_S


def test_two_cards_of_one_technology_are_none_and_of_two_the_order_decides(
    device: RCS380, front_end: Nfcpy
) -> None:
    device.place(my_number_card(1), my_number_card(2))
    assert front_end.sense(ALL) is None
    device.place(StaffToken(UID), StaffToken(UID[:4]))
    assert front_end.sense(ALL) is None
    device.place(FeliCaCard(IDM), my_number_card(1))
    assert found(front_end).technology == "106B"
    assert found(front_end, ("212F", "106B")).technology == "212F"


# --- what the device says of an exchange ---------------------------------------------------------


@pytest.mark.parametrize("status", list(Status)[1:])
def test_each_status_is_the_cards_fault_or_the_devices(
    held: Held, device: RCS380, status: Status
) -> None:
    card = held(my_number_card(1))
    assert card.transceive(SELECT_COMMON_AP, 0.4) == b"\x90\x00"
    device.end_next(status, status)
    if status in NOT_SENT:
        with pytest.raises(FrontEndFault, match="cannot send"):
            card.transceive(SELECT_COMMON_AP, 0.4)
        return
    with pytest.raises(CardGone) as gone:
        card.transceive(SELECT_COMMON_AP, 0.4)
    assert type(gone.value.__cause__) is (Silence if status is Status.RECEIVE_TIMEOUT else Garbled)


@pytest.mark.parametrize("status", [Status.CRC, Status.PARITY, Status.RECEIVE_TIMEOUT])
def test_one_lost_block_is_asked_for_again(held: Held, device: RCS380, status: Status) -> None:
    card = held(my_number_card(1))
    assert card.transceive(SELECT_COMMON_AP, 0.4) == b"\x90\x00"
    device.end_next(status)
    assert card.transceive(SELECT_COMMON_AP, 0.4) == b"\x90\x00"


@pytest.mark.parametrize("technology", ALL)
@pytest.mark.parametrize("status", list(Status)[1:])
def test_a_search_that_was_not_sent_is_no_empty_field(
    device: RCS380, front_end: Nfcpy, technology: Technology, status: Status
) -> None:
    device.end_next(status)
    if status in NOT_SENT:
        with pytest.raises(FrontEndFault, match="cannot send"):
            front_end.sense((technology,))
    else:
        assert front_end.sense((technology,)) is None


# --- what goes wrong on the bus ------------------------------------------------------------------


def use() -> None:
    """Open the device, look for a card and close it."""
    front_end = Nfcpy(PATH, "0003")
    try:
        assert front_end.sense(("106B",)) is None
    finally:
        front_end.close()


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("fault", list(Fault))
def test_whatever_goes_wrong_in_opening_is_a_fault_and_leaves_the_device_free(
    device: RCS380, fault: Fault, at: int
) -> None:
    device.fail_next(*[None] * at, fault)
    with pytest.raises(FrontEndFault) as seen:
        use()
    if fault is Fault.HANGS:
        device.unplug()
        device.plug()
    use()
    assert seen.value.args  # at hand until here, as where it is handled


def look(front_end: Nfcpy, times: int) -> None:
    for _ in range(times):
        front_end.sense(("106B",))


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("fault", list(Fault))
def test_whatever_goes_wrong_in_a_search_is_a_fault_and_ends_with_a_restart(
    device: RCS380, front_end: Nfcpy, fault: Fault, at: int
) -> None:
    device.place(my_number_card(1))
    device.fail_next(*[None] * at, fault)
    with pytest.raises(FrontEndFault) as seen:
        look(front_end, 2)  # what is answered twice shows at the second
    if fault is Fault.HANGS:
        with pytest.raises(FrontEndFault):
            front_end.restart()
        device.unplug()
        device.plug()
    front_end.restart()
    assert seen.value.args  # at hand until here, as where it is handled
    assert read(found(front_end), Scheme.COMMON_AP)


@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_amid_a_conversation_is_the_front_ends_and_comes_soon(
    held: Held, device: RCS380, fault: Fault
) -> None:
    card = held(my_number_card(1))
    assert card.transceive(SELECT_COMMON_AP, 0.4) == b"\x90\x00"
    device.fail_next(fault)
    started_s = time.monotonic()
    with pytest.raises(FrontEndFault):
        card.transceive(SELECT_COMMON_AP, 0.4)
    assert time.monotonic() - started_s < 0.4 + BUSY_S


def test_a_device_that_hangs_while_a_card_is_asked_holds_nobody_for_long(
    held: Held, device: RCS380
) -> None:
    card = held(my_number_card(1))
    assert card.transceive(SELECT_COMMON_AP, 0.4) == b"\x90\x00"
    device.fail_next(None, None, None, Fault.HANGS)
    started_s = time.monotonic()
    with pytest.raises(FrontEndFault) as seen:
        card.transceive(SELECT_COMMON_AP, 0.4)
    assert time.monotonic() - started_s < ANSWER_S + ANSWER_MS / 1000 + BUSY_S
    assert cause(seen.value) == errno.ETIMEDOUT


def cause(fault: FrontEndFault) -> int | None:
    """Return the errno behind a fault."""
    assert isinstance(fault.__cause__, OSError)
    return fault.__cause__.errno


@pytest.mark.parametrize("after_s", [0.0, 0.02])
def test_a_device_that_is_unplugged_is_a_fault_and_is_closed_without_a_word(
    device: RCS380, after_s: float
) -> None:
    front_end = Nfcpy(PATH, "0003")
    pulled = Timer(after_s, device.unplug)
    pulled.start()
    with pytest.raises(FrontEndFault) as seen:
        look(front_end, 100)
    pulled.join()
    assert cause(seen.value) == errno.ENODEV
    with pytest.raises(FrontEndFault):
        front_end.restart()
    front_end.close()
    front_end.close()
    with pytest.raises(FrontEndFault):
        front_end.sense(ALL)
    device.plug()
    front_end.restart()
    assert front_end.sense(ALL) is None
    front_end.close()


def test_a_second_program_is_told_that_the_device_is_in_use_and_disturbs_nobody(
    device: RCS380, front_end: Nfcpy
) -> None:
    before = len(device.commands)
    with pytest.raises(FrontEndFault) as seen:
        Nfcpy(PATH, "0003")
    assert cause(seen.value) == errno.EBUSY
    assert len(device.commands) == before
    device.place(my_number_card(1))
    assert read(found(front_end), Scheme.COMMON_AP)
    front_end.close()
    device.remove()
    use()


@pytest.mark.parametrize(
    ("refusal", "number"),
    [
        (usb1.USBErrorAccess, errno.EACCES),
        (usb1.USBErrorNoDevice, errno.ENODEV),
        (usb1.USBErrorIO, None),
        (usb1.USBErrorNoMem, None),
    ],
)
def test_a_device_that_may_not_be_opened_is_a_fault(
    refusal: type[usb1.USBError], number: int | None
) -> None:
    with on_bus(RCS380()) as bus:
        bus.refusal = refusal()
        with pytest.raises(FrontEndFault, match=PATH) as seen:
            Nfcpy(PATH, "0003")
    assert getattr(seen.value.__cause__, "errno", None) == number


@pytest.mark.parametrize("path", ["usb", "usb:054c", "usb:054c:06c3", "usb:001:001"])
def test_it_is_found_by_every_form_of_its_path(device: RCS380, path: str) -> None:
    front_end = open_front_end(path, "0003")
    assert front_end.sense(ALL) is None
    front_end.close()


@pytest.mark.parametrize("path", ["usb:054c:06c1", "usb:04e6", "usb:002"])
def test_what_is_not_on_the_bus_is_a_fault(device: RCS380, path: str) -> None:
    with pytest.raises(FrontEndFault, match="there is no RC-S380"):
        open_front_end(path, "0003")


WITHOUT_LIBUSB: Final = f"""
import ctypes, ctypes.util, usb1._libusb1 as loader
def absent(name, *_, **__):
    raise OSError(name)
loader.CDLL, ctypes.util.find_library = absent, lambda _: None
from edge.frontends import FrontEndFault
from edge.frontends.opening import open_front_end
try:
    open_front_end("{PATH}", "0003")
except FrontEndFault as fault:
    print(fault)
"""


def test_a_machine_without_libusb_says_so() -> None:
    told = subprocess.run(
        [sys.executable, "-c", WITHOUT_LIBUSB],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "cannot be opened" in told.stdout, told.stderr
    assert "libusb" in told.stdout


# --- in a reader ---------------------------------------------------------------------------------


def test_hot_plug_and_every_rung_of_the_ladder(device: RCS380) -> None:
    class Patient(SystemClock):
        """Backs off in no time."""

        ns = 0

        def monotonic_ns(self) -> int:
            return super().monotonic_ns() + self.ns

    clock, counted = Patient(), list[str]()
    ladder = Recovering(lambda: Nfcpy(PATH, "0003"), lambda: False, clock, counted.append)
    device.place(StaffToken(UID))
    assert ladder.sense(ALL)
    device.fail_next(Fault.TRANSFER_FAILS)
    assert ladder.sense(ALL) is None
    assert ladder.sense(ALL)
    assert counted == [FAULT, AGAIN]
    counted.clear()
    device.fail_next(Fault.ANSWERED_TWICE)  # every later answer is the one before, until a restart
    assert [bool(ladder.sense(ALL)) for _ in range(3)] == [False, False, True]
    assert counted == [FAULT, AGAIN, FAULT, RESTARTED]
    counted.clear()
    device.unplug()
    for _ in range(4):
        assert ladder.sense(ALL) is None
    assert ladder.device is None
    device.plug()
    clock.ns += 10 * BACKOFF_MS_FIRST * 1_000_000
    assert ladder.sense(ALL)
    assert counted == [FAULT, AGAIN, FAULT, REOPENED]
    ladder.close()


def test_a_whole_reader_over_an_rcs380(tmp_path: Path, device: Any) -> None:
    """Enrolled, unknown, torn away and held again, a phone; and the plug pulled in between."""
    kit = make_reader(tmp_path / "bus-1", PATH, technologies=ALL)
    mine = my_number_card(1)
    kit.enrol(mine)
    with running(kit) as link:
        link.ready()
        for card, code in (
            (mine, Code.OK),
            (my_number_card(2), Code.UNKNOWN),
            (Phone(random.Random(1)), Code.CARD_NOT_USABLE),
            (TornAway(my_number_card(3), frames=2), Code.HOLD_AGAIN),
            (mine, Code.REPEAT),
        ):
            device.place(card)
            assert link.shown().code is code
            lift(device)
        device.unplug()
        link.until(Condition, lambda condition: not condition.ready)
        device.plug()
        link.ready()
        device.place(my_number_card(4))
        assert link.shown().code is Code.UNKNOWN
    assert len(kit.taps()) == 6
