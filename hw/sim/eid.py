"""The two applications of a My Number Card that know its holder: input support and face.

Their layouts follow soltia48/myna-card (src/ap/text.rs, surface.rs, data.rs), read from test cards.
Records are signed by the municipality, whose key a card-verifiable certificate names; they carry
the card's own key, by which the card signs a challenge without any PIN. The 12-digit number on
every simulated card has a wrong check digit, so it is nobody's; its files are there so that a test
can show that nobody asks for them.
"""

import hashlib
import random
import struct
import zlib
from functools import partial
from typing import Final

from hw.sim.chipdata import ChipData, Purpose
from hw.sim.files import SHA_256_INFO, Application, Binary, Pin, PrivateKey
from hw.sim.keys import Key, key
from hw.sim.tlv import tlv

NOBODYS_NUMBER: Final = b"123456789010"  # 8 would be the check digit

PIN_TRIES: Final = 3
CODE_TRIES: Final = 10
"""For 照合番号 A and B and the birthday, whose length makes guessing slow."""
UNUSED: Final = b"\xff" * 16
"""A file of unknown purpose, as found on every card that was read."""
PHOTO_BYTES: Final = 5000
"""So that reading the face takes as many APDUs as a photo of a face would."""


def input_support(data: ChipData) -> Application:
    """券面事項入力補助: the number, the four attributes, and who vouches for them."""
    pin = Pin(data.secrets.input_support, PIN_TRIES)
    code_a, code_b = Pin(NOBODYS_NUMBER, CODE_TRIES), Pin(data.code_b, CODE_TRIES)
    own = partial(data.key, Purpose.INPUT_SUPPORT)
    number = tlv(0xFF10, NOBODYS_NUMBER) + b"\xff\xff"
    attributes = _attributes(data)
    return Application(
        {
            0x0001: Binary(number, (pin, code_a)),
            0x0002: Binary(tlv(0xFF20, *attributes), (pin, code_b)),
            0x0003: Binary(
                lambda: _signed(data, 0xFF30, 0xDF33, *_digests(number, attributes)),
                (pin, code_a, code_b),
            ),
            0x0004: Binary(lambda: _issuer(data, "0000033")),
            0x0005: Binary(
                tlv(
                    0xFF40,
                    tlv(0xDF41, bytes.fromhex("01030E01")),  # version, extended lengths, vendor
                    tlv(0xDF42, _key_id("0000034")),
                    tlv(0xDF43, _opaque(data, 32).ljust(128, b"\xff")),
                )
            ),
            0x0006: Binary(
                lambda: tlv(0xA1, _public(data.key(Purpose.SESSION))), (pin, code_a, code_b)
            ),
            0x0007: Binary(
                lambda: _signed(data, 0xFF50, 0xDF52, tlv(0xDF51, _public(own()))),
                (pin, code_a, code_b),
            ),
            0x0008: Binary(UNUSED, (pin, code_a, code_b)),
            0x0011: pin,
            0x0012: Pin(b"", tries=0),  # blocked on every card that was read
            0x0013: PrivateKey(own),
            0x0014: code_a,
            0x0015: code_b,
        }
    )


def face(data: ChipData) -> Application:
    """券面事項確認: what is printed on the card, for those who have seen it."""
    birthday = Pin(data.birth_code, CODE_TRIES)
    code_b, code_a = Pin(data.code_b, CODE_TRIES), Pin(NOBODYS_NUMBER, CODE_TRIES)
    own = partial(data.key, Purpose.FACE)
    return Application(
        {
            0x0001: Binary(
                lambda: _signed(
                    data, 0xFF10, 0xDF13, tlv(0xDF11, _birth(data)), tlv(0xDF12, _public(own()))
                ),
                (birthday,),
            ),
            0x0002: Binary(lambda: _face_record(data), (code_a, code_b)),
            0x0003: Binary(
                tlv(
                    0xFF30,
                    tlv(0xDF31, bytes.fromhex("06030E01")),
                    tlv(0xDF32, _key_id("0000024")),
                    tlv(0xDF33, b"\x00"),
                    tlv(0xDF34, data.municipality.encode()),
                    tlv(0xDF35, _key_id("0000025"), _opaque(data, 256)),
                )
            ),
            0x0004: Binary(lambda: _issuer(data, "0000023")),
            0x0005: Binary(
                lambda: _signed(
                    data,
                    0xFF40,
                    0xDF43,
                    tlv(0xDF41, _picture(data, "number", 72, 12)),
                    tlv(0xDF42, _public(own())),
                ),
                (code_a,),
            ),
            0x0006: Binary(UNUSED, (code_a, code_b)),
            0x0011: birthday,
            0x0012: code_b,
            0x0013: code_a,
            0x0014: PrivateKey(own),  # under which id is not known: it is used without one
        }
    )


def _attributes(data: ChipData) -> list[bytes]:
    """The objects of the four attributes, before them their offsets from the file's start."""
    holder = data.holder
    objects = [
        tlv(0xDF22, holder.name.encode()),
        tlv(0xDF23, holder.address.encode()),
        tlv(0xDF24, _birth(data)),
        tlv(0xDF25, holder.sex.encode()),
    ]
    return [_offsets(0xDF21, objects), *objects]


def _digests(number: bytes, attributes: list[bytes]) -> list[bytes]:
    """The number's file counts whole; of the attributes only what follows the offsets."""
    values = b"".join(attributes[1:])
    return [
        tlv(0xDF31, hashlib.sha256(number).digest()),
        tlv(0xDF32, hashlib.sha256(values).digest()),
    ]


def _face_record(data: ChipData) -> bytes:
    """Nine objects; the signature is over the hashes of three groups, in one DigestInfo."""
    holder = [
        tlv(0xDF22, _birth(data)),
        tlv(0xDF23, data.holder.sex.encode()),
        tlv(0xDF24, _public(data.key(Purpose.FACE))),
    ]
    pictures = [
        tlv(0xDF25, _picture(data, "name", 240, 24)),
        tlv(0xDF26, _picture(data, "address", 320, 48)),
    ]
    photo = tlv(0xDF27, _photo(data))
    groups = (b"".join(holder), b"".join(pictures), photo)
    digests = b"".join(hashlib.sha256(group).digest() for group in groups)
    objects = [
        *holder,
        *pictures,
        photo,
        tlv(0xDF28, _municipality(data).sign_verbatim(_three_digests_info(digests))),
        tlv(0xDF29, f"{data.expires:%Y%m%d}".encode()),
        tlv(0xDF2A, _picture(data, "security code", 24, 12)),
    ]
    return tlv(0xFF20, _offsets(0xDF21, objects), *objects)


def _three_digests_info(digests: bytes) -> bytes:
    """A DigestInfo of SHA-256 that holds 96 bytes, as the card has it."""
    algorithm = SHA_256_INFO[2:17]
    return tlv(0x30, algorithm, tlv(0x04, digests))


def _offsets(tag: int, objects: list[bytes]) -> bytes:
    """Where each object starts, counted from the file's first byte, as 16-bit numbers."""
    table_bytes = 3 + 2 * len(objects)
    content_bytes = table_bytes + sum(map(len, objects))
    at = len(tlv(0xFF20, bytes(content_bytes))) - content_bytes + table_bytes
    starts = []
    for one in objects:
        starts.append(at)
        at += len(one)
    return tlv(tag, struct.pack(f">{len(starts)}H", *starts))


def _signed(data: ChipData, file_tag: int, signature_tag: int, *objects: bytes) -> bytes:
    """A file whose last object is the municipality's signature over those before it."""
    signature = _municipality(data).sign(b"".join(objects))
    return tlv(file_tag, *objects, tlv(signature_tag, signature))


def _issuer(data: ChipData, authority: str) -> bytes:
    """The card-verifiable certificate of the municipality's key."""
    body = _key_id(authority) + _key_id(f"{data.municipality}21") + _public(_municipality(data))
    signature = key("card-verifiable certificates", authority).sign(body)
    return tlv(0x7F21, tlv(0x5F4E, body), tlv(0x5F37, signature))


def _municipality(data: ChipData) -> Key:
    return key("records", data.municipality)


def _public(own: Key) -> bytes:
    return tlv(0x90, b"\x01\x00\x01") + tlv(0x91, own.modulus)


def _key_id(number: str) -> bytes:
    """Sixteen bytes for a key; real authorities' numbers begin with 5 and 6, ours with 0."""
    return number.encode() + b"\x08\x05001" + bytes(4)


def _birth(data: ChipData) -> bytes:
    return f"{data.holder.birth:%Y%m%d}".encode()


def _opaque(data: ChipData, length: int) -> bytes:
    """Bytes of unknown meaning, the card's own."""
    return random.Random(data.serial).randbytes(length)


def _picture(data: ChipData, what: str, width: int, height: int) -> bytes:
    """A black and white PNG of noise, that no simulated picture may show anybody's data."""
    rng = random.Random(f"{data.serial} {what}")
    lines = b"".join(b"\x00" + rng.randbytes(width // 8) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def _photo(data: ChipData) -> bytes:
    """A JPEG 2000 file in name only: the boxes that begin one, then noise."""
    signature = bytes.fromhex("0000000C6A5020200D0A870A")
    kind = bytes.fromhex("00000014667479706A703220000000006A703220")
    noise = random.Random(f"{data.serial} photo").randbytes(PHOTO_BYTES)
    return signature + kind + struct.pack(">I", 8 + len(noise)) + b"jp2c" + noise
