"""The half-duplex block protocol of ISO/IEC 14443-4 as the reader speaks it, in its own time.

nfcpy has one too. Ours is here for what that one was measured to do: a card with FWI 10 that leaves
holds its retries for 1.25 s, one that asks for more time inside a chain breaks it, and one that
asks for time again and again holds it for ever.

Upheld: a card that was torn away is given up after ANSWER_S and AGAIN_S, 115 ms together · a card
that thinks longer without asking for time is given what its FWT allows the next time it is asked
(`patient`), and at once by a caller who is in no hurry · one that asks for time may have all that
the caller allows · one lost block is asked for again and executes nothing twice (7.5.4): a block
goes a second time only when the card, just asked for its answer again, says that it never got it ·
a card that breaks the protocol is `CardGone`.
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from edge.frontends import CardGone, Technology

ANSWER_S: Final = 0.1
"""For one block: four times a slow card's 25 ms per APDU; the PN532's timer has 102.4 ms."""
AGAIN_S: Final = 0.0125
"""For the answer to R(NAK), which a card repeats without thinking; 12.8 ms on the PN532's timer."""
UNHURRIED_S: Final = 1.0
"""Who waits so long for an answer lets a card use its FWT: a card that signs, with a PIN, must not
be given up while it thinks. A tap has 0.4 s."""
RETRIES: Final = 1
"""One lost block is asked for again; the next one is the card's leaving."""
ANSWER_BYTES_MAX: Final = 65_536 + 2
"""ISO/IEC 7816-4, 5.1: the longest answer, and its status word."""

ATTRIB: Final = 0x1D
"""ISO/IEC 14443-3, 7.10.2: then PUPI and four parameters."""
ATTRIB_PARAMETERS: Final = bytes.fromhex("00080100")
"""TR0, TR1, SOF and EOF as usual · frames of 256 bytes to us, 106 kbit/s both ways · ISO/IEC
14443-4 · CID 0. Higher rates need registers whose right values only real modules can tell."""
ACTIVATE_S: Final = 0.1
"""A card answers ATTRIB within 5.3 ms (14443-3, 7.10.3); with the blocks' figure the front end's
timer stands as it will be needed."""
FRAME_BYTES: Final = (16, 24, 32, 40, 48, 64, 96, 128, 256)
"""By FSCI (14443-3, table 11); reserved codes count as the largest."""
FWT_STEP_S: Final = 256 * 16 / 13.56e6
"""FWT = this times two to the power of FWI (14443-4, 7.2): 309 ms for a My Number Card's FWI 10."""
FWT_MORE_S: Final = 49_152 / 13.56e6
"""ΔFWT: what a reader waits beyond it."""
FWI_MAX: Final = 14

CHAINING: Final = 0x10
R_ACK: Final = 0xA2
R_NAK: Final = 0xB2
S_WTX: Final = 0xF2
WTXM_MAX: Final = 59
"""14443-4, 7.3."""


class Silence(Exception):
    """Nothing answered in the time that it was given."""


class Garbled(Exception):
    """Something answered that failed its check sum or its framing."""


class Air(Protocol):
    """What carries one frame to the card that was found, and one back."""

    def exchange(self, frame: bytes, within_s: float) -> bytes:
        """Send a frame (without CRC), return the answer. Raises Silence, Garbled, FrontEndFault."""


class Atqb(NamedTuple):
    """What a Type B card says of itself when it is found (ISO/IEC 14443-3, 7.9)."""

    pupi: bytes
    about: bytes
    """Application data (4 bytes) and protocol info (3 or 4)."""
    speaks_apdu: bool
    frame_bytes: int
    """The longest frame that it takes, CRC included."""
    fwt_s: float
    """How long it may be silent over one block."""

    @classmethod
    def parse(cls, data: bytes) -> "Atqb | None":
        """Return what the 12 or 13 bytes say; None when they are no ATQB."""
        if len(data) not in (12, 13) or data[0] != 0x50:
            return None
        size, wait = data[10], min(data[11] >> 4, FWI_MAX)
        longest = FRAME_BYTES[min(size >> 4, len(FRAME_BYTES) - 1)]
        fwt_s = FWT_STEP_S * 2**wait + FWT_MORE_S
        return cls(bytes(data[1:5]), bytes(data[5:]), bool(size & 1), longest, fwt_s)


class Blocks:
    """One activated card: APDUs go in, answers come out, blocks are this class's business."""

    def __init__(self, air: Air, frame_bytes: int, fwt_s: float, patient: bool) -> None:
        self._air = air
        self._room = frame_bytes - 3  # prologue and CRC
        self._fwt_s = fwt_s
        self.patient = patient
        self._number = 0
        self._left_s: Callable[[], float] = lambda: 0.0

    def transceive(self, apdu: bytes, left_s: Callable[[], float]) -> bytes:
        """Return the answer to an APDU, chained both ways when it has to be.

        Raises CardGone (Silence behind it when the card never answered) or FrontEndFault.
        """
        self._left_s = left_s
        *chained, last = (apdu[at : at + self._room] for at in range(0, len(apdu), self._room))
        for part in chained:
            block = self._ask(bytes([0x02 | CHAINING | self._number]) + part)
            if block[0] != R_ACK | self._number:
                raise CardGone("the card broke a chain")
            self._number ^= 1
        block = self._ask(bytes([0x02 | self._number]) + last)
        answer = bytearray()
        while True:
            if block[0] & ~CHAINING != 0x02 | self._number:
                raise CardGone("the card answered out of turn")
            self._number ^= 1
            answer += block[1:]
            if not block[0] & CHAINING:
                return bytes(answer)
            if len(answer) > ANSWER_BYTES_MAX:
                raise CardGone("the card's answer has no end")
            block = self._ask(bytes([R_ACK | self._number]))

    def _ask(self, block: bytes) -> bytes:
        """Return the card's answer to one block, once it needs no more time and no repetition."""
        first_s = self._fwt_s if self.patient else ANSWER_S
        sent, answer_s, losses = block, first_s, 0
        while True:
            try:
                answer = self._exchange(sent, answer_s)
            except (Silence, Garbled) as error:
                losses += 1
                if losses > RETRIES:
                    raise CardGone("the card left") from error
                # Rules 4 and 5: a missing answer is asked for by R(NAK), in a chain by R(ACK).
                acknowledges = block[0] & 0xF6 == R_ACK
                sent = block if acknowledges else bytes([R_NAK | self._number])
                answer_s = AGAIN_S
                continue
            asked_again = sent[0] & ~0x01 == R_NAK
            if asked_again and answer[0] & ~0x01 == R_ACK and answer[0] & 1 != self._number:
                sent, answer_s = block, first_s  # rule 6: it never got our block
            elif answer[0] == S_WTX:
                wtxm = _wished(answer)
                sent, answer_s = bytes([S_WTX, wtxm]), wtxm * self._fwt_s
            else:
                return answer

    def _exchange(self, frame: bytes, within_s: float) -> bytes:
        left_s = self._left_s()
        if left_s <= 0:
            raise CardGone("the card's time is over")
        answer = self._air.exchange(frame, min(within_s, left_s))
        if not answer:
            raise Garbled("an empty frame")
        return answer


def _wished(wtx: bytes) -> int:
    """Return how many times its FWT a card asks for; the bits above tell its power (7.3)."""
    wtxm = wtx[1] & 0x3F if len(wtx) == 2 else 0
    if not 1 <= wtxm <= WTXM_MAX:
        raise CardGone("the card asks for a time that no card may have")
    return wtxm


class TypeBCard:
    """See edge.frontends.Card; it is activated at its first APDU.

    `former`: what was in the field just before. When that one fell silent, this one is most likely
    the same, and slow: it is given all of its FWT for each block.
    """

    technology: Technology = "106B"

    def __init__(
        self, atqb: Atqb, air: Air, detect_us: int, former: "TypeBCard | None" = None
    ) -> None:
        self.sensed_id = atqb.pupi
        self.about = atqb.about.hex().upper()
        self.speaks_apdu = atqb.speaks_apdu
        self.times_us = {"detect": detect_us}
        self._was_silent = False
        self._patient = former is not None and former._was_silent
        self._atqb = atqb
        self._air = air
        self._blocks: Blocks | None = None

    def transceive(self, apdu: bytes, within_s: float) -> bytes:
        """See edge.frontends.Card."""
        deadline_ns = time.monotonic_ns() + round(within_s * 1e9)

        def left_s() -> float:
            return (deadline_ns - time.monotonic_ns()) / 1e9

        try:
            blocks = self._blocks or self._activate(left_s())
            blocks.patient = self._patient or within_s >= UNHURRIED_S
            answer = blocks.transceive(apdu, left_s)
        except CardGone as error:
            self._was_silent = isinstance(error.__cause__, Silence)
            raise
        if len(answer) < 2:
            raise CardGone("the card's answer is too short for a status word")
        return answer

    def _activate(self, left_s: float) -> Blocks:
        started_ns = time.monotonic_ns()
        if left_s <= 0:
            raise CardGone("the card's time is over")
        frame = bytes([ATTRIB]) + self.sensed_id + ATTRIB_PARAMETERS
        try:
            answer = self._air.exchange(frame, min(left_s, ACTIVATE_S))
        except (Silence, Garbled) as error:
            raise CardGone("the card left before it was selected") from error
        if not answer or answer[0] & 0x0F:  # the CID that it was given
            raise CardGone("the card was not selected")
        self._blocks = Blocks(self._air, self._atqb.frame_bytes, self._atqb.fwt_s, self._patient)
        self.times_us["activate"] = (time.monotonic_ns() - started_ns) // 1000
        return self._blocks


class FoundCard:
    """See edge.frontends.Card: one that is not spoken to, since what identifies it came at once."""

    speaks_apdu = False

    def __init__(
        self, technology: Technology, sensed_id: bytes, detect_us: int, about: bytes = b""
    ) -> None:
        self.technology = technology
        self.sensed_id = sensed_id
        self.about = about.hex().upper()
        self.times_us = {"detect": detect_us}

    def transceive(self, apdu: bytes, within_s: float) -> bytes:
        """Refuse: callers look at `speaks_apdu` first."""
        raise CardGone(f"a {self.technology} card is not spoken to ({len(apdu)} B, {within_s} s)")
