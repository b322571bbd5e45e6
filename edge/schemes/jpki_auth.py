"""`jpki-auth`: serial and notBefore of the user authentication certificate, in two commands.

The first 208 bytes of the certificate (RFC 5280, 4.1; DER: X.690) hold all that is needed:

    SEQUENCE { SEQUENCE { [0] { INTEGER 2 }, INTEGER serial, SEQUENCE algorithm, SEQUENCE issuer,
    SEQUENCE { notBefore, …

Behind the 13 bytes before the serial come at most 22 for it, 15 for the algorithm, 132 for the
issuer's name (the same of each generation of the authority) and 2 + 17 for notBefore: 201. Each
byte more costs 0.2 ms on a line of 115,200 baud.

The identifier is the serial's INTEGER bytes and then notBefore's: three generations of the
authority share one name. The parser is strict: what is not DER of this shape is no identifier.
"""

from typing import Final, NamedTuple

from edge.schemes.allowlist import (
    READ_AUTH_CERTIFICATE,
    SELECT_JPKI_AP,
    CardScheme,
    NoIdentifier,
    Reading,
)
from wire.credential import Scheme

SEQUENCE: Final = 0x30
INTEGER: Final = 0x02
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
VERSION_3: Final = bytes.fromhex("A003020102")
SERIAL_BYTES_MAX: Final = 20
"""RFC 5280, 4.1.2.2."""
TIME_BYTES: Final = {UTC_TIME: 13, GENERALIZED_TIME: 15}
"""YYMMDDHHMMSSZ and YYYYMMDDHHMMSSZ: the only forms that RFC 5280 (4.1.2.5) allows."""
LENGTH_BYTES_MAX: Final = 2
"""A certificate of 64 kB is none of ours."""


class _Tlv(NamedTuple):
    """Where a value begins and ends; the end may lie behind what was read."""

    tag: int
    start: int
    end: int


def read(card: Reading) -> bytearray:
    """Return serial and notBefore. Raises NoIdentifier."""
    card.ask(SELECT_JPKI_AP)
    return serial_and_not_before(card.ask(READ_AUTH_CERTIFICATE))


def serial_and_not_before(head: bytes) -> bytearray:
    """Return the identifier from a certificate's first bytes. Raises NoIdentifier."""
    certificate = _tlv(head, 0, SEQUENCE)
    signed = _tlv(head, certificate.start, SEQUENCE)
    if head[signed.start : signed.start + len(VERSION_3)] != VERSION_3:
        raise NoIdentifier("not a certificate of version 3")
    serial = _value(head, _tlv(head, signed.start + len(VERSION_3), INTEGER))
    algorithm = _tlv(head, serial.end, SEQUENCE)
    issuer = _tlv(head, algorithm.end, SEQUENCE)
    validity = _tlv(head, issuer.end, SEQUENCE)
    not_before = _value(head, _tlv(head, validity.start, UTC_TIME, GENERALIZED_TIME))
    for inner, outer in ((signed, certificate), (validity, signed), (not_before, validity)):
        if inner.end > outer.end:
            raise NoIdentifier("a part is longer than the whole")
    _check_serial(head[serial.start : serial.end])
    _check_time(not_before.tag, head[not_before.start : not_before.end])
    return bytearray(head[serial.start : serial.end] + head[not_before.start : not_before.end])


def _tlv(data: bytes, at: int, *tags: int) -> _Tlv:
    """Return the element at `at`, of one of these tags; definite, shortest length (X.690, 10.1)."""
    if at + 2 > len(data) or data[at] not in tags:
        raise NoIdentifier(f"no element of type {tags[0]:02x} at {at}")
    length, start = data[at + 1], at + 2
    if length >= 0x80:
        size = length - 0x80
        if not 1 <= size <= LENGTH_BYTES_MAX or start + size > len(data):
            raise NoIdentifier(f"a length at {at} that no certificate has")
        length, start = int.from_bytes(data[start : start + size], "big"), start + size
        if length < 0x80 or length < 1 << (8 * (size - 1)):
            raise NoIdentifier(f"a length at {at} that is not the shortest")
    return _Tlv(data[at], start, start + length)


def _value(data: bytes, tlv: _Tlv) -> _Tlv:
    """Return an element whose value was read to its end."""
    if tlv.end > len(data):
        raise NoIdentifier("the certificate's beginning is longer than what was read")
    return tlv


def _check_serial(serial: bytes) -> None:
    """Positive, at most 20 bytes, shortest form (X.690, 8.3.2)."""
    padded = len(serial) > 1 and serial[0] == 0 and serial[1] < 0x80
    if not 1 <= len(serial) <= SERIAL_BYTES_MAX or serial[0] >= 0x80 or padded or serial == b"\0":
        raise NoIdentifier("a serial that no certificate has")


def _check_time(tag: int, value: bytes) -> None:
    if len(value) != TIME_BYTES[tag] or not value[:-1].isdigit() or value[-1:] != b"Z":
        raise NoIdentifier("a time that no certificate has")


SCHEME: Final = CardScheme(
    Scheme.JPKI_AUTH, "106B", frozenset((SELECT_JPKI_AP, READ_AUTH_CERTIFICATE)), read
)
