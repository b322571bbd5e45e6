"""Command APDUs taken apart, and the status words that answer them (ISO/IEC 7816-4, 5)."""

from dataclasses import dataclass
from enum import IntEnum

CHAINING = 0x10  # in CLA: more of the same command follows (5.4.1)


class Status(IntEnum):
    """Status words; those of the My Number Card as its public readers met them.

    OpenSC card-jpki.c, jpki/myna reader.rs, soltia48/myna-card apdu.rs and card.rs.
    """

    OK = 0x9000
    TRIES_LEFT = 0x63C0  # the low digit is the number of tries
    WRONG_LENGTH = 0x6700
    NO_CHANNELS = 0x6881
    NO_SECURE_MESSAGING = 0x6882
    CHAIN_BROKEN = 0x6883
    WRONG_STRUCTURE = 0x6981
    NOT_ALLOWED = 0x6982
    PIN_BLOCKED = 0x6984
    NOT_FOR_THIS = 0x6985
    NO_FILE_SELECTED = 0x6986
    NOT_FOUND = 0x6A82
    NO_SUCH_RECORD = 0x6A83
    WRONG_P1_P2 = 0x6A86
    NO_SUCH_OBJECT = 0x6A88
    WRONG_OFFSET = 0x6B00
    UNKNOWN_INSTRUCTION = 0x6D00
    UNKNOWN_CLASS = 0x6E00


class StatusError(Exception):
    """The card answers an APDU with this status word and no data."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status word {status:04X}")
        self.status = status


@dataclass(frozen=True)
class Command:
    """A command APDU, short or extended, taken apart. `le` is 0 when no answer is expected."""

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes
    le: int

    @classmethod
    def parse(cls, apdu: bytes) -> "Command":
        """Take an APDU apart (ISO/IEC 7816-4, 5.2). Raises StatusError 6700 if its lengths lie."""
        if len(apdu) < 4:
            raise StatusError(Status.WRONG_LENGTH)
        header, body = apdu[:4], apdu[4:]
        extended = len(body) > 1 and body[0] == 0
        width = 2 if extended else 1
        if extended:
            body = body[1:]
        data = b""
        if len(body) > width:
            lc = int.from_bytes(body[:width], "big")
            data, body = body[width : width + lc], body[width + lc :]
            if lc == 0 or len(data) < lc:
                raise StatusError(Status.WRONG_LENGTH)
        if len(body) not in (0, width):
            raise StatusError(Status.WRONG_LENGTH)
        le = (int.from_bytes(body, "big") or 1 << 8 * width) if body else 0
        cla, ins, p1, p2 = header
        return cls(cla, ins, p1, p2, data, le)

    @property
    def kind(self) -> tuple[int, int, int, int]:
        """What the commands of a chain share: CLA but for its chaining bit, INS, P1, P2."""
        return self.cla & ~CHAINING, self.ins, self.p1, self.p2
