"""The cards that the PN532's firmware has found and talks to itself (UM0701-02, 7.3.8 to 7.3.12).

Of a card behind ISO/IEC 14443-4 the firmware takes and gives whole APDUs; any other one gets the
host's bytes as they are.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from hw.sim.isodep import DESELECT, WITH_CID
from hw.sim.pcd import Blocks, NoAnswer, frame_waiting_us
from hw.sim.pn532_listing import ANSWER_US, HALT, Found
from hw.sim.pn532_radio import Radio, RadioError

OK: Final = b"\x00"
PROTOCOL_ERROR: Final = b"\x0b"
WRONG_CONTEXT: Final = b"\x27"  # «not acceptable in the current context»: there is no such target
MORE: Final = 0x40  # in a target's number: the data goes on; in a status: there is more to fetch
DATA_BYTES_MAX: Final = 262  # in one InDataExchange, either way (7.3.8)
CHAINED_BYTES_MAX: Final = 65544  # the longest APDU; a host that goes on has lost its way
ALL: Final = 0


class Targets:
    """The targets of one radio, numbered from 1. Answers begin with their status byte."""

    def __init__(self, radio: Radio, found: Sequence[Found] = ()) -> None:
        self.found = dict(enumerate(found, 1))
        self._radio = radio
        self._blocks = {
            number: Blocks(self._carrier(target), target.blocks)
            for number, target in self.found.items()
            if target.blocks
        }
        self._begun = b""  # data of the host that goes on
        self._left = b""  # data of a card that the host has not fetched

    def exchange(self, number: int, data: bytes, timeout_us: float) -> bytes:
        """Answer InDataExchange: `number` is a target's, with MORE when the data goes on."""
        goes_on, number = bool(number & MORE), number & ~MORE
        data, self._begun = self._begun + data, b""
        if number not in self.found or len(data) > CHAINED_BYTES_MAX:
            return WRONG_CONTEXT
        if goes_on:
            self._begun = data
            return OK
        if self._left and not data:
            return self._piece(self._left)
        try:
            return self._piece(self._exchange(number, data, timeout_us))
        except RadioError as error:
            return bytes([error.status])
        except NoAnswer:
            return PROTOCOL_ERROR

    def _exchange(self, number: int, data: bytes, timeout_us: float) -> bytes:
        if blocks := self._blocks.get(number):
            return blocks.transceive(data)
        return self._radio.exchange(self.found[number].technology, data, timeout_us)

    def _piece(self, data: bytes) -> bytes:
        """A status and as much as fits; the host fetches the rest with no data of its own."""
        self._left = data[DATA_BYTES_MAX:]
        return bytes([MORE if self._left else 0]) + data[:DATA_BYTES_MAX]

    def _carrier(self, target: Found) -> Callable[[str, bytes], bytes]:
        """How blocks go to a target: with its CID, of which `Blocks` knows nothing."""
        waiting_us = frame_waiting_us(target.blocks.fwi) if target.blocks else 0

        def carry(technology: str, block: bytes) -> bytes:
            if target.cid is None:
                return self._radio.exchange(technology, block, waiting_us)
            numbered = bytes([block[0] | WITH_CID, target.cid]) + block[1:]
            answer = self._radio.exchange(technology, numbered, waiting_us)
            if not answer[0] & WITH_CID:
                return answer
            return bytes([answer[0] & ~WITH_CID]) + answer[2:]

        return carry

    def deselect(self, number: int, *, release: bool) -> bytes:
        """Answer InDeselect or InRelease of one target, or of ALL."""
        if number != ALL and number not in self.found:
            return WRONG_CONTEXT
        for one in [number] if number != ALL else list(self.found):
            self._send_away(self.found[one])
            if release:
                del self.found[one]
        return OK

    def _send_away(self, target: Found) -> None:
        """S(DESELECT) or HLTA; whether the card hears it makes no difference to the host."""
        if target.blocks:
            with contextlib.suppress(RadioError):
                self._carrier(target)(target.technology, bytes([DESELECT]))
        elif target.technology[-1] == "A":
            self._radio.ask(target.technology, HALT, ANSWER_US)
