"""The simulated RC-S380 against what real ones have said, and what it makes of anything else."""

from typing import Any, Final

import pytest

from edge.frontends import Technology
from hw.sim.cards import StaffToken
from hw.sim.rcs380 import ACK, COMMAND, RCS380, frame
from tests.edge.usb_kit import LITE_S, RECORDINGS, TYPE_B, recorded

UID: Final = bytes.fromhex("04A1B2C3")


@pytest.fixture
def device() -> RCS380:
    return RCS380()


@pytest.mark.parametrize(("name", "technology", "card"), RECORDINGS)
def test_the_simulated_device_answers_byte_for_byte_what_was_recorded(
    name: str, technology: Technology, card: Any
) -> None:
    device = RCS380()
    device.place(*[card] * (card is not None))
    for part in ("opening", "field-off", name, "closing"):
        for line in recorded()[part]:
            if line.startswith(">"):
                device.write(bytes.fromhex(line[2:]))
            else:
                assert device.read(1000).hex() == line[2:]
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
