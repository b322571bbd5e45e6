"""A claim as a signed file: one line a ride, the total, and the fleet's signature as the last line.

Rules: CSV as `fleet.tables` writes it, in UTF-8 or Shift_JIS; the signature covers the bytes of all
lines before it, in both encodings, and who claims what of whom; the last line is the only one that
says what it says, so that no byte of the file can be another unnoticed; in Japanese, since it is
filed in a town's accounts; no credential and no name stands in it.
"""

import base64
import binascii
import csv
import hashlib
import io
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric import ed25519
from msgspec import Meta

from fleet import tables
from fleet.claim_lines import Line, total
from fleet.tables import Cell, Format, TableRefused
from programmes.calendar import local
from programmes.texts import say
from wire.entries import Hash
from wire.envelope import MessageRefused, Proof, Purpose, key_id, verify

FILE_BYTES_MAX: Final = 100 * 1024 * 1024
"""200,000 lines of some 300 bytes, with room."""
SIGNED_BYTES_MAX: Final = 2_000
"""The last line: a seal of some 350 bytes and a signature of 64, in base64."""
_LINE_END: Final = b"\r\n"
COLUMNS: Final = (
    *("id", "kind", "of", "month", "reader", "journal", "n", "company", "vehicle", "driver"),
    *("boarded", "settled", "on", "off", "riders", "fare", "discount", "discount_yen"),
    *("subsidy", "pays", "medium", "ticket", "outcome", "rule"),
)


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the fleet signs of a claim."""

    v: Literal[1]
    tenant: Annotated[str, Meta(max_length=64)]
    programme: Annotated[str, Meta(max_length=64)]
    organisation: Annotated[str, Meta(max_length=64)]
    month: Annotated[str, Meta(max_length=7)]
    claim: int
    lines: int
    subsidy_yen: int
    at_ms: int
    utf8: Hash
    sjis: Hash | None
    """None: something stands in it that Shift_JIS cannot write."""


class ClaimFileRefused(ValueError):
    """This file is not what the fleet signed; `reason` names the sentence claim.verify.<reason>."""

    def __init__(self, reason: str) -> None:
        super().__init__(say(f"claim.verify.{reason}", "en"))
        self.reason: Final = reason


def heads() -> list[str]:
    """Return what stands above the columns."""
    return [say(f"claim.head.{name}", "ja") for name in COLUMNS]


def cells(line: Line) -> tuple[Cell, ...]:
    """Return one line of the file."""
    return (
        line.id,
        say(f"claim.kind.{line.kind}", "ja"),
        line.of_id,
        line.month,
        line.reader or say("claim.office", "ja"),
        line.journal,
        line.n,
        line.organisation,
        line.place,
        line.driver,
        f"{local(line.boarded_at_ms):%Y-%m-%d %H:%M:%S}",
        f"{local(line.at_ms):%Y-%m-%d %H:%M:%S}",
        line.on_spot,
        line.off_spot,
        line.riders,
        line.fare_yen,
        line.discount,
        line.discount_yen,
        line.subsidy_yen,
        line.riders_pay_yen,
        say(f"claim.medium.{line.medium}", "ja"),
        line.ticket,
        say(f"claim.outcome.{line.outcome}", "ja"),
        line.rule,
    )


def _rows(lines: Iterable[Line]) -> Iterator[list[Cell]]:
    held = list(lines)
    for line in held:
        yield list(cells(line))
    summed = total(held)
    last: dict[str, Cell] = {
        "id": say("claim.total", "ja"),
        "riders": summed.riders,
        "fare": summed.fare_yen,
        "discount_yen": summed.discount_yen,
        "subsidy": summed.subsidy_yen,
        "pays": summed.riders_pay_yen,
    }
    yield [last.get(name) for name in COLUMNS]


def contents(lines: Iterable[Line]) -> bytes:
    """Return the file in UTF-8 without its signature."""
    return b"".join(tables.write(Format.UTF8, heads(), _rows(lines)))


def encoded(utf8: bytes, format_: Format) -> bytes:
    """Return contents in the encoding that is asked for. Raises TableRefused."""
    if format_ is Format.UTF8:
        return utf8
    return tables.encoded(utf8.decode("utf-8-sig"), "cp932")


def sjis_hash(utf8: bytes) -> bytes | None:
    """Return the hash of contents in Shift_JIS, None where it cannot write them."""
    try:
        return hashlib.sha256(encoded(utf8, Format.CP932)).digest()
    except TableRefused:
        return None


def signed(utf8: bytes, proof: Proof, format_: Format = Format.UTF8) -> bytes:
    """Return the whole file. Raises TableRefused where Shift_JIS cannot write it."""
    return encoded(utf8, format_) + _last_line(proof, "cp932" if format_ is Format.CP932 else "")


def _last_line(proof: Proof, encoding: str) -> bytes:
    text = io.StringIO()
    parts = (base64.b64encode(part).decode() for part in (proof.body, proof.signature))
    csv.writer(text).writerow([say("claim.signature", "ja"), proof.key_id, *parts])
    return text.getvalue().encode(encoding or "utf-8")


def check(file: bytes, key: ed25519.Ed25519PublicKey) -> Seal:
    """Return what the fleet signed, when this is the file that it signed. Raises ClaimFileRefused.

    Anybody can: it takes the file and the public key alone.
    """
    at = file.rfind(_LINE_END, 0, -len(_LINE_END)) + len(_LINE_END)
    before, last = file[:at], file[at:]
    encoding = "" if before.startswith("\ufeff".encode()) else "cp932"
    proof = _proof(last)
    if not proof.key_id.isascii() or _last_line(proof, encoding) != last:
        raise ClaimFileRefused("altered")
    if proof.key_id != key_id(key):
        raise ClaimFileRefused("other-key")
    try:
        seal = msgspec.json.decode(proof.body, type=Seal)
        verify(proof, Purpose.CLAIM, seal.tenant, key)
    except (msgspec.MsgspecError, UnicodeDecodeError, MessageRefused) as error:
        raise ClaimFileRefused("altered") from error
    if hashlib.sha256(before).digest() != (seal.sjis if encoding else seal.utf8):
        raise ClaimFileRefused("altered")
    return seal


def _proof(last: bytes) -> Proof:
    """Return what the last line holds. Raises ClaimFileRefused when it is no signature."""
    if len(last) > SIGNED_BYTES_MAX:
        raise ClaimFileRefused("unsigned")
    try:
        (row,) = csv.reader([last.decode("latin-1")])
        _, name, body, signature = row
        return Proof(
            name,
            base64.b64decode(signature, validate=True),
            base64.b64decode(body, validate=True),
        )
    except (ValueError, csv.Error, binascii.Error) as error:
        raise ClaimFileRefused("unsigned") from error
