"""The staff's number (暗証番号) that opens the day's list and the pairing of tablets.

Rules: it is kept as a salted slow hash, durably and for the reader's own eyes (0600) · after five
failures in a row nobody may try for five minutes, and switching the reader off does not help · it
opens for one device and five minutes. It keeps riders and passers-by out of the list; whoever holds
the reader's disk finds it in a moment (ten thousand numbers), and has the journal anyway.
"""

import hashlib
import hmac
import logging
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from edge.durable import replace_file

FILE: Final = "pin.json"
FORM: Final = "[0-9]{4,8}"
FAILURES_MAX: Final = 5
PAUSE_S: Final = 300.0
OPEN_S: Final = 300.0
"""For reading a list and taking a ride back."""
SALT_BYTES: Final = 16
_COST: Final = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}
"""16 MB and some 0.2 s of a Raspberry Pi (RFC 7914, 2, for interactive use)."""

_log = logging.getLogger(__name__)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    salt: Annotated[bytes, Meta(min_length=SALT_BYTES, max_length=SALT_BYTES)]
    hashed: Annotated[bytes, Meta(min_length=32, max_length=32)]
    failures: Annotated[int, Meta(ge=0, le=FAILURES_MAX)] = 0


class Tried(StrEnum):
    """What became of a try."""

    OPEN = "open"
    WRONG = "wrong"
    PAUSED = "paused"


class Pin:
    """One reader's number. `now_s` is a clock that nobody sets."""

    def __init__(self, state: Path, now_s: Callable[[], float]) -> None:
        self._path = state / FILE
        self._now_s = now_s
        self._kept = _read(self._path)
        self._open: dict[int, float] = {}
        self._paused_until_s = 0.0
        if self._kept and self._kept.failures >= FAILURES_MAX:
            self._paused_until_s = now_s() + PAUSE_S

    @property
    def is_set(self) -> bool:
        """False until somebody has chosen a number."""
        return self._kept is not None

    def choose(self, pin: str) -> None:
        """Keep a new number; what was open is closed. Slow. Raises OSError."""
        salt = os.urandom(SALT_BYTES)
        self._keep(_File(salt, _slow(pin, salt)))
        self._open.clear()

    def try_open(self, pin: str, device: int) -> Tried:
        """Try the number for one device. Slow. Raises OSError.

        A try counts as a failure before it is looked at, so many at once are as many.
        """
        if self._kept is None or self._now_s() < self._paused_until_s:
            return Tried.PAUSED
        counted = self._kept.failures % FAILURES_MAX + 1
        if counted == FAILURES_MAX:
            self._paused_until_s = self._now_s() + PAUSE_S
        self._keep(replace(self._kept, failures=counted))
        if not hmac.compare_digest(_slow(pin, self._kept.salt), self._kept.hashed):
            return Tried.WRONG
        self._keep(replace(self._kept, failures=0))
        self._paused_until_s = 0.0
        self.open(device)
        return Tried.OPEN

    def open(self, device: int) -> None:
        """Open for one device."""
        self._open[device] = self._now_s() + OPEN_S

    def is_open(self, device: int) -> bool:
        """True while the device may see what the number protects."""
        return self._now_s() < self._open.get(device, 0.0)

    def close(self, device: int) -> None:
        """Close for one device: the driver has finished, or the tablet was revoked."""
        self._open.pop(device, None)

    def _keep(self, file: _File) -> None:
        replace_file(self._path, msgspec.json.encode(file))
        self._kept = file


def _slow(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode(), salt=salt, **_COST)


def _read(path: Path) -> _File | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        _log.warning("%s: choose a number again: %s", path, error)
        return None
