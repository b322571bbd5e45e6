"""No command that could reach the 12-digit number is ever sent, whatever a scheme asks for."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.config import CardAp
from edge.frontends import Card, Technology
from edge.frontends.nfcpy import Nfcpy
from edge.schemes import REGISTER, register
from edge.schemes.allowlist import (
    ALLOWED,
    READ_AUTH_CERTIFICATE,
    READ_COMMON_RECORD,
    SELECT_COMMON_AP,
    SELECT_JPKI_AP,
    CommandNotAllowed,
    Reading,
    own_application,
)
from hw.sim.antenna import Antenna, Frame
from hw.sim.cards import FeliCaCard, StaffToken
from hw.sim.mynumber import FACE_AP, INPUT_SUPPORT_AP, JPKI_AP
from tests.edge.reader_kit import identifier, my_number_card
from wire.credential import Scheme

TECHNOLOGIES: tuple[Technology, ...] = ("106B", "212F", "106A")


class SilentCard:
    """Counts what reaches it."""

    technology: Technology = "106B"
    sensed_id = b"\0\0\0\0"
    about = ""
    speaks_apdu = True

    def __init__(self) -> None:
        self.times_us: dict[str, int] = {}
        self.reached: list[bytes] = []

    def transceive(self, apdu: bytes, within_s: float) -> bytes:
        self.reached.append(apdu)
        return b"\x90\x00"


def reading(card: Card, commands: frozenset[bytes]) -> Reading:
    return Reading(card, commands, lambda: 1.0)


@given(st.one_of(st.binary(max_size=40), st.sampled_from(sorted(ALLOWED)).map(lambda a: a + b"\0")))
@example(bytes.fromhex("00A4040C0A") + INPUT_SUPPORT_AP)
@example(bytes.fromhex("00A4040C0A") + FACE_AP)
@example(bytes.fromhex("0020008004") + b"1234")
@example(bytes.fromhex("00B0810000"))
@example(bytes.fromhex("00A4020C020001"))
def test_any_other_command_is_refused_before_it_reaches_the_card(command: bytes) -> None:
    card = SilentCard()
    if command in ALLOWED:
        return
    for commands in (ALLOWED, frozenset([command])):  # a scheme cannot extend the list either
        with pytest.raises(CommandNotAllowed):
            reading(card, commands).ask(command)
    assert card.reached == []


def test_a_scheme_cannot_send_another_schemes_commands() -> None:
    card = SilentCard()
    for scheme in REGISTER.values():
        for command in ALLOWED - scheme.commands:
            with pytest.raises(CommandNotAllowed):
                reading(card, scheme.commands).ask(command)
    assert card.reached == []


def test_the_list_holds_two_selections_and_two_reads_and_no_way_to_the_number() -> None:
    assert {command[1] for command in ALLOWED} == {0xA4, 0xB0, 0xB2}  # never VERIFY (20)
    selected = {command[5:15] for command in ALLOWED if command[1] == 0xA4}
    assert not selected & {INPUT_SUPPORT_AP, FACE_AP}
    # Without a name in it, a SELECT could only choose a file: there is none.
    assert all(command[2] == 0x04 for command in ALLOWED if command[1] == 0xA4)


CARD_AP = CardAp(aid="D3920000010203", short_ef=3, length=16, offset=2)


def test_every_scheme_stays_on_the_list() -> None:
    schemes = register(CARD_AP)
    assert set(schemes) == set(Scheme)
    own = schemes.pop(Scheme.CARD_AP)
    assert schemes == REGISTER
    assert all(scheme.commands <= ALLOWED for scheme in REGISTER.values())
    assert own.commands == {
        bytes.fromhex("00A4040C07D3920000010203"),
        bytes.fromhex("00B0830210"),
    }


CLOSED = (INPUT_SUPPORT_AP, FACE_AP, JPKI_AP)


@given(
    name=st.one_of(
        st.binary(min_size=1, max_size=20),
        st.sampled_from(CLOSED).flatmap(
            lambda aid: st.one_of(
                st.integers(1, len(aid)).map(lambda size: aid[:size]),
                st.binary(max_size=6).map(lambda more: aid + more),
            )
        ),
    ),
    short_id=st.integers(-1, 40),
    offset=st.integers(-1, 300),
    length=st.integers(-1, 300),
)
@example(name=INPUT_SUPPORT_AP[:5], short_id=1, offset=0, length=17)
@example(name=FACE_AP, short_id=5, offset=0, length=17)
def test_no_tenants_application_can_be_one_with_the_number(
    name: bytes, short_id: int, offset: int, length: int
) -> None:
    """Nor a beginning of its name: a card selects the first application that fits."""
    try:
        commands = own_application(name, short_id, offset, length)
    except ValueError:
        return
    select, read = sorted(commands, key=lambda command: command[1])
    assert (select[:5], select[5:]) == (bytes.fromhex("00A4040C") + bytes([len(name)]), name)
    assert not any(aid.startswith(name) or name.startswith(aid) for aid in CLOSED)
    assert 5 <= len(name) <= 16
    assert read[:2] == b"\x00\xb0"
    assert 0x81 <= read[2] <= 0x9E  # a short id: no other file of the application is meant
    assert len(read) == 5


@pytest.mark.parametrize("aid", [aid.hex().upper() for aid in CLOSED])
def test_a_configuration_that_names_a_closed_application_is_refused(aid: str) -> None:
    with pytest.raises(ValueError, match="closed"):
        register(CardAp(aid=aid, short_ef=1, length=12))


Held = Callable[[Any], Card]


@pytest.fixture
def transcript() -> list[Frame]:
    return []


@pytest.fixture
def held(transcript: list[Frame]) -> Iterator[Held]:
    """Hold a card over a real nfcpy and return what it found."""
    with Antenna(transcript=transcript.append) as antenna:
        front_end = Nfcpy(antenna.device, "0003")

        def hold(card: Any) -> Card:
            antenna.place(card)
            found = front_end.sense(TECHNOLOGIES)
            assert found
            return found

        yield hold
        front_end.close()


TRANSCRIPTS = {
    Scheme.COMMON_AP: [SELECT_COMMON_AP, READ_COMMON_RECORD],
    Scheme.JPKI_AUTH: [SELECT_JPKI_AP, READ_AUTH_CERTIFICATE],
}


@pytest.mark.parametrize("scheme", TRANSCRIPTS)
def test_the_transcript_of_a_my_number_card(
    scheme: Scheme, held: Held, transcript: list[Frame]
) -> None:
    card = my_number_card(5)
    found = held(card)
    read = REGISTER[scheme].read(reading(found, REGISTER[scheme].commands))
    assert read == identifier(card, scheme)
    assert [command for command, _ in card.apdus] == TRANSCRIPTS[scheme]
    # On the air too: REQB, ATTRIB, and one block for each command.
    sent = [frame.data for frame in transcript if frame.to_card]
    assert [data[:1] for data in sent[:2]] == [b"\x05", b"\x1d"]
    assert [data[1:] for data in sent[2:]] == TRANSCRIPTS[scheme]


@pytest.mark.parametrize(
    ("scheme", "card"),
    [
        (Scheme.FELICA_IDM, FeliCaCard(bytes.fromhex("0114D5A2B3C4E5F6"))),
        (Scheme.STAFF_TOKEN, StaffToken(bytes.fromhex("04A1B2C3D4E5F6"))),
        (Scheme.STAFF_TOKEN, StaffToken(bytes.fromhex("C1B2C3D4"))),
    ],
)
def test_the_transcript_of_cards_that_are_only_found(
    scheme: Scheme, card: FeliCaCard | StaffToken, held: Held, transcript: list[Frame]
) -> None:
    found = held(card)
    after_sense = len(transcript)
    assert REGISTER[scheme].read(reading(found, frozenset())) == identifier(card, scheme)
    assert len(transcript) == after_sense  # nothing was sent to read it
    polls = {b"\x06\x00\x00\x03\x01\x00", b"\x26", b"\x05\x00\x10"}
    sent = [frame.data for frame in transcript if frame.to_card]
    assert all(data in polls or data[0] in (0x93, 0x95) for data in sent)


def test_only_the_lists_themselves_know_a_command() -> None:
    """No other file of the agent spells out an APDU."""
    edge = Path(__file__).parents[2] / "edge"
    for path in edge.rglob("*.py"):
        if path.name not in ("allowlist.py", "desk_allowlist.py"):
            assert "00A40" not in path.read_text("utf-8").upper(), path
