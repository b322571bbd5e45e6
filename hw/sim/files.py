"""The files of a chip card and what opens them: PINs, keys, records, transparent files."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from hw.sim.apdu import Status, StatusError
from hw.sim.keys import Key

SHA_256_INFO: Final = bytes.fromhex("3031300D060960864801650304020105000420")
"""What precedes a SHA-256 digest in its DigestInfo (RFC 8017, 9.2)."""


@dataclass(eq=False)
class Pin:
    """A PIN with its tries. Their count outlives the field, as on a real card."""

    value: bytes
    tries: int
    left: int = field(init=False)
    verified: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.left = self.tries

    def present(self, value: bytes) -> None:
        """Compare; raises StatusError 63Cx for a wrong value and 6984 when no try is left."""
        if self.left == 0:
            raise StatusError(Status.PIN_BLOCKED)
        self.verified = value == self.value
        self.left = self.tries if self.verified else self.left - 1
        if not self.verified:
            raise StatusError(Status.TRIES_LEFT | self.left)


NEVER: Final = Pin(b"", tries=0)
"""Opens what no reader can open: it lies on no card and is blocked."""


class Guarded:
    """What any one of `pins` opens, or with `all_of` only all of them together; none: free."""

    def __init__(self, pins: tuple[Pin, ...], all_of: bool = False) -> None:
        self._pins = pins
        self._enough = all if all_of else any

    @property
    def free(self) -> bool:
        """Nothing needs to be verified."""
        return not self._pins

    def check(self) -> None:
        """Raises StatusError 6982 while it is not open."""
        if self._pins and not self._enough(pin.verified for pin in self._pins):
            raise StatusError(Status.NOT_ALLOWED)


class Binary(Guarded):
    """A transparent file. Its content may be a function: it is called once, at the first read."""

    def __init__(
        self, data: bytes | Callable[[], bytes], pins: tuple[Pin, ...] = (), *, all_of: bool = False
    ) -> None:
        super().__init__(pins, all_of)
        self._data = data

    @property
    def data(self) -> bytes:
        """The whole content."""
        if not isinstance(self._data, bytes):
            self._data = self._data()
        return self._data


@dataclass(frozen=True)
class Records:
    """A file of records, numbered from 1; free to read."""

    records: tuple[bytes, ...]


class PrivateKey(Guarded):
    """A key that signs what it is given or, with `authenticates`, a reader's challenge."""

    def __init__(
        self, key: Callable[[], Key], pins: tuple[Pin, ...] = (), *, authenticates: bool = False
    ) -> None:
        super().__init__(pins)
        self._key = key
        self.authenticates = authenticates

    def sign(self, scheme: int, data: bytes) -> bytes:
        """Sign by one of SCHEMES; raises StatusError 6985 for data that do not fit it."""
        try:
            return SCHEMES[scheme](self._key(), data)
        except ValueError as error:
            raise StatusError(Status.NOT_FOR_THIS) from error


class Internal:
    """A file for the card's own use: a reader can select it, and nothing more."""


File = Binary | Records | Pin | PrivateKey | Internal


@dataclass(frozen=True)
class Application:
    """What one name selects: files by id and data objects by tag."""

    files: Mapping[int, File] = field(default_factory=dict)
    objects: Mapping[int, bytes] = field(default_factory=dict)


def _digest(data: bytes) -> bytes:
    if len(data) != hashlib.sha256().digest_size:
        raise ValueError("not a SHA-256 digest")
    return data


SCHEMES: Final[dict[int, Callable[[Key, bytes], bytes]]] = {
    0x00: lambda key, data: key.sign_verbatim(data),
    0x01: lambda key, data: key.sign_verbatim(hashlib.sha256(data).digest()),
    0x02: lambda key, data: key.sign_verbatim(SHA_256_INFO + _digest(data)),
    0x03: lambda key, data: key.sign(data),
    0x04: lambda key, data: key.sign_pss(_digest(data)),
    0x05: lambda key, data: key.sign_pss(hashlib.sha256(data).digest()),
}
"""By P1 of the My Number Card's signing command (soltia48/myna-card jpki.rs, found by trying):
PKCS #1 v1.5 over what is sent, over its bare hash, over a hash sent, over its hash; PSS over a hash
sent, over its hash."""
