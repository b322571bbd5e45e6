"""What a chip card does with an APDU (ISO/IEC 7816-4): applications, files, PINs, keys.

Upheld, whatever is sent: an answer with a status word, never an exception · a PIN's tries grow
only by the right PIN · what lies behind a PIN is given only while that PIN is verified, and it is
verified no longer once an application is selected, a wrong PIN is given or the field goes off.
The commands are those that public readers of the My Number Card send; it offers no GET RESPONSE
and no 61xx: a long answer comes in one piece (OpenSC card-jpki.c, soltia48/myna-card card.rs).
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from hw.sim.apdu import CHAINING, Command, Status, StatusError
from hw.sim.files import SCHEMES, Application, Binary, File, Pin, PrivateKey, Records

# An APDU log keeps the latest; a card that lies on a reader all day must not fill the memory.
LOG_MAX: Final = 1000
# Of a command put together from a chain: the longest that public readers send has 307 bytes.
DATA_BYTES_MAX: Final = 4096

CURRENT: Final = 0x80  # in P2: the current file, or with its low five bits a file by its short id
SHORT_ID: Final = 0x1F
CHALLENGE_BYTES_MAX: Final = 255  # soltia48/myna-card card.rs


class FileSystem:
    """The applications of one card by name, and the state that a reader has brought them into.

    `at_power_on` is what is selected before any name is; with `has_mf` it is a master file that
    can be selected again without a name. `wrong_status` maps an instruction byte to the status
    word that this (faulty) card always answers it with. `log` holds the latest (command, answer)
    pairs, `LOG_MAX` at most.
    """

    def __init__(
        self,
        applications: Mapping[bytes, Application],
        at_power_on: Application | None = None,
        *,
        has_mf: bool = False,
        wrong_status: Mapping[int, int] | None = None,
    ) -> None:
        self.log: deque[tuple[bytes, bytes]] = deque(maxlen=LOG_MAX)
        self._applications = applications
        self._at_power_on = at_power_on or Application()
        self._has_mf = has_mf
        self._wrong_status = wrong_status or {}
        self._instructions: dict[tuple[int, int], Callable[[Command], bytes]] = {
            (0x00, 0xA4): self._select,
            (0x00, 0xB0): self._read_binary,
            (0x00, 0xB2): self._read_record,
            (0x00, 0x20): self._verify,
            (0x00, 0xCA): self._get_data,
            (0x00, 0x88): self._internal_authenticate,
            (0x80, 0x2A): self._compute_signature,
        }
        self.reset()

    def reset(self) -> None:
        """Forget selection, chain and verified PINs: the card lost its power."""
        self._chain: Command | None = None
        self._enter(self._at_power_on)
        _forget((self._at_power_on, *self._applications.values()))

    def process(self, apdu: bytes) -> bytes:
        """Answer an APDU with data and status word; never raises."""
        begun, self._chain = self._chain, None
        try:
            answer = self._execute(Command.parse(apdu), begun) + Status.OK.to_bytes(2, "big")
        except StatusError as error:
            answer = error.status.to_bytes(2, "big")
        self.log.append((apdu, answer))
        return answer

    def _execute(self, command: Command, begun: Command | None) -> bytes:
        if command.ins in self._wrong_status:
            raise StatusError(self._wrong_status[command.ins])
        instruction = self._instruction(command)
        whole = self._join(command, begun)
        return instruction(whole) if whole else b""

    def _instruction(self, command: Command) -> Callable[[Command], bytes]:
        if command.cla & 0x03:
            raise StatusError(Status.NO_CHANNELS)
        if command.cla & 0x0C:
            raise StatusError(Status.NO_SECURE_MESSAGING)
        if command.cla & ~CHAINING not in (0x00, 0x80):
            raise StatusError(Status.UNKNOWN_CLASS)
        if found := self._instructions.get(command.kind[:2]):
            return found
        known = any(command.ins == ins for _, ins in self._instructions)
        raise StatusError(Status.UNKNOWN_CLASS if known else Status.UNKNOWN_INSTRUCTION)

    def _join(self, command: Command, begun: Command | None) -> Command | None:
        """Put a command behind the chain that was begun; None while more follow."""
        if begun:
            if command.kind != begun.kind:
                raise StatusError(Status.CHAIN_BROKEN)
            command = replace(command, data=begun.data + command.data)
        if len(command.data) > DATA_BYTES_MAX:
            raise StatusError(Status.WRONG_LENGTH)
        if command.cla & CHAINING:
            self._chain = command
            return None
        return command

    def _enter(self, application: Application) -> None:
        self._application = application
        self._current: int | None = None

    def _select(self, command: Command) -> bytes:
        if command.p1 == 0x04:
            self._select_name(command.data)
        elif command.p1 == 0x02:
            if len(command.data) != 2:
                raise StatusError(Status.WRONG_LENGTH)
            self._select_file(int.from_bytes(command.data, "big"))
        elif command.p1 == 0x00:
            self._select_mf(command.data)
        else:
            raise StatusError(Status.WRONG_P1_P2)
        return b""

    def _select_name(self, name: bytes) -> None:
        if name not in self._applications:
            raise StatusError(Status.NOT_FOUND)
        self._enter(self._applications[name])
        _forget(self._applications.values())

    def _select_mf(self, fid: bytes) -> None:
        """The My Number Card has no MF; within an application it says 9000 and does nothing."""
        if self._has_mf and fid in (b"", b"\x3f\x00"):
            self._enter(self._at_power_on)
        elif fid:
            raise StatusError(Status.NOT_FOUND)
        elif self._application is self._at_power_on:
            raise StatusError(Status.WRONG_P1_P2)

    def _select_file(self, fid: int) -> File:
        """Make a file the current one."""
        if fid not in self._application.files:
            raise StatusError(Status.NOT_FOUND)
        self._current = fid
        return self._application.files[fid]

    def _file(self, short_id: int) -> File:
        """The file with a short id, which becomes the current one; for 0 the current one."""
        if short_id:
            return self._select_file(short_id)
        if self._current is None:
            raise StatusError(Status.NO_FILE_SELECTED)
        return self._application.files[self._current]

    def _referenced(self, p2: int) -> File:
        if p2 & ~SHORT_ID != CURRENT:
            raise StatusError(Status.WRONG_P1_P2)
        return self._file(p2 & SHORT_ID)

    def _read_binary(self, command: Command) -> bytes:
        if command.p1 & CURRENT:  # P1 names a file by its short id, P2 alone is the offset
            file, offset = self._referenced(command.p1), command.p2
        else:
            file, offset = self._file(0), command.p1 << 8 | command.p2
        if not isinstance(file, Binary):
            raise StatusError(Status.WRONG_STRUCTURE)
        file.check()
        if offset >= len(file.data):
            raise StatusError(Status.WRONG_OFFSET)
        return _cut(file.data[offset:], command)

    def _read_record(self, command: Command) -> bytes:
        """P2 says «the record P1», or «all records from P1 on»."""
        if command.p2 & 0x07 not in (0x04, 0x05):
            raise StatusError(Status.WRONG_P1_P2)
        file = self._file(command.p2 >> 3)
        if not isinstance(file, Records):
            raise StatusError(Status.WRONG_STRUCTURE)
        if not 1 <= command.p1 <= len(file.records):
            raise StatusError(Status.NO_SUCH_RECORD)
        last = command.p1 if command.p2 & 0x07 == 0x04 else None
        return _cut(b"".join(file.records[command.p1 - 1 : last]), command)

    def _get_data(self, command: Command) -> bytes:
        """Give the data object of the selected application whose tag is P1 and P2."""
        tag = command.p1 << 8 | command.p2
        if tag not in self._application.objects:
            raise StatusError(Status.NO_SUCH_OBJECT)
        return _cut(self._application.objects[tag], command)

    def _verify(self, command: Command) -> bytes:
        """Compare a PIN; without data only tell the tries that are left."""
        if command.p1:
            raise StatusError(Status.WRONG_P1_P2)
        pin = self._referenced(command.p2)
        if not isinstance(pin, Pin):
            raise StatusError(Status.WRONG_STRUCTURE)
        if not command.data:
            raise StatusError(Status.TRIES_LEFT | pin.left)
        pin.present(command.data)
        return b""

    def _compute_signature(self, command: Command) -> bytes:
        """Sign by the key that P2 names, for 0 by the one that the application has free for all."""
        key = self._key(self._referenced(command.p2) if command.p2 else self._free_key())
        if key.authenticates:
            raise StatusError(Status.NOT_FOR_THIS)
        if command.p1 not in SCHEMES:
            raise StatusError(Status.WRONG_P1_P2)
        if not command.data:
            raise StatusError(Status.WRONG_LENGTH)
        return _cut(key.sign(command.p1, command.data), command)

    def _internal_authenticate(self, command: Command) -> bytes:
        """Sign a challenge, as a message that the card hashes."""
        if command.p1:
            raise StatusError(Status.WRONG_P1_P2)
        key = self._key(self._referenced(command.p2))
        if not key.authenticates:
            raise StatusError(Status.NOT_FOR_THIS)
        if not 1 <= len(command.data) <= CHALLENGE_BYTES_MAX:
            raise StatusError(Status.WRONG_LENGTH)
        return _cut(key.sign(0x03, command.data), command)

    def _key(self, file: File | None) -> PrivateKey:
        if not isinstance(file, PrivateKey):
            raise StatusError(Status.NO_SUCH_OBJECT)
        file.check()
        return file

    def _free_key(self) -> File | None:
        keys = (file for file in self._application.files.values() if isinstance(file, PrivateKey))
        return next((key for key in keys if key.free), None)


def _cut(answer: bytes, command: Command) -> bytes:
    """As much as the reader expects; it must expect something."""
    if not command.le:
        raise StatusError(Status.WRONG_LENGTH)
    return answer[: command.le]


def _forget(applications: Iterable[Application]) -> None:
    """Take their PINs as not verified."""
    for application in applications:
        for file in application.files.values():
            if isinstance(file, Pin):
                file.verified = False
