"""What went over the air, by scheme and front end, frame for frame; and that no way leads past it.

`transcripts.txt` holds the recordings; KAZASU_RECORD=1 writes them anew. A recording is read as a
card would read it: blocks are put together to commands, and each command must be on the list.
"""

import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import CardAp
from edge.frontends import FrontEnd, Technology
from edge.frontends.nfcpy import Nfcpy
from edge.frontends.pn532 import Pn532
from edge.frontends.pn532_chip import OnLine
from edge.schemes import register
from edge.schemes.allowlist import ALLOWED, CommandNotAllowed, Reading
from edge.schemes.desk_allowlist import DeskCard
from hw.sim.antenna import Antenna
from hw.sim.cards import FeliCaCard, StaffToken
from hw.sim.field import Frame
from hw.sim.mynumber import FACE_AP, INPUT_SUPPORT_AP, JPKI_AP, NOBODYS_NUMBER
from hw.sim.pn532 import PN532
from tests.edge.pcsc_kit import desk, opened
from tests.edge.reader_kit import identifier, my_number_card
from tests.edge.usb_kit import PATH, plugged_in
from wire.credential import Scheme

RECORDED: Final = Path(__file__).with_name("transcripts.txt")
ALL: tuple[Technology, ...] = ("106B", "212F", "106A")
OWN: Final = CardAp(aid="D3920000010203", short_ef=3, length=16)
"""A tenant's card application, which these cards do not have: the answer is «not found»."""
SCHEMES: Final = register(OWN)
COMMANDS: Final = frozenset().union(*(scheme.commands for scheme in SCHEMES.values()))

Lines = list[str]
Talk = Callable[[FrontEnd, Any], None]


@contextmanager
def over_pn532(lines: Lines) -> Iterator[tuple[FrontEnd, Any]]:
    with PN532(transcript=lambda frame: lines.append(line(frame))) as chip:
        front_end = Pn532(OnLine(chip.path), "0003")
        yield front_end, chip
        front_end.close()


@contextmanager
def over_udp(lines: Lines) -> Iterator[tuple[FrontEnd, Any]]:
    with Antenna(transcript=lambda frame: lines.append(line(frame))) as antenna:
        front_end = Nfcpy(antenna.device, "0003")
        yield front_end, antenna
        front_end.close()


@contextmanager
def over_pcsc(_: Lines) -> Iterator[tuple[FrontEnd, Any]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        desk(Path(folder)) as opened_desk,
        opened() as front_end,
    ):
        yield front_end, opened_desk.reader


@contextmanager
def over_usb(lines: Lines) -> Iterator[tuple[FrontEnd, Any]]:
    with plugged_in(transcript=lambda frame: lines.append(line(frame))) as device:
        front_end = Nfcpy(PATH, "0003")
        yield front_end, device
        front_end.close()


FRONT_ENDS: Final = {"pn532": over_pn532, "udp": over_udp, "usb": over_usb, "pcsc": over_pcsc}


def line(frame: Frame) -> str:
    return f"{'>' if frame.to_card else '<'} {frame.technology} {frame.data.hex()}"


def card_for(scheme: Scheme) -> Any:
    if scheme is Scheme.FELICA_IDM:
        return FeliCaCard(bytes.fromhex("0114D5A2B3C4E5F6"))
    if scheme is Scheme.STAFF_TOKEN:
        return StaffToken(bytes.fromhex("04A1B2C3D4E5F6"))
    return my_number_card(0x01020304)


def record(front_end_name: str, scheme: Scheme) -> Lines:
    """Hold the scheme's card, read it, and return what went over the air."""
    lines: Lines = []
    card, one = card_for(scheme), SCHEMES[scheme]
    with FRONT_ENDS[front_end_name](lines) as (front_end, field):
        front_end.sense(ALL)
        field.place(card)
        lines.clear()
        end_s = time.monotonic() + 5
        while not (found := front_end.sense(ALL)):
            assert time.monotonic() < end_s
            lines.clear()
        try:
            read = one.read(Reading(found, one.commands, lambda: end_s - time.monotonic()))
            assert read == identifier(card, scheme)
        except ValueError:
            assert scheme is Scheme.CARD_AP  # these cards have no such application
        if front_end_name == "pcsc":
            for command, answer in getattr(card, "apdus", ()):
                lines += [f"> APDU {command.hex()}", f"< APDU {answer.hex()}"]
    return lines


def recorded() -> dict[str, Lines]:
    sections: dict[str, Lines] = {}
    for text in RECORDED.read_text("ascii").splitlines():
        if text.startswith("["):
            sections[text.strip("[]")] = []
        elif text:
            sections[list(sections)[-1]].append(text)
    return sections


NAMES: Final = [f"{scheme} over {name}" for name in FRONT_ENDS for scheme in Scheme]


@pytest.mark.parametrize("name", NAMES)
def test_what_goes_over_the_air_is_what_was_recorded(name: str) -> None:
    scheme, _, front_end = name.partition(" over ")
    lines = record(front_end, Scheme(scheme))
    if os.environ.get("KAZASU_RECORD"):
        sections = (recorded() if RECORDED.exists() else {}) | {name: lines}
        texts = ("\n".join([f"[{one}]", *sections[one], ""]) for one in sorted(sections))
        RECORDED.write_text("\n".join(texts), "ascii")
    assert lines == recorded()[name]


def commands_in(lines: Lines) -> Iterator[bytes]:
    """Put the blocks to a Type B card together to commands (ISO/IEC 14443-4, 7.1)."""
    command = b""
    for text in lines:
        way, technology, data = text.split(" ")
        frame = bytes.fromhex(data)
        if way != ">":
            continue
        if technology == "APDU":
            yield frame
        elif technology == "106B" and frame[0] & 0xE2 == 0x02:
            start = 1 + bool(frame[0] & 0x08) + bool(frame[0] & 0x04)  # CID and NAD
            command += frame[start:]
            if not frame[0] & 0x10:  # no more follows
                yield command
                command = b""


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_command_is_its_schemes_own(name: str) -> None:
    scheme = Scheme(name.partition(" over ")[0])
    sent = set(commands_in(recorded()[name]))
    ours = SCHEMES[scheme].commands
    assert sent <= ours
    if scheme in (Scheme.COMMON_AP, Scheme.JPKI_AUTH):
        assert ours <= sent


CLASSES = st.integers(0, 255)
AIDS = st.sampled_from((INPUT_SUPPORT_AP, FACE_AP, INPUT_SUPPORT_AP[:5], FACE_AP[:9], JPKI_AP))


@st.composite
def towards_the_number(draw: st.DrawFn) -> bytes:
    """A command that could lead to the number: any class byte (secure messaging 04, 08 and 0C,
    chaining 10, logical channels 01 to 03), any form of length, any way to name a file or PIN."""
    cla = draw(st.one_of(st.sampled_from([0x00, 0x04, 0x0C, 0x10, 0x80, 0x90]), CLASSES))
    kind = draw(st.sampled_from(["select", "select-ef", "read", "record", "verify", "data"]))
    extended = draw(st.booleans())

    def with_data(head: bytes, data: bytes) -> bytes:
        size = b"\0" + len(data).to_bytes(2, "big") if extended else bytes([len(data)])
        return head + size + data

    if kind == "select":
        p2 = draw(st.sampled_from([0x00, 0x04, 0x0C, 0x0E]))
        command = with_data(bytes([cla, 0xA4, 0x04, p2]), draw(AIDS))
    elif kind == "select-ef":
        p1 = draw(st.sampled_from([0x00, 0x02, 0x08, 0x09]))
        fid = draw(st.sampled_from([b"\0\1", b"\0\2", b"\0\5", b"\0\x11", b"\0\x14", b"\0\x18"]))
        command = with_data(bytes([cla, 0xA4, p1, 0x0C]), fid)
    elif kind == "read":
        p1 = draw(st.one_of(st.integers(0x81, 0x9E), st.integers(0, 0x7F)))
        command = bytes([cla, draw(st.sampled_from([0xB0, 0xB1])), p1, draw(st.integers(0, 255))])
        command += b"\0\0\0" if extended else bytes([draw(st.integers(0, 255))])
    elif kind == "record":
        command = bytes([cla, 0xB2, 1, draw(st.sampled_from([0x04, 0x0C, 0x2C])), 0])
    elif kind == "verify":
        reference = draw(st.sampled_from([0x80, 0x91, 0x94, 0x93, 0x11, 0x14]))
        pin = draw(st.sampled_from([b"", b"1234", NOBODYS_NUMBER]))
        command = with_data(bytes([cla, 0x20, 0, reference]), pin)
    else:
        command = bytes([cla, 0xCA, 0x00, draw(st.sampled_from([0x45, 0xF0, 0xF2])), 0])
    return command


@given(st.lists(towards_the_number(), min_size=1, max_size=4))
def test_no_way_to_the_number_passes_any_scheme(commands: list[bytes]) -> None:
    card = my_number_card(1)
    for scheme, command in itertools.product(SCHEMES.values(), commands):
        if command in COMMANDS:
            continue
        reading = Reading(Direct(card), scheme.commands, lambda: 1.0)
        with pytest.raises(CommandNotAllowed):
            reading.ask(command)
    assert not card.apdus


class Direct:
    """A card's chip without an air between."""

    technology: Technology = "106B"
    sensed_id, about, speaks_apdu = b"\0\0\0\0", "", True

    def __init__(self, card: Any) -> None:
        self.times_us: dict[str, int] = {}
        self._card = card

    def transceive(self, apdu: bytes, within_s: float) -> bytes:
        answer: bytes = self._card.chip.files.process(apdu)
        return answer


DESK_COMMANDS = st.one_of(
    st.sampled_from(
        [
            *sorted(ALLOWED),
            *(
                bytes.fromhex(f"00A4020C02{fid}")
                for fid in ("000A", "0018", "0017", "0011", "0014")
            ),
            *(bytes.fromhex(text) for text in ("00200080", "0020008004" + b"1234".hex())),
        ]
    ),
    towards_the_number(),
)


@given(st.lists(DESK_COMMANDS, max_size=12))
def test_whatever_a_desk_asks_for_in_whatever_order_the_number_stays_on_the_card(
    commands: list[bytes],
) -> None:
    """Also when the PIN is right: no application that holds the number can be selected."""
    card = my_number_card(1)
    conversation = DeskCard(Direct(card), lambda: 1.0)
    for command in commands:
        try:
            answer = conversation.ask(command)
        except CommandNotAllowed:
            continue
        assert NOBODYS_NUMBER not in answer.data
    sent = [command for command, _ in card.apdus]
    assert not [one for one in sent if one[1] == 0xA4 and one[2] == 0x04 and one[5:15] != JPKI_AP]
    assert all(one[:4] == bytes.fromhex("00200080") for one in sent if one[1] == 0x20)
