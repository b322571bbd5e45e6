"""At a desk: a card with its PIN signs, the last try is never spent, and nothing else is sent."""

import contextlib
import logging
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from edge.card_proof import Outcome, PinMalformed, Result, look, prove
from edge.frontends import Card, CardGone, FrontEndFault, Technology
from edge.frontends.nfcpy import Nfcpy
from edge.schemes.allowlist import ALLOWED, SELECT_JPKI_AP, CommandNotAllowed
from edge.schemes.desk_allowlist import (
    ASK_TRIES,
    READ,
    READ_BYTES_MAX,
    SELECT_CERTIFICATE,
    SELECT_KEY,
    SELECT_PIN,
    SIGN,
    VERIFY,
    DeskCard,
)
from hw.sim.antenna import Antenna
from hw.sim.cards import TornAway
from hw.sim.isodep import Reply
from hw.sim.mynumber import FACE_AP, INPUT_SUPPORT_AP, MyNumberCard
from hw.sim.variants import VARIANTS
from tests.edge.pcsc_kit import desk, opened
from tests.edge.reader_kit import my_number_card
from tests.timing import IN_TIME
from wire.card_proof import DIGEST_INFO, Challenge, Purpose, digest_info, signed_bytes
from wire.clock import SystemClock
from wire.limits import CARD_CERTIFICATE_BYTES_MAX

CHALLENGE = Challenge(
    v=1,
    purpose=Purpose.ENROL,
    reader="kazasu-shi/desk-1",
    programme="senior-pass",
    expires_ms=1_780_455_600_000,
    nonce=bytes(range(32)),
)
ALL: tuple[Technology, ...] = ("106B", "212F", "106A")
Held = Callable[[Any], Card]


@pytest.fixture
def held() -> Iterator[Held]:
    """Hold a card over a real nfcpy; what the air takes is of no interest here."""
    poll_ms = {"A": 2.0, "B": 2.0, "F": 2.0}
    with Antenna(poll_ms=poll_ms, air=lambda *_: 200) as antenna:
        front_end = Nfcpy(antenna.device, "0003")

        def hold(card: Any) -> Card:
            antenna.place(card)
            found = front_end.sense(ALL)
            assert found
            return found

        yield hold
        front_end.close()


def tried(card: Card, pin: bytes = b"1234") -> Result:
    typed = bytearray(pin)
    try:
        return prove(card, CHALLENGE, typed, SystemClock())
    finally:
        assert typed == bytes(len(pin))  # wiped, however it ended


def verified(card: MyNumberCard) -> list[bytes]:
    """Return every PIN that reached the card."""
    return [
        command[5:]
        for command, _ in card.apdus
        if command[:1] + command[1:2] == b"\0\x20" and len(command) > 4
    ]


# --- a card with its PIN -------------------------------------------------------------------------


def test_the_right_pin_makes_the_card_sign_the_challenge(held: Held) -> None:
    card = my_number_card(5, filler=40)
    result = tried(held(card))
    assert (result.outcome, result.tries_left) == (Outcome.OK, 3)
    assert result.proof
    assert result.proof.nonce == CHALLENGE.nonce
    assert result.proof.certificate == card.certificate  # without what follows it in its file
    key = x509.load_der_x509_certificate(result.proof.certificate).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(result.proof.signature, signed_bytes(CHALLENGE), padding.PKCS1v15(), hashes.SHA256())


def test_the_transcript_is_these_commands_and_no_others(held: Held) -> None:
    card = my_number_card(5)
    tried(held(card))
    commands = [command for command, _ in card.apdus]
    size = len(card.certificate)
    reads = [
        READ + at.to_bytes(2, "big") + bytes((min(READ_BYTES_MAX, size - at),))
        for at in range(0, size, READ_BYTES_MAX)
    ]
    assert commands == [
        SELECT_JPKI_AP, SELECT_CERTIFICATE, *reads, SELECT_PIN, ASK_TRIES, VERIFY + b"1234",
        SELECT_KEY, SIGN + digest_info(CHALLENGE) + b"\0",
    ]  # fmt: skip


def test_tries_are_shown_before_one_is_made(held: Held) -> None:
    card = my_number_card(5)
    found = held(card)
    assert look(found, SystemClock()) == (Outcome.OK, 3, None)
    assert tried(found, b"9999") == (Outcome.WRONG_PIN, 2, None)
    assert look(found, SystemClock()) == (Outcome.OK, 2, None)
    assert verified(card) == [b"9999"]


def test_the_last_try_is_never_spent(held: Held) -> None:
    card = my_number_card(5)
    found = held(card)
    assert tried(found, b"9999").outcome is Outcome.WRONG_PIN
    assert tried(found, b"9999") == (Outcome.WRONG_PIN, 1, None)
    assert look(found, SystemClock()) == (Outcome.LAST_TRY, 1, None)
    assert tried(found, b"1234") == (Outcome.LAST_TRY, 1, None)  # the right one too
    assert verified(card) == [b"9999", b"9999"]


def test_the_right_pin_brings_all_tries_back(held: Held) -> None:
    found = held(my_number_card(5))
    assert tried(found, b"9999").tries_left == 2
    assert tried(found).outcome is Outcome.OK
    assert tried(found).outcome is Outcome.OK  # the card says already verified, or asks again
    assert look(found, SystemClock()).tries_left == 3


def test_a_card_may_be_taken_away_between_looking_and_proving(held: Held) -> None:
    card = my_number_card(5)
    assert look(held(card), SystemClock()).outcome is Outcome.OK
    assert tried(held(card)).outcome is Outcome.OK


@pytest.mark.parametrize("pin", [b"", b"123", b"12345", b"12a4", b"\xef\xbc\x91234", b"    "])
def test_what_is_no_pin_is_refused_before_anything_is_sent(held: Held, pin: bytes) -> None:
    card = my_number_card(5)
    found = held(card)
    with pytest.raises(PinMalformed) as refused:
        tried(found, pin)
    assert not card.apdus
    assert not pin or pin.decode("latin-1").strip() not in str(refused.value) or not pin.strip()


class SlowToSign:
    """A card that thinks over PIN and signature without asking for time."""

    def __init__(self, card: MyNumberCard, ms: int) -> None:
        self._card = card
        self._cpu_us = 1000 * ms

    def reset(self) -> None:
        self._card.reset()

    def answer(self, technology: str, frame: bytes) -> Reply | None:
        reply = self._card.answer(technology, frame)
        slow = reply and frame[2:3] in (VERIFY[1:2], SIGN[1:2])
        return reply._replace(cpu_us=self._cpu_us) if reply and slow else reply


@IN_TIME
@pytest.mark.parametrize("ms", [200, 290])  # its frame waiting time is 309 ms
def test_a_card_that_thinks_in_silence_gets_its_time_and_each_command_once(
    held: Held, ms: int
) -> None:
    card = my_number_card(5)
    assert tried(held(SlowToSign(card, ms))).outcome is Outcome.OK
    assert verified(card) == [b"1234"]


def test_a_card_that_asks_for_time_again_and_again_gets_it(held: Held) -> None:
    card = my_number_card(5, apdu_ms=12, wtx_ms=2)
    assert tried(held(card)).outcome is Outcome.OK
    assert verified(card) == [b"1234"]


def test_a_card_on_a_pcsc_reader_signs_as_well(tmp_path: Path) -> None:
    card = my_number_card(5)
    with desk(tmp_path) as place, opened() as front_end:
        found = place.held(front_end, card)
        assert tried(found, b"9999") == (Outcome.WRONG_PIN, 2, None)
        assert tried(found).outcome is Outcome.OK
    assert verified(card) == [b"9999", b"1234"]


# --- cards that are taken away, and other cards --------------------------------------------------


FRAMES = 17
"""Of a whole conversation: found, selected, fourteen commands, one answer in two frames."""


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 8, 11, 12, 13, 14, 15, 16, FRAMES])
def test_a_card_that_is_torn_away_costs_at_most_the_try_that_was_made(
    held: Held, frames: int
) -> None:
    card = my_number_card(5)
    result = tried(held(TornAway(card, frames=frames)))
    assert result.outcome is (Outcome.OK if frames == FRAMES else Outcome.CARD_GONE)
    assert len(verified(card)) <= 1
    assert look(held(card), SystemClock()) == (Outcome.OK, 3, None)


DATA = my_number_card(5).data


ELSEWHERE = {
    "slow my-number",  # works, and takes six seconds
    "FeliCa Lite-S",  # no card to a reader that looks for transit cards
    "phone in peer-to-peer mode",
}


@pytest.mark.parametrize("kind", sorted(VARIANTS.keys() - ELSEWHERE))
def test_only_a_card_with_a_readable_certificate_is_given_a_pin(held: Held, kind: str) -> None:
    card = VARIANTS[kind](DATA, random.Random(1))
    result = tried(held(card))
    expected = Outcome.OK if kind.startswith("my-number") else Outcome.NO_CERTIFICATE
    assert result.outcome is expected
    sent = [command for command, _ in getattr(card, "apdus", ())]
    assert expected is Outcome.OK or not [command for command in sent if command[1] == VERIFY[1]]


@pytest.mark.parametrize(
    ("instruction", "status", "outcome", "tries_left"),
    [
        (0xA4, 0x6A82, Outcome.NO_CERTIFICATE, None),
        (0xA4, 0x6F00, Outcome.NOT_USABLE, None),
        (0xB0, 0x6982, Outcome.NO_CERTIFICATE, None),
        (0xB0, 0x9000, Outcome.NO_CERTIFICATE, None),  # an empty file
        (0x20, 0x63C1, Outcome.LAST_TRY, 1),
        (0x20, 0x63C0, Outcome.BLOCKED, 0),
        (0x20, 0x6983, Outcome.BLOCKED, 0),
        (0x20, 0x6984, Outcome.BLOCKED, 0),
        (0x20, 0x6D00, Outcome.NOT_USABLE, None),
        (0x20, 0x9000, Outcome.NOT_USABLE, None),  # every PIN is right, and the key does not sign
        (0x20, 0x63C3, Outcome.NOT_USABLE, None),  # a wrong PIN that costs nothing
        (0x2A, 0x6982, Outcome.NOT_USABLE, None),
        (0x2A, 0x9000, Outcome.NOT_USABLE, None),  # a signature of no bytes
    ],
)
def test_each_wrong_answer_has_its_outcome(
    held: Held, instruction: int, status: int, outcome: Outcome, tries_left: int | None
) -> None:
    card = my_number_card(5, wrong_status={instruction: status})
    assert tried(held(card)) == (outcome, tries_left, None)


class Scripted:
    """A card that answers by command; anything that is not an answer is raised."""

    technology: Technology = "106B"
    sensed_id = b"\0\0\0\0"
    speaks_apdu = True
    about = ""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.times_us: dict[str, int] = {}
        self.reached: list[bytes] = []
        self.answers: Iterator[bytes | Exception] = iter(answers)

    def transceive(self, apdu: bytes, within_s: float) -> bytes:
        self.reached.append(apdu)
        answer = next(self.answers, b"\x90\x00")
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_fault_of_the_front_end_is_its_callers(held: Held) -> None:
    with pytest.raises(FrontEndFault):
        tried(Scripted(FrontEndFault("unplugged")))


@pytest.mark.parametrize("size", [CARD_CERTIFICATE_BYTES_MAX + 1, 0xFFFF + 4])
def test_a_certificate_without_end_is_not_read_to_its_end(size: int) -> None:
    head = bytes.fromhex("3082") + (size - 4).to_bytes(2, "big") + bytes(246)
    ok = b"\x90\x00"
    card = Scripted(ok, ok, head + ok)
    assert tried(card).outcome is Outcome.NOT_USABLE
    assert len(card.reached) == 3


# --- nothing else is sent ------------------------------------------------------------------------

OK = b"\x90\x00"
NUMBER = b"123456789018"
FORBIDDEN = [
    bytes.fromhex("00A4040C0A") + INPUT_SUPPORT_AP,
    bytes.fromhex("00A4040C0A") + FACE_AP,
    bytes.fromhex("00A4020C020001"),  # the signature certificate
    bytes.fromhex("00A4020C020011"),  # the PIN of the number
    bytes.fromhex("00A4020C020014"),  # the number as its own key
    bytes.fromhex("00A4020C02001B"),  # the password for signing documents
    bytes.fromhex("00A4020C02001A"),
    bytes.fromhex("002000800C") + NUMBER,
    bytes.fromhex("0020008006") + b"ABC123",
    bytes.fromhex("0020008004") + b"12a4",
    bytes.fromhex("0020008104") + b"1234",
    bytes.fromhex("0020009804") + b"1234",
    bytes.fromhex("0020008004") + b"1234\0",
    bytes.fromhex("0020008004") + b"1234\n",
    bytes.fromhex("802A008020") + bytes(32) + b"\0",
    bytes.fromhex("802A008033") + bytes(51) + b"\0",
    bytes.fromhex("802A009A33") + DIGEST_INFO + bytes(32) + b"\0",
    bytes.fromhex("00B08A0000"),  # a file by its short id
    bytes.fromhex("00B0810000"),
    bytes.fromhex("00B0100001"),  # behind 4096
    bytes.fromhex("00B0000000"),
    bytes.fromhex("00B00000000000"),
    bytes.fromhex("00880099"),
    b"",
]
PERMITTED = [
    SELECT_JPKI_AP,
    SELECT_CERTIFICATE,
    SELECT_PIN,
    SELECT_KEY,
    ASK_TRIES,
    VERIFY + b"1234",
    SIGN + DIGEST_INFO + bytes(32) + b"\0",
    READ + b"\0\0\xfa",
]


def talk(card: Card) -> DeskCard:
    return DeskCard(card, lambda: 1.0)


@pytest.mark.parametrize("opened", [[], PERMITTED[:1], *([PERMITTED[0], one] for one in PERMITTED)])
def test_a_forbidden_command_is_refused_wherever_the_conversation_stands(
    opened: list[bytes],
) -> None:
    card = Scripted()
    conversation = talk(card)
    for command in opened:
        with contextlib.suppress(CommandNotAllowed):
            conversation.ask(command)
    before = list(card.reached)
    for command in FORBIDDEN:
        with pytest.raises(CommandNotAllowed):
            conversation.ask(command)
    assert card.reached == before


NEEDS = {
    ASK_TRIES[1]: SELECT_PIN,
    SIGN[1]: SELECT_KEY,
    READ[1]: SELECT_CERTIFICATE,
}


@pytest.mark.parametrize(
    "selected",
    [None, SELECT_CERTIFICATE, SELECT_PIN, SELECT_KEY],
    ids=["application", "certificate", "pin", "key"],
)
def test_each_command_needs_its_own_file_selected(selected: bytes | None) -> None:
    conversation = talk(Scripted())
    conversation.ask(SELECT_JPKI_AP)
    if selected:
        conversation.ask(selected)
    for command in PERMITTED[4:]:
        if NEEDS[command[1]] == selected:
            conversation.ask(command)
        else:
            with pytest.raises(CommandNotAllowed):
                conversation.ask(command)


STEPS = st.tuples(
    st.sampled_from(PERMITTED), st.sampled_from([OK, OK, OK, b"\x6a\x82", CardGone("torn away")])
)


@given(st.lists(STEPS, max_size=60).map(lambda steps: [(SELECT_JPKI_AP, OK), *steps]))
def test_in_any_order_each_command_reaches_only_what_it_is_meant_for(
    said: list[tuple[bytes, bytes | Exception]],
) -> None:
    """The card's side of it: what is selected there when a command arrives."""
    card = Scripted()
    conversation = talk(card)
    selected: bytes | None = None
    for command, answer in said:
        card.answers = iter([answer])
        card.reached.clear()
        with contextlib.suppress(CommandNotAllowed, CardGone):
            conversation.ask(command)
        if not card.reached:
            continue
        assert command in PERMITTED
        if command[1] != SELECT_PIN[1]:
            assert selected == NEEDS[command[1]]
        elif command != SELECT_JPKI_AP:
            assert selected is not None
        if isinstance(answer, Exception):
            selected = None
        elif command[1] == SELECT_PIN[1]:
            selected = command if answer == OK else None


def test_tries_and_pins_need_the_card_to_have_confirmed_their_file() -> None:
    for failed in (b"\x6a\x82", CardGone("torn away")):
        card = Scripted(OK, failed)
        conversation = talk(card)
        conversation.ask(SELECT_JPKI_AP)
        with contextlib.suppress(CardGone):
            conversation.ask(SELECT_PIN)
        for command in PERMITTED[1:]:  # nothing but the application again
            with pytest.raises(CommandNotAllowed):
                conversation.ask(command)
        conversation.ask(SELECT_JPKI_AP)


def test_a_refusal_does_not_repeat_a_pin() -> None:
    with pytest.raises(CommandNotAllowed) as refused:
        talk(Scripted()).ask(bytearray(VERIFY + b"1234"))
    assert "1234" not in str(refused.value)
    assert b"1234".hex() not in str(refused.value)


def test_no_log_has_a_pin_in_it(held: Held, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    found = held(my_number_card(5))
    tried(found, b"7391")
    tried(held(TornAway(my_number_card(6), frames=14)), b"7391")
    for pin in ("7391", b"7391".hex()):
        assert pin not in caplog.text


def test_a_tap_can_send_none_of_this() -> None:
    assert {SELECT_JPKI_AP} == ALLOWED & set(PERMITTED)
