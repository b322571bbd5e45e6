"""What each scheme reads: exact bytes, from real conversations and from certificates at random."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from edge.schemes.allowlist import READ_AUTH_CERTIFICATE, NoIdentifier
from edge.schemes.common_ap import serial
from edge.schemes.jpki_auth import SERIAL_BYTES_MAX, serial_and_not_before
from tests.edge.reader_kit import identifier, my_number_card
from wire.credential import Scheme

KEY = ec.generate_private_key(ec.SECP256R1())
READ_BYTES = READ_AUTH_CERTIFICATE[-1]
START = datetime.datetime(2000, 1, 1)  # noqa: DTZ001 - naive UTC, as hypothesis wants bounds
END = datetime.datetime(2090, 1, 1)  # noqa: DTZ001


def certificate(serial_number: int, not_before: datetime.datetime, names: list[str]) -> bytes:
    """Sign a small certificate; the more names, the longer the issuer."""
    issuer = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, n) for n in names])
    return issued(issuer, serial_number, not_before)


def issued(issuer: x509.Name, serial_number: int, not_before: datetime.datetime) -> bytes:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(issuer)
        .public_key(KEY.public_key())
        .serial_number(serial_number)
        .not_valid_before(not_before)
        .not_valid_after(not_before + datetime.timedelta(days=1826))
        .sign(KEY, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


def time_of(moment: datetime.datetime) -> bytes:
    """RFC 5280, 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050."""
    return f"{moment:{'%y' if moment.year < 2050 else '%Y'}%m%d%H%M%S}Z".encode()


@settings(max_examples=200, deadline=None)
@given(
    size=st.integers(1, SERIAL_BYTES_MAX),
    drawn=st.binary(min_size=20, max_size=20),
    moment=st.datetimes(START, END).map(lambda moment: moment.replace(microsecond=0)),
    names=st.lists(st.text("abcdefgh", min_size=1, max_size=40), min_size=1, max_size=5),
)
@example(1, b"\x01" * 20, datetime.datetime(2049, 12, 31, 23, 59, 59), ["a"])  # noqa: DTZ001
@example(20, b"\x7f" * 20, datetime.datetime(2050, 1, 1), ["a" * 40] * 3)  # noqa: DTZ001
def test_jpki_auth_reads_serial_and_start_of_any_certificate(
    size: int, drawn: bytes, moment: datetime.datetime, names: list[str]
) -> None:
    number = int.from_bytes(bytes([drawn[0] & 0x7F]) + drawn[1:size])
    assume(number)
    der = certificate(number, moment, names)
    time = time_of(moment)
    shortest = number.to_bytes(number.bit_length() // 8 + 1)
    end_of_start = der.index(time) + len(time)
    if end_of_start > READ_BYTES:
        with pytest.raises(NoIdentifier):
            serial_and_not_before(der[:READ_BYTES])
    else:
        assert serial_and_not_before(der[:READ_BYTES]) == shortest + time
    with pytest.raises(NoIdentifier):
        serial_and_not_before(der[: end_of_start - 1])


@settings(max_examples=300, deadline=None)
@given(head=st.binary(max_size=READ_BYTES))
def test_jpki_auth_refuses_what_is_no_certificate(head: bytes) -> None:
    with pytest.raises(NoIdentifier):
        serial_and_not_before(head)


GOOD = certificate(0x1234, datetime.datetime(2025, 10, 27), ["JPKI"])[:READ_BYTES]  # noqa: DTZ001


@given(at=st.integers(0, 24), value=st.integers(0, 255))
def test_a_changed_header_never_crashes_the_parser(at: int, value: int) -> None:
    changed = bytearray(GOOD)
    changed[at] = value
    try:
        found = serial_and_not_before(bytes(changed))
    except NoIdentifier:
        return
    assert 14 <= len(found) <= SERIAL_BYTES_MAX + 15


@pytest.mark.parametrize(
    ("serial_tlv", "why"),
    [
        ("0200", "empty"),
        ("020100", "zero"),
        ("020180", "negative"),
        ("02020012", "not the shortest"),
        ("0215" + "11" * 21, "21 bytes"),
        ("02810112", "long form of a short length"),
        ("028000", "indefinite length"),
    ],
)
def test_a_serial_that_no_certificate_has_is_refused(serial_tlv: str, why: str) -> None:
    at = GOOD.index(bytes.fromhex("02021234"))
    changed = GOOD[:at] + bytes.fromhex(serial_tlv) + GOOD[at + 4 :]
    with pytest.raises(NoIdentifier):
        serial_and_not_before(changed)


def test_the_longest_serial_and_time_of_the_authority_fit_the_one_read() -> None:
    real = x509.load_der_x509_certificate(my_number_card(7).certificate).issuer
    der = issued(real, 0x7F << 152, datetime.datetime(2050, 1, 1))  # noqa: DTZ001
    assert len(serial_and_not_before(der[:READ_BYTES])) == SERIAL_BYTES_MAX + 15


def test_the_simulators_certificate_fits_the_one_read() -> None:
    card = my_number_card(7)
    read = serial_and_not_before(card.certificate[:READ_BYTES])
    assert read == identifier(card, Scheme.JPKI_AUTH)


def test_common_ap_takes_the_fifteen_digits() -> None:
    record = my_number_card(42).data.common_record()
    assert serial(record) == b"000000000000042"


@pytest.mark.parametrize(
    "change",
    [
        lambda record: b"\x02" + record[1:],
        lambda record: record[:1] + b"\x1d" + record[2:],
        lambda record: record[:-1],
        lambda record: record + b"0",
        lambda record: record[:5] + b"A" + record[6:],
        lambda record: b"",
    ],
)
def test_common_ap_refuses_a_record_of_another_shape(change: object) -> None:
    assert callable(change)
    with pytest.raises(NoIdentifier):
        serial(change(my_number_card().data.common_record()))
