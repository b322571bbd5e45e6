"""The application of the public personal authentication (公的個人認証), on a card or in a phone.

Files, rules and the token record as OpenSC card-jpki.c, jpki/myna and soltia48/myna-card jpki.rs
know them. Not simulated: the terminal certificates by which hospitals do without the PIN.
"""

import struct
from functools import partial
from typing import Final

from hw.sim.certificate import ca_certificate
from hw.sim.chipdata import ChipData, Purpose
from hw.sim.files import NEVER, Application, Binary, File, Internal, Pin, PrivateKey

TOKEN_CARD: Final = "JPKIAPICCTOKEN2"  # noqa: S105  what each kind of token calls itself
TOKEN_OLD_CARD: Final = "JPKIAPICCTOKEN"  # noqa: S105  a resident-register card (住基カード)
TOKEN_ANDROID: Final = "JPKIAPGPSETOKEN"  # noqa: S105

AUTHENTICATION_TRIES: Final = 3
SIGNATURE_TRIES: Final = 5

_TOKEN_FLAGS: Final = 0x0000040D
"""PKCS #11 CKF_RNG, LOGIN_REQUIRED, USER_PIN_INITIALIZED, TOKEN_INITIALIZED."""
_UNKNOWN: Final = 0xFFFFFFFF
"""PKCS #11 CK_UNAVAILABLE_INFORMATION, for each of four sizes of memory."""


def jpki(data: ChipData, *, filler: int = 0) -> Application:
    """Both keys, their certificates and those of their authorities.

    `filler` bytes FF follow each certificate in its file.
    """
    return Application(
        {**_authentication(data, filler), **_signature(data, filler), **_about(TOKEN_CARD)}
    )


def old_jpki(data: ChipData) -> Application:
    """As resident-register cards had it until 2015: only the signature existed."""
    return Application({**_signature(data, 0), **_about(TOKEN_OLD_CARD, authentication=False)})


def phone_jpki(data: ChipData) -> Application:
    """As an Android phone has it: the authentication certificate too is behind its PIN.

    (jpki/myna cli.rs asks for the PIN before it reads it.)
    """
    files = _authentication(data, 0, behind_pin=True)
    return Application({**files, **_signature(data, 0), **_about(TOKEN_ANDROID)})


def _authentication(data: ChipData, filler: int, *, behind_pin: bool = False) -> dict[int, File]:
    pin = Pin(data.secrets.authentication, AUTHENTICATION_TRIES)
    authority = data.authority(Purpose.AUTHENTICATION)
    return {
        0x000A: Binary(lambda: data.certificate() + b"\xff" * filler, (pin,) * behind_pin),
        0x000B: Binary(lambda: ca_certificate(authority) + b"\xff" * filler),
        0x0017: PrivateKey(partial(data.key, Purpose.AUTHENTICATION), (pin,)),
        0x0018: pin,
    }


def _signature(data: ChipData, filler: int) -> dict[int, File]:
    password = Pin(data.secrets.signature, SIGNATURE_TRIES)
    authority = data.authority(Purpose.SIGNATURE)
    return {
        0x0001: Binary(lambda: data.signature_certificate() + b"\xff" * filler, (password,)),
        0x0002: Binary(lambda: ca_certificate(authority) + b"\xff" * filler),
        0x001A: PrivateKey(partial(data.key, Purpose.SIGNATURE), (password,)),
        0x001B: password,
    }


def _about(token: str, *, authentication: bool = True) -> dict[int, File]:
    """0006 the token, 0008 which certificates there are, 0009 locked, 0016 the terminals' CA."""
    return {
        0x0006: Binary(_token_information(token)),
        0x0008: Binary(bytes([0x8F, 0x8F if authentication else 0x00, 0x00])),
        0x0009: Binary(b"\xff" * 16, (NEVER,)),
        0x0016: Internal(),
    }


def _token_information(name: str) -> bytes:
    """CK_TOKEN_INFO of PKCS #11 with big-endian words, 160 bytes: names, limits, versions.

    One session; a PIN has 6 to 16 characters; the versions and the time are written in digits.
    """
    text = f"{name:32}{'0' * 31}1{'SIMULATED':16}{'0' * 16}".encode()
    sessions, pin = (1, 0, 1, 0), (16, 6)
    words = struct.pack(">11L", _TOKEN_FLAGS, *sessions, *pin, *[_UNKNOWN] * 4)
    return text + words + b"0301" + b"9" * 16
