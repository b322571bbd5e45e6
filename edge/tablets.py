"""Which tablets may be the driver's: paired by a code on the reader's own screen, and revocable.

Rules: a code is offered by the reader, lives two minutes and pairs one tablet · a tablet holds a
random token; here lies its hash alone, durably and for the reader's own eyes (0600) · who is not
paired, or no longer, is told how to be, and nothing else · a file that cannot be read pairs nobody.
"""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from edge.durable import replace_file
from wire.entries import AtMs, Hash

FILE: Final = "tablets.json"
TABLETS_MAX: Final = 4
"""Of one vehicle: the driver's, one to replace it, and two of a second seat."""
OFFER_S: Final = 120.0
"""Time to take a tablet out and to hold its camera to the screen."""
CODE_BYTES: Final = 16
"""128 bits, of which one is right for two minutes."""
TOKEN_BYTES: Final = 32

_log = logging.getLogger(__name__)


class Paired(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tablet."""

    number: Annotated[int, Meta(ge=1, le=TABLETS_MAX)]
    token_sha256: Hash
    at_ms: AtMs


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tablets: Annotated[list[Paired], Meta(max_length=TABLETS_MAX)] = []


class NotPaired(Exception):
    """`reason` is `code` (wrong, used or too old) or `full` (TABLETS_MAX are paired)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason: Final = reason


class Tablets:
    """The tablets of one reader. `now_s` is a clock that nobody sets."""

    def __init__(self, state: Path, now_s: Callable[[], float], now_ms: Callable[[], int]) -> None:
        self._path = state / FILE
        self._now_s, self._now_ms = now_s, now_ms
        self._code, self._until_s = "", 0.0
        self.paired: list[Paired] = _read(self._path).tablets

    def offer(self) -> str:
        """Return a code that pairs one tablet; the one before is over. Raises NotPaired."""
        if len(self.paired) >= TABLETS_MAX:
            raise NotPaired("full")
        self._code = secrets.token_urlsafe(CODE_BYTES)
        self._until_s = self._now_s() + OFFER_S
        return self._code

    def offers(self, code: str) -> bool:
        """True when this code is on offer."""
        is_open = bool(self._code) and self._now_s() < self._until_s
        return is_open and hmac.compare_digest(code.encode(), self._code.encode())

    def pair(self, code: str) -> str:
        """Use a code up; return the token that the tablet keeps. Raises NotPaired, OSError."""
        if not self.offers(code):
            raise NotPaired("code")
        self._code = ""
        taken = {one.number for one in self.paired}
        number = next((n for n in range(1, TABLETS_MAX + 1) if n not in taken), None)
        if number is None:
            raise NotPaired("full")
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._keep([*self.paired, Paired(number, _hashed(token), self._now_ms())])
        return token

    def known(self, token: str) -> Paired | None:
        """Return the tablet that holds this token."""
        hashed = _hashed(token)
        return next((one for one in self.paired if one.token_sha256 == hashed), None)

    def revoke(self, number: int) -> None:
        """Let a tablet be a stranger again. Raises OSError."""
        self._keep([one for one in self.paired if one.number != number])

    def _keep(self, tablets: list[Paired]) -> None:
        replace_file(self._path, msgspec.json.encode(_File(tablets)))
        self.paired = sorted(tablets, key=lambda one: one.number)


def _hashed(token: str) -> bytes:
    """Return what is kept of a token: it is random, so no salt and no slow hash is needed."""
    return hashlib.sha256(token.encode()).digest()


def _read(path: Path) -> _File:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        return _File()
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        _log.warning("%s: no tablet is paired: %s", path, error)
        return _File()
