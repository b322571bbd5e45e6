"""The link between the agent and the reader head: frames, and all that can be said in them.

    COBS(kind u8 · seq u8 · op u8 · payload · CRC-32 of what stands before, little-endian) · 00

This file runs unchanged under CPython and, as the flat module `headlink`, under MicroPython on the
head: what one side can say the other knows. So it imports struct and binascii alone, and nothing in
it is only for one of them. COBS: Cheshire and Baker, «Consistent Overhead Byte Stuffing», 1999;
CRC-32 is that of zlib, which both have in C.

Rules: one request is outstanding · a request may be sent again at any time in the same bytes: it is
done once, and answered from `Memory` · a head that has begun anew, and so forgotten, does nothing
before HELLO · an operation that the head does not know is answered with
an error, so an old head works with a new agent · what an event tells is a state that can be asked
for too, so a lost one heals · damaged bytes are counted and passed over up to the next zero.
"""

import struct
from binascii import crc32

PROTOCOL = 1
"""Said by HELLO; another one is for an agent and a head that must be updated together."""

REQUEST, RESPONSE, EVENT, ERROR = 1, 2, 3, 4
"""Kinds of a frame. An ERROR answers a request; its payload is one byte of the errors below."""

UNKNOWN, MALFORMED, NOT_NOW, SILENT, GARBLED, NO_COMMAND, NO_HELLO = 1, 2, 3, 4, 5, 6, 7
"""Errors: no such operation here; not its payload; not in this state, as a second pulse while one
lasts; of the NFC chip: no answer in time; nothing but damaged ones; it knows no such command; the
head has begun anew and nobody has said HELLO yet, so nothing is done that may have been done."""

PAYLOAD_MAX = 288
"""Bytes. An extended frame of the PN532 carries 264 of data (UM0701-02, 6.2.1.2); a piece of an
update 256 after its offset."""
BODY_MAX = 3 + PAYLOAD_MAX + 4
WIRE_MAX = BODY_MAX + BODY_MAX // 254 + 2
"""Bytes of a frame on the line, the zero included: one more each 254, and one."""

MEANINGS = ("ready", "reading", "yes", "no", "repeat", "hold-again", "offline", "fault", "off")
"""What lamp and buzzer can mean, by the number in SHOW; how each looks and sounds is the head's."""

STAY, OFF, CYCLE = 0, 1, 2
"""What POWER asks for: keep the computer on; it is shutting down, cut its supply when it is gone;
cut and give it again."""


class Damaged(ValueError):
    """These bytes are no frame, or not of the operation."""


class Refused(Exception):
    """A request is answered with this error, a number of the above, and nothing was done."""

    def __init__(self, error: int) -> None:
        super().__init__(error)
        self.error = error


class Op:
    """One operation: what is asked and what answered, each a struct and, where named, bytes after.

    `asked` and `answered` are formats of struct, little-endian; `bytes_after` names which of the
    two has a tail: "", "asked", "answered", "both". Of an event only `answered` is used.
    """

    def __init__(
        self, name: str, code: int, asked: str = "", answered: str = "", bytes_after: str = ""
    ) -> None:
        self.name = name
        self.code = code
        self.asked = "<" + asked
        self.answered = "<" + answered
        self.tail_asked = bytes_after in ("asked", "both")
        self.tail_answered = bytes_after in ("answered", "both")

    def ask(self, *values: object, tail: bytes = b"") -> bytes:
        """Return the payload of a request. Raises ValueError for a tail that it has not got."""
        return _payload(self.asked, values, tail, self.tail_asked)

    def answer(self, *values: object, tail: bytes = b"") -> bytes:
        """Return the payload of a response or an event. Raises ValueError as `ask` does."""
        return _payload(self.answered, values, tail, self.tail_answered)

    def read_asked(self, payload: bytes) -> tuple:  # type: ignore[type-arg]
        """Return the values of a request, the tail last where it has one. Raises Damaged."""
        return _values(self.asked, payload, self.tail_asked)

    def read_answered(self, payload: bytes) -> tuple:  # type: ignore[type-arg]
        """Return the values of a response or an event, likewise. Raises Damaged."""
        return _values(self.answered, payload, self.tail_answered)


def _payload(form: str, values: tuple, tail: bytes, has_tail: bool) -> bytes:  # type: ignore[type-arg]
    if tail and not has_tail:
        raise ValueError("this operation has no bytes after its values")
    packed = struct.pack(form, *values) + tail
    if len(packed) > PAYLOAD_MAX:
        raise ValueError(f"{len(packed)} bytes of payload; at most {PAYLOAD_MAX}")
    return packed


def _values(form: str, payload: bytes, has_tail: bool) -> tuple:  # type: ignore[type-arg]
    size = struct.calcsize(form)
    if len(payload) < size or (len(payload) > size and not has_tail):
        raise Damaged(f"{len(payload)} bytes where {size} are expected")
    values = struct.unpack(form, payload[:size])
    return values + (payload[size:],) if has_tail else values


# --- what can be said ----------------------------------------------------------------------------

HELLO = Op("hello", 0x01, answered="BBBBBBI8s")
"""First of all, since whoever opens a line has lost what came before: protocol, firmware (three
numbers), board revision, why it last began (RESETS), ms since then, the chip's own number."""
RESETS = ("power-on", "watchdog")
"""The second is also that of a restart of its own, as after an update."""
PING = Op("ping", 0x02, answered="I")
"""The computer lives: ms since the head began. Any request says so too."""

NFC = Op("nfc", 0x10, asked="H", bytes_after="both")
"""One command of the PN532, without frame, within so many ms; its answer likewise."""
NFC_RESET = Op("nfc-reset", 0x11, asked="I", bytes_after="answered")
"""Pull the chip's reset line, and bring it to where commands are taken at this speed of its line in
bits per second; its answer to GetFirmwareVersion."""
NFC_SPEEDS = (115_200, 230_400, 460_800, 921_600)
NFC_POLL = Op("nfc-poll", 0x12, asked="B")
"""1: ask for Type B cards with what is loaded in the chip, over and over, until one answers, which
CARD says; 0: no more. NFC and NFC_RESET end it too."""

SHOW = Op("show", 0x20, asked="BB")
"""A number of MEANINGS; with its sound (1) or without (0)."""
RELAY = Op("relay", 0x21, asked="H")
"""Close the relay for so many ms, once: at most RELAY_MS_MAX."""
RELAY_MS_MAX = 10_000
"""A door's opener; what stays closed for longer is a fault."""

SENSE = Op("sense", 0x30, answered="BBhHB")
"""Ignition (1: on), tamper (1: opened), tenths of °C, mV of supply, faults (bits). That the box was
opened, and a fault, are kept until SENSE has told them."""
FAULTS = ("too-hot", "fell-back", "was-cut")
"""From the lowest bit: the head is hotter than it is made for; an update did not report healthy,
and the former firmware runs; the computer was cut for its silence."""
WATCH_S_MIN = 30
"""A computer that lives asks more often; less would cut one that only thinks."""
POWER = Op("power", 0x31, asked="B")
WATCH = Op("watch", 0x32, asked="H")
"""Without a request for so many seconds the computer hangs, and its supply is cut; 0: never."""

UPDATE_BEGIN = Op("update-begin", 0x40, asked="I32s")
"""Bytes and SHA-256 of what comes, for the slot that is not in use."""
UPDATE_DATA = Op("update-data", 0x41, asked="I", bytes_after="asked")
"""A piece at an offset, in order."""
UPDATE_END = Op("update-end", 0x42)
"""All is there: check the hash, and begin from it once."""
HEALTHY = Op("healthy", 0x43)
"""What runs now is to be begun from now on; without it the former comes back."""

CARD = Op("card", 0x80, answered="B", bytes_after="answered")
"""A card answered: how many were said, modulo 256, and its ATQB."""
STATE = Op("state", 0x81, answered="BBhHB")
"""What SENSE answers, when something of it has changed."""

_DAILY = (HELLO, PING, NFC, NFC_RESET, NFC_POLL, SHOW, RELAY, SENSE, POWER, WATCH)
OPS = _DAILY + (UPDATE_BEGIN, UPDATE_DATA, UPDATE_END, HEALTHY)
"""What can be asked for."""
EVENTS = (CARD, STATE)
BY_CODE = {op.code: op for op in OPS + EVENTS}


# --- frames --------------------------------------------------------------------------------------


def pack(kind: int, seq: int, op: int, payload: bytes) -> bytes:
    """Return a frame as it goes over the line, its zero included.

    `kind`, `seq` and `op` are 0 to 255. Raises ValueError for too long a payload.
    """
    if len(payload) > PAYLOAD_MAX:
        raise ValueError(f"{len(payload)} bytes of payload; at most {PAYLOAD_MAX}")
    body = bytes((kind, seq, op)) + payload
    return stuff(body + struct.pack("<I", crc32(body))) + b"\0"


def unpack(line: bytes) -> tuple:  # type: ignore[type-arg]
    """Return kind, seq, op and payload of what stood between two zeros. Raises Damaged."""
    body = unstuff(line)
    if not 7 <= len(body) <= BODY_MAX:
        raise Damaged(f"{len(body)} bytes are no frame")
    if struct.unpack("<I", body[-4:])[0] != crc32(body[:-4]):
        raise Damaged("the checksum is another one")
    return body[0], body[1], body[2], body[3:-4]


def stuff(body: bytes) -> bytes:
    """Return bytes without a zero among them (COBS)."""
    out, start = bytearray(), 0
    while True:
        zero = body.find(b"\0", start)
        end = len(body) if zero < 0 else zero
        while end - start >= 254:
            out.append(255)
            out += body[start : start + 254]
            start += 254
        out.append(end - start + 1)
        out += body[start:end]
        if zero < 0:
            return bytes(out)
        start = zero + 1


def unstuff(line: bytes) -> bytes:
    """Return what was stuffed. Raises Damaged."""
    out, at = bytearray(), 0
    while at < len(line):
        code = line[at]
        end = at + code
        if code == 0 or end > len(line):
            raise Damaged("a block that ends nowhere")
        out += line[at + 1 : end]
        at = end
        if code < 255 and at < len(line):
            out.append(0)
    return bytes(out)


class Stream:
    """Makes frames of bytes as they come, in whatever pieces."""

    def __init__(self) -> None:
        self._line = b""
        self._skipping = False
        self.damaged = 0
        """What stood between two zeros and was no frame, or went on for too long."""

    def feed(self, data: bytes) -> list:  # type: ignore[type-arg]
        """Return the frames that are whole now: kind, seq, op, payload."""
        found = []
        pieces = (self._line + data).split(b"\0")
        for line in pieces[:-1]:
            if self._skipping:  # the end of what was too long, and was counted then
                self._skipping = False
            elif line:  # zeros may stand between frames
                try:
                    found.append(unpack(line))
                except Damaged:
                    self.damaged += 1
        self._line = pieces[-1]
        if len(self._line) >= WIRE_MAX:
            if not self._skipping:
                self.damaged += 1
            self._line, self._skipping = b"", True
        return found


class Memory:
    """The head's: what it answered last, so that a request that comes again is not done again."""

    def __init__(self) -> None:
        self._asked = (0, 0, 0, b"")
        self._answered = b""

    def recall(self, asked: tuple) -> bytes:  # type: ignore[type-arg]
        """Return what this request (as `unpack` gives it) was answered; empty: it is a new one."""
        return self._answered if asked == self._asked else b""

    def keep(self, asked: tuple, answered: bytes) -> bytes:  # type: ignore[type-arg]
        """Keep an answer as it went over the line, and return it."""
        self._asked, self._answered = asked, answered
        return answered
