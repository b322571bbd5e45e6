"""A simulated My Number Card's chip, met APDU by APDU without anything in between."""

from collections.abc import Callable
from datetime import UTC, date, datetime

from hw.sim.chipdata import ChipData, Holder, Secrets
from hw.sim.mynumber import MyNumberCard

DATA = ChipData(
    serial="012345678901234",
    municipality="13221",
    expires=date(2034, 3, 31),
    certificate_serial=0x1234ABCD,
    not_before=datetime(2025, 4, 1, 3, 0, 0, tzinfo=UTC),
    not_after=datetime(2030, 3, 31, 14, 59, 59, tzinfo=UTC),
    holder=Holder("黒田　太郎", "見本県見本市１－２－３", date(1980, 2, 17), "1"),
    secrets=Secrets(b"4321", b"PASSWORD1234", b"2468", b"1357"),
)
BIRTH_CODE = b"550217"  # Showa 55
CODE_B = BIRTH_CODE + b"2034" + b"2285"

Send = Callable[..., bytes]
"""Sends APDUs, as bytes or in hex, and gives the last answer."""


def connected(card: MyNumberCard) -> Send:
    """Switch a card on."""
    card.chip.files.reset()

    def send(*apdus: bytes | str) -> bytes:
        for apdu in apdus:
            command = bytes.fromhex(apdu) if isinstance(apdu, str) else apdu
            answer = card.chip.files.process(command)
        return answer

    return send


def select(aid: bytes) -> bytes:
    """SELECT an application by its name."""
    return bytes.fromhex("00A4040C") + bytes([len(aid)]) + aid


def select_file(fid: int) -> bytes:
    """SELECT a file of the application."""
    return bytes.fromhex("00A4020C02") + fid.to_bytes(2, "big")


def verify(value: bytes, short_id: int = 0) -> bytes:
    """VERIFY the current PIN, or the one with a short id."""
    return bytes([0x00, 0x20, 0x00, 0x80 | short_id, len(value)]) + value


def read_all(short_id: int) -> bytes:
    """READ BINARY of a whole file by its short id, extended length."""
    return bytes([0x00, 0xB0, 0x80 | short_id, 0x00, 0x00, 0x00, 0x00])


def read(send: Send, short_id: int) -> bytes:
    """Read a whole file that is open."""
    answer = send(read_all(short_id))
    assert answer[-2:] == b"\x90\x00"
    return answer[:-2]
