"""A card with its PIN proves itself to the fleet, at a desk: the slow path, up to PROOF_S_MAX.

Upheld: the last try is never spent, for the holder would have to go to the municipal office · a PIN
is 4 digits or nothing is sent · it is asked for only once the card's certificate was read, so one
that can prove nothing costs no try · its buffer is overwritten however this ends. Python and the
front end may have copied it before (into the command and its frames): overwriting shortens the
time for which it can be found in memory, it is no proof against someone who reads it · nothing of
a PIN stands in an error or a log.
"""

import enum
from collections.abc import Callable
from typing import Final, NamedTuple

from edge.frontends import Card, CardGone
from edge.schemes.allowlist import SELECT_JPKI_AP
from edge.schemes.desk_allowlist import (
    ASK_TRIES,
    OK,
    READ,
    READ_BYTES_MAX,
    SELECT_CERTIFICATE,
    SELECT_KEY,
    SELECT_PIN,
    SIGN,
    VERIFY,
    DeskCard,
)
from wire.card_proof import SIGNATURE_BYTES, CardProof, Challenge, digest_info
from wire.clock import Clock
from wire.limits import CARD_CERTIFICATE_BYTES_MAX

PROOF_S_MAX: Final = 10.0
"""For the whole conversation: some 15 commands, of which the signature takes longest; people are
told to hold a card for up to five seconds."""
PIN_DIGITS: Final = 4
TRIES: Final = 3
"""Of a fresh PIN (OpenSC pkcs15-jpki.c)."""
TRIES_LEFT_MIN: Final = 2
"""With fewer none is made: a stop before the last."""

HEADER: Final = bytes.fromhex("3082")
"""A SEQUENCE with a length of two bytes, as every certificate of 256 bytes and more begins."""
HEADER_BYTES: Final = 4
NOT_FOUND: Final = bytes.fromhex("6A82")
"""No such application or file."""
BLOCKED: Final = frozenset((bytes.fromhex("6983"), bytes.fromhex("6984")))
"""No tries are left (ISO/IEC 7816-4, 5.6; real cards answer the second)."""
TRIES_LEFT: Final = 0x63C0
"""The low digit is how many."""


class Outcome(enum.StrEnum):
    """What a conversation came to."""

    OK = "ok"
    WRONG_PIN = "wrong-pin"
    """A try is spent; `tries_left` says how many there are still."""
    LAST_TRY = "last-try"
    """Refused here, and no try spent: the holder goes to the municipal office for a new PIN."""
    BLOCKED = "blocked"
    """The PIN was spent before; only the municipal office can unlock it."""
    NO_CERTIFICATE = "no-certificate"
    """No card with a certificate that is free to read: another card, one without, or a phone."""
    CARD_GONE = "card-gone"
    """Hold it again. If a PIN was on its way, `look` says whether it cost a try."""
    NOT_USABLE = "not-usable"
    """It answers what no such card would."""


class Result(NamedTuple):
    """An outcome with what belongs to it."""

    outcome: Outcome
    tries_left: int | None = None
    """With all but NO_CERTIFICATE, CARD_GONE and NOT_USABLE: as the card said it last."""
    proof: CardProof | None = None
    """With OK of `prove`."""


class PinMalformed(ValueError):
    """Not four digits; nothing was sent. Says so, never what it was."""


class _Ended(Exception):
    """The conversation cannot go on."""

    def __init__(self, outcome: Outcome, tries_left: int | None = None) -> None:
        super().__init__(outcome)
        self.result = Result(outcome, tries_left)


def look(card: Card, clock: Clock) -> Result:
    """Say whether this card could prove itself, and how many tries are left; costs none.

    Before a PIN is asked for: OK, LAST_TRY, BLOCKED, NO_CERTIFICATE, CARD_GONE or NOT_USABLE.
    Raises FrontEndFault.
    """

    def converse(desk: DeskCard) -> Result:
        _read_certificate(desk)
        return Result(Outcome.OK, _tries_left(desk))

    return _conversation(card, clock, converse)


def prove(card: Card, challenge: Challenge, pin: bytearray, clock: Clock) -> Result:
    """Have the card sign the challenge, which the caller knows to be meant for this reader.

    Overwrites `pin`, four ASCII digits, in any case. Only WRONG_PIN spends a try, or CARD_GONE when
    the card was torn away just then. Raises PinMalformed or FrontEndFault.
    """

    def converse(desk: DeskCard) -> Result:
        certificate = _read_certificate(desk)
        _verify(desk, pin, _tries_left(desk))
        signature = _sign(desk, digest_info(challenge))
        proof = CardProof(v=1, nonce=challenge.nonce, certificate=certificate, signature=signature)
        return Result(Outcome.OK, TRIES, proof)

    try:
        if len(pin) != PIN_DIGITS or not pin.isdigit():
            raise PinMalformed("a PIN has four digits; nothing was sent to the card")
        return _conversation(card, clock, converse)
    finally:
        pin[:] = bytes(len(pin))


def _conversation(card: Card, clock: Clock, converse: Callable[[DeskCard], Result]) -> Result:
    if not card.speaks_apdu:
        return Result(Outcome.NO_CERTIFICATE)
    deadline_ns = clock.monotonic_ns() + round(PROOF_S_MAX * 1e9)
    desk = DeskCard(card, lambda: (deadline_ns - clock.monotonic_ns()) / 1e9)
    try:
        _select(desk, SELECT_JPKI_AP)
        return converse(desk)
    except _Ended as ended:
        return ended.result
    except CardGone:
        return Result(Outcome.CARD_GONE)


def _select(desk: DeskCard, command: bytes) -> None:
    status = desk.ask(command).status
    if status == NOT_FOUND:
        raise _Ended(Outcome.NO_CERTIFICATE)
    if status != OK:
        raise _Ended(Outcome.NOT_USABLE)


def _read_certificate(desk: DeskCard) -> bytes:
    """Return the certificate's DER; what follows it in the file is never read."""
    _select(desk, SELECT_CERTIFICATE)
    head = desk.ask(READ + bytes((0, 0, READ_BYTES_MAX)))
    if head.status != OK or head.data[:2] != HEADER or len(head.data) < READ_BYTES_MAX:
        raise _Ended(Outcome.NO_CERTIFICATE)  # not one that is free to read, or none yet
    size = HEADER_BYTES + int.from_bytes(head.data[2:HEADER_BYTES], "big")
    if size > CARD_CERTIFICATE_BYTES_MAX:
        raise _Ended(Outcome.NOT_USABLE)
    certificate = head.data
    while len(certificate) < size:
        wanted = min(READ_BYTES_MAX, size - len(certificate))
        part = desk.ask(READ + len(certificate).to_bytes(2, "big") + bytes((wanted,)))
        if part.status != OK or len(part.data) != wanted:
            raise _Ended(Outcome.NOT_USABLE)
        certificate += part.data
    return certificate[:size]


def _tries_left(desk: DeskCard) -> int:
    """Return how many tries are left, if one may be made."""
    _select(desk, SELECT_PIN)
    status = desk.ask(ASK_TRIES).status
    # Some cards answer 9000 once the PIN was given: it was right, so all tries are there again.
    left = 0 if status in BLOCKED else TRIES if status == OK else _count(status)
    if left < TRIES_LEFT_MIN:
        raise _Ended(Outcome.LAST_TRY if left else Outcome.BLOCKED, left)
    return left


def _verify(desk: DeskCard, pin: bytearray, tries_left: int) -> None:
    command = bytearray(VERIFY) + pin
    try:
        status = desk.ask(command).status
    finally:
        command[:] = bytes(len(command))
    if status == OK:
        return
    left = 0 if status in BLOCKED else _count(status)
    if left >= tries_left:
        raise _Ended(Outcome.NOT_USABLE)
    raise _Ended(Outcome.WRONG_PIN if left else Outcome.BLOCKED, left)


def _count(status: bytes) -> int:
    word = int.from_bytes(status, "big")
    if word & 0xFFF0 != TRIES_LEFT:
        raise _Ended(Outcome.NOT_USABLE)
    return word & 0xF


def _sign(desk: DeskCard, digest: bytes) -> bytes:
    _select(desk, SELECT_KEY)
    answer = desk.ask(SIGN + digest + b"\0")
    if answer.status != OK or len(answer.data) != SIGNATURE_BYTES:
        raise _Ended(Outcome.NOT_USABLE)
    return answer.data
