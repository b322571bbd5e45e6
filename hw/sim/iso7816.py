"""What a chip card does with an APDU (ISO/IEC 7816-4): applications, files, PINs, status words.

Only what a reader without a PIN can meet, and the PIN itself, so that a test can show that nobody
asks for it: SELECT, READ BINARY, READ RECORD, VERIFY. The status words are those that public
readers of the My Number Card report (OpenSC card-jpki.c, jpki/myna, soltia48/myna-card).
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

# An APDU log keeps the latest; a card that lies on a reader all day must not fill the memory.
LOG_MAX = 1000


class Status(IntEnum):
    """Status words (ISO/IEC 7816-4, 5.6)."""

    OK = 0x9000
    TRIES_LEFT = 0x63C0  # the low digit is the number of tries
    WRONG_LENGTH = 0x6700
    WRONG_STRUCTURE = 0x6981
    NOT_ALLOWED = 0x6982
    PIN_BLOCKED = 0x6984
    NO_FILE_SELECTED = 0x6986
    NOT_FOUND = 0x6A82
    NO_SUCH_RECORD = 0x6A83
    WRONG_P1_P2 = 0x6A86
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


@dataclass(frozen=True)
class Binary:
    """A transparent file; `pins` names the PIN files of which one must have been verified."""

    data: bytes
    pins: tuple[int, ...] = ()


@dataclass(frozen=True)
class Records:
    """A file of records, numbered from 1."""

    records: tuple[bytes, ...]


@dataclass
class Pin:
    """A PIN with its tries. The count outlives the field, as on a real card."""

    value: bytes
    tries: int
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.tries


File = Binary | Records | Pin
Application = Mapping[int, File]


class FileSystem:
    """The applications of one card and the state that a reader has brought them into.

    `wrong_status` maps an instruction byte to the status word that this (faulty) card always
    answers it with. `log` holds the latest (command, answer) pairs, `LOG_MAX` at most.
    """

    def __init__(
        self,
        applications: Mapping[bytes, Application],
        wrong_status: Mapping[int, int] | None = None,
    ) -> None:
        self.log: deque[tuple[bytes, bytes]] = deque(maxlen=LOG_MAX)
        self._applications = applications
        self._wrong_status = wrong_status or {}
        self._instructions = {
            0xA4: self._select,
            0xB0: self._read_binary,
            0xB2: self._read_record,
            0x20: self._verify,
        }
        self.reset()

    def reset(self) -> None:
        """Forget selection and verified PINs: the card lost its power."""
        self._enter({})

    def process(self, apdu: bytes) -> bytes:
        """Answer an APDU with data and status word; never raises."""
        try:
            answer = self._execute(Command.parse(apdu)) + Status.OK.to_bytes(2, "big")
        except StatusError as error:
            answer = error.status.to_bytes(2, "big")
        self.log.append((apdu, answer))
        return answer

    def _execute(self, command: Command) -> bytes:
        if command.ins in self._wrong_status:
            raise StatusError(self._wrong_status[command.ins])
        if command.cla != 0:
            raise StatusError(Status.UNKNOWN_CLASS)
        if command.ins not in self._instructions:
            raise StatusError(Status.UNKNOWN_INSTRUCTION)
        return self._instructions[command.ins](command)

    def _enter(self, application: Application) -> None:
        self._application = application
        self._current: int | None = None
        self._verified: set[int] = set()

    def _select(self, command: Command) -> bytes:
        if command.p1 == 0x04:
            if command.data not in self._applications:
                raise StatusError(Status.NOT_FOUND)
            self._enter(self._applications[command.data])
        elif command.p1 == 0x02:
            fid = int.from_bytes(command.data, "big")
            self._file(fid)
            self._current = fid
        else:
            raise StatusError(Status.WRONG_P1_P2)
        return b""

    def _read_binary(self, command: Command) -> bytes:
        if command.p1 & 0x80:  # P1 names a file by its short id, P2 alone is the offset
            self._current, offset = command.p1 & 0x1F, command.p2
        else:
            offset = command.p1 << 8 | command.p2
        file = self._file(self._current)
        if not isinstance(file, Binary):
            raise StatusError(Status.WRONG_STRUCTURE)
        if file.pins and self._verified.isdisjoint(file.pins):
            raise StatusError(Status.NOT_ALLOWED)
        if not command.le:
            raise StatusError(Status.WRONG_LENGTH)
        if offset >= len(file.data):
            raise StatusError(Status.WRONG_OFFSET)
        return file.data[offset : offset + command.le]

    def _read_record(self, command: Command) -> bytes:
        if command.p2 & 0x07 != 0x04:  # only «the record whose number is P1»
            raise StatusError(Status.WRONG_P1_P2)
        self._current = command.p2 >> 3 or self._current
        file = self._file(self._current)
        if not isinstance(file, Records):
            raise StatusError(Status.WRONG_STRUCTURE)
        if not 1 <= command.p1 <= len(file.records):
            raise StatusError(Status.NO_SUCH_RECORD)
        return file.records[command.p1 - 1][: command.le]

    def _verify(self, command: Command) -> bytes:
        """Compare a PIN with the selected one; without data only tell the tries that are left."""
        pin = self._file(self._current)
        if not isinstance(pin, Pin) or self._current is None:
            raise StatusError(Status.WRONG_STRUCTURE)
        if not command.data:
            raise StatusError(Status.TRIES_LEFT | pin.left)
        if pin.left == 0:
            raise StatusError(Status.PIN_BLOCKED)
        if command.data != pin.value:
            pin.left -= 1
            raise StatusError(Status.TRIES_LEFT | pin.left)
        pin.left = pin.tries
        self._verified.add(self._current)
        return b""

    def _file(self, fid: int | None) -> File:
        if fid is None:
            raise StatusError(Status.NO_FILE_SELECTED)
        if fid not in self._application:
            raise StatusError(Status.NOT_FOUND)
        return self._application[fid]
