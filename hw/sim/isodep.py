"""The half-duplex block protocol of ISO/IEC 14443-4 as the card speaks it.

A reader's block comes in, the card's block goes out: information (I), acknowledgement (R) and
supervisory (S) blocks, chaining both ways, waiting time extension, deselect. Upheld: a block that
was lost on either way is recovered by the reader's R-block and never executes an APDU twice
(7.5.4, rules D, E and 9 to 13). What is not for this card, or not a block, is met with silence.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

FRAME_BYTES = (16, 24, 32, 40, 48, 64, 96, 128, 256)  # by the codes FSCI and FSDI 0 to 8
FSCI = 8  # our cards take the largest frame
CRC_BYTES = 2  # part of the frame size, though the simulated air carries no CRC

# An extended APDU with all its lengths (ISO/IEC 7816-4, 5.2); a chain of blocks ends there.
COMMAND_BYTES_MAX = 4 + 3 + 65535 + 2

CHAINING = 0x10  # in an I-block: more follows
NAK = 0x10  # in an R-block
WITH_CID = 0x08  # a card identifier byte follows
ACK_BLOCK = 0xA2
DESELECT = 0xC2
WTX = 0xF2
WTXM = 1  # the card asks for one more frame waiting time


class Reply(NamedTuple):
    """What a card sends and how long it thought before it sent it."""

    data: bytes
    cpu_us: int = 0


def frame_bytes(code: int) -> int:
    """Frame size for a code FSCI or FSDI; reserved codes count as the largest."""
    return FRAME_BYTES[min(code, len(FRAME_BYTES) - 1)]


class BlockProtocol:
    """One activation of a card: from ATTRIB or RATS to DESELECT or the end of the field.

    `application` answers a whole APDU. `fsd` is the reader's frame size, `cid` the number that
    the reader gave the card. A card that thinks longer than `wtx_us` asks for time with S(WTX),
    again and again.
    """

    def __init__(
        self,
        application: Callable[[bytes], Reply],
        *,
        fsd: int,
        cid: int = 0,
        wtx_us: float = math.inf,
    ) -> None:
        self.deselected = False
        self._application = application
        self._fsd = fsd
        self._room = 0  # for data in a block; known with each frame, as it may carry a CID
        self._cid = cid
        self._wtx_us = wtx_us
        self._number = 1  # rule C: the card starts with 1
        self._command = bytearray()
        self._answer = b""  # what is left to send
        self._last = b""  # for retransmission, without CID
        self._thinking: Reply | None = None  # ready, but the card has asked for more time

    def receive(self, frame: bytes) -> Reply | None:
        """Answer a reader's frame, or stay silent."""
        if self.deselected or not frame or len(frame) > frame_bytes(FSCI) - CRC_BYTES:
            return None
        pcb, inf = frame[0], frame[1:]
        with_cid = pcb & WITH_CID
        if (inf[0] if with_cid and inf else 0) != self._cid:
            return None  # for another card
        self._room = self._fsd - CRC_BYTES - (2 if with_cid else 1)
        reply = self._block(pcb & ~WITH_CID, inf[1:] if with_cid else inf)
        if reply and with_cid:
            block = bytes([reply.data[0] | WITH_CID, self._cid]) + reply.data[1:]
            return reply._replace(data=block)
        return reply

    def _block(self, pcb: int, inf: bytes) -> Reply | None:
        if pcb & 0xEE == 0x02:
            return self._information(inf, chaining=bool(pcb & CHAINING))
        if pcb & 0xEE == ACK_BLOCK:
            return self._acknowledgement(pcb & 1, nak=bool(pcb & NAK))
        if pcb == WTX and self._thinking:
            return self._think(self._thinking)
        if pcb == DESELECT:
            self.deselected = True
            return Reply(bytes([DESELECT]))
        return None

    def _information(self, inf: bytes, *, chaining: bool) -> Reply | None:
        if len(self._command) + len(inf) > COMMAND_BYTES_MAX:
            return None
        self._number ^= 1  # rule D
        self._command += inf
        if chaining:
            return self._send(Reply(bytes([ACK_BLOCK | self._number])))  # rule 2
        command, self._command = bytes(self._command), bytearray()
        self._answer, cpu_us = self._application(command)
        return self._think(Reply(self._next_block(), cpu_us))

    def _acknowledgement(self, number: int, *, nak: bool) -> Reply | None:
        if number == self._number:
            return Reply(self._last) if self._last else None  # rule 11
        if nak:
            return Reply(bytes([ACK_BLOCK | self._number]))  # rule 12
        if not self._answer:
            return None
        self._number ^= 1  # rules E and 13
        return self._send(Reply(self._next_block()))

    def _next_block(self) -> bytes:
        inf, self._answer = self._answer[: self._room], self._answer[self._room :]
        return bytes([0x02 | (CHAINING if self._answer else 0) | self._number]) + inf

    def _think(self, ready: Reply) -> Reply:
        if ready.cpu_us <= self._wtx_us:
            self._thinking = None
            return self._send(ready)
        asks_after_us = round(self._wtx_us)
        self._thinking = ready._replace(cpu_us=ready.cpu_us - asks_after_us)
        return self._send(Reply(bytes([WTX, WTXM]), asks_after_us))

    def _send(self, reply: Reply) -> Reply:
        self._last = reply.data
        return reply
