"""An RC-S380 and what goes wrong on its bus: lost, late, hung, unplugged, in use, forbidden."""

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

from edge.frontends import Card, FrontEndFault
from edge.frontends.isodep import ANSWER_S
from edge.frontends.nfcpy import Nfcpy
from edge.frontends.opening import open_front_end
from edge.frontends.rcs380 import ANSWER_MS
from edge.frontends.recovery import (
    AGAIN,
    BACKOFF_MS_FIRST,
    FAULT,
    REOPENED,
    RESTARTED,
    Recovering,
)
from edge.panel import Condition
from edge.schemes.allowlist import SELECT_COMMON_AP
from hw.sim.cards import Phone, StaffToken, TornAway
from hw.sim.rcs380 import RCS380, Fault
from tests.edge.reader_kit import lift, make_reader, my_number_card, running
from tests.edge.usb_kit import ALL, PATH, found, on_bus, plugged_in, read
from tests.timing import IN_TIME
from wire.clock import SystemClock
from wire.codes import Code
from wire.credential import Scheme

UID: Final = bytes.fromhex("04A1B2C3D4E5F6")
BUSY_S: Final = 0.5
"""How much later than reckoned a busy machine may be."""


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
    else:
        device.fail_next(fault)  # in its goodbye
    front_end.restart()
    assert seen.value.args  # at hand until here, as where it is handled
    assert read(found(front_end), Scheme.COMMON_AP)


@IN_TIME
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


@IN_TIME
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
