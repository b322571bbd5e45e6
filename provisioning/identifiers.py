"""The bytes of an identifier, however a list has written it: what `wire.credential` takes.

    common-ap     15 digits
    jpki-auth     the serial number in hex, and not_before as in the certificate (240401000000Z)
                  or as 2024-04-01T00:00:00Z
    felica-idm    16 hex digits
    staff-token   8 or 14 hex digits
    card-ap       the bytes as read, as 2 to 128 hex digits

No message names an identifier.
"""

import datetime
import re
import unicodedata
from typing import Final

from wire.credential import IDENTIFIER_BYTES_MAX, Scheme

SERIAL_BYTES_MAX: Final = 20
"""RFC 5280, 4.1.2.2."""

_UTC_TIME: Final = re.compile(r"\d{12}Z\Z", re.ASCII)
_GENERALIZED_TIME: Final = re.compile(r"\d{14}Z\Z", re.ASCII)
_DIGITS_15: Final = re.compile(r"\d{15}\Z", re.ASCII)
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+\Z")
_HEX_LENGTHS: Final = {
    Scheme.FELICA_IDM: ((16,), "16"),
    Scheme.STAFF_TOKEN: ((8, 14), "8 or 14"),
    Scheme.CARD_AP: (range(2, 2 * IDENTIFIER_BYTES_MAX + 1), f"2 to {2 * IDENTIFIER_BYTES_MAX}"),
}
"""How many hex digits a scheme's identifier has, and how that is said."""


class IdentifierRefused(ValueError):
    """This is no identifier of the scheme; says what one looks like, never the value."""


def identifier_bytes(scheme: Scheme, written: str, not_before: str = "") -> bytes:
    """Return an identifier's bytes. Raises IdentifierRefused.

    An identifier is never looked at as an individual number: a serial of six bytes is twelve hex
    digits, and by chance twelve decimal ones with a good check digit.
    """
    text = unicodedata.normalize("NFKC", written).strip()
    if scheme is Scheme.COMMON_AP:
        if not _DIGITS_15.match(text):
            raise IdentifierRefused("identifier: common-ap has 15 digits")
        return text.encode()
    text = text.replace(":", "").replace(" ", "")
    if scheme is Scheme.JPKI_AUTH:
        return _serial(text) + _not_before(not_before)
    lengths, wanted = _HEX_LENGTHS[scheme]
    if len(text) not in lengths or not _HEX.match(text):
        raise IdentifierRefused(f"identifier: {scheme} has {wanted} hex digits")
    return bytes.fromhex(text)


def _serial(text: str) -> bytes:
    """The INTEGER's own bytes: shortest form, a zero before a high bit, however it was written."""
    text = text if len(text) % 2 == 0 else f"0{text}"
    if _HEX.match(text):
        number = int(text, 16)
        length = number.bit_length() // 8 + 1
        if number > 0 and length <= SERIAL_BYTES_MAX:
            return number.to_bytes(length)
    raise IdentifierRefused(
        f"identifier: jpki-auth has a serial of 1 to {SERIAL_BYTES_MAX} bytes in hex"
    )


def _not_before(text: str) -> bytes:
    """As in a certificate: UTCTime up to 2049, GeneralizedTime after (RFC 5280, 4.1.2.5)."""
    try:
        if _UTC_TIME.match(text) or _GENERALIZED_TIME.match(text):
            # A year of two digits is of this century or the last: 31 February is in neither.
            written = text if len(text) == 15 else f"20{text}"
            datetime.datetime.strptime(written, "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.UTC)
            return text.encode()
        at = datetime.datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError("a zone is missing")
        at = at.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        wanted = "240401000000Z or 2024-04-01T00:00:00Z"
        raise IdentifierRefused(f"not_before: write {wanted}") from None
    form = "%y%m%d%H%M%SZ" if 1950 <= at.year < 2050 else "%Y%m%d%H%M%SZ"
    return at.strftime(form).encode()
