"""The usage file gives back what the fleet counted, and opens only when every byte is right."""

import struct
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.samples import PERIODS
from wire.credential import Credential
from wire.entries import Used
from wire.envelope import MessageRefused, Purpose, Signer
from wire.limits import USAGE_HEADER_BYTES_MAX, USAGE_JOURNALS_MAX
from wire.usage import (
    CELL_MAX,
    MAGIC,
    Marks,
    UsageFile,
    UsageHeader,
    UsageRefused,
    UsageRow,
    build_usage,
    pack_usage,
    usage_audience,
)

TENANT, PROGRAMME, PLACE, READER = "kazasu-shi", "senior-pass", "bus-1", "kazasu-shi/bus-1"
FLEET = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
BY = Signer(FLEET)
NUMBERS = st.integers(0, CELL_MAX)
CARDS = st.binary(min_size=16, max_size=16).map(lambda raw: Credential(raw.hex()))
USED = st.builds(Used, NUMBERS, NUMBERS)
A_ROW = UsageRow(Credential("ab" * 16), {"2026": Used(729, 36_450)})


def header(**changes: object) -> UsageHeader:
    plain = UsageHeader(
        v=1, programme=PROGRAMME, place=PLACE, at_ms=1_780_000_000_000, periods=["2026"],
        marks={READER: Marks({"cd" * 16: [(1, 7)]})}, rows=0, rows_sha256=bytes(32),
    )  # fmt: skip
    return msgspec.structs.replace(plain, **changes)


def build(*rows: UsageRow, by: Signer = BY, **changes: object) -> bytes:
    made = header(**changes)
    return build_usage(made, pack_usage(rows, made.periods), TENANT, by)


def opened(folder: Path, data: bytes, **changes: str) -> UsageFile:
    path = folder / "senior-pass.usage"
    path.write_bytes(data)
    asked = {"tenant": TENANT, "programme": PROGRAMME, "place": PLACE} | changes
    return UsageFile.open(path, **asked, key=FLEET.public_key())


@given(
    st.dictionaries(CARDS, st.dictionaries(PERIODS, USED, max_size=3), max_size=20),
    st.lists(PERIODS, unique=True, max_size=4),
    CARDS,
)
def test_what_was_counted_is_found_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    counted: dict[Credential, dict[str, Used]],
    periods: list[str],
    stranger: Credential,
) -> None:
    folder = tmp_path_factory.mktemp("usage")
    rows = [UsageRow(credential, used) for credential, used in counted.items()]
    file = opened(folder, build(*rows, periods=periods))
    assert len(file) == len(counted)
    for credential, used in counted.items():
        assert file.find(credential) == {name: used.get(name, Used()) for name in periods}
    assert (file.find(stranger) is None) == (stranger not in counted)
    file.close()


def test_the_order_of_rows_does_not_matter_and_marks_come_as_they_were_said(tmp_path: Path) -> None:
    other = UsageRow(Credential("01" * 16), {"2026": Used(1)})
    assert build(A_ROW, other) == build(other, A_ROW)
    marks = {READER: Marks({"cd" * 16: [(1, 7), (9, 9)], "ef" * 16: [(1, 2)]}, True)}
    file = opened(tmp_path, build(A_ROW, marks=marks))
    assert file.header.marks == marks
    file.close()


def test_a_sum_that_is_too_large_stands_as_the_largest_there_is(tmp_path: Path) -> None:
    file = opened(tmp_path, build(A_ROW._replace(used={"2026": Used(5, CELL_MAX + 1)})))
    assert file.find(A_ROW.credential) == {"2026": Used(5, CELL_MAX)}
    file.close()


@given(st.data())
def test_a_change_of_any_byte_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(build(A_ROW, UsageRow(Credential("01" * 16), {})))
    signature = whole.index(b'"signature":"') + len(b'"signature":"')
    ends = {signature + 85, signature + 86, signature + 87}  # base64's own bits of no meaning
    where = data.draw(st.integers(0, len(whole) - 1).filter(lambda at: at not in ends))
    whole[where] ^= data.draw(st.integers(1, 255))
    with pytest.raises(UsageRefused):
        opened(tmp_path_factory.mktemp("usage"), bytes(whole))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: b"",
        lambda whole: whole[:10],
        lambda whole: whole[:-1],
        lambda whole: whole + b"\0",
        lambda whole: whole.replace(b"USAGE-1", b"USAGE-2"),
        lambda whole: MAGIC + struct.pack(">I", 2**32 - 1) + whole[len(MAGIC) + 4 :],
        lambda whole: build(A_ROW, by=Signer(OTHER)),
        lambda whole: build(A_ROW, place="bus-2"),
        lambda whole: build(A_ROW, programme="attendance"),
    ],
    ids=["empty", "head", "cut", "longer", "version", "length", "key", "place", "programme"],
)  # fmt: skip
def test_what_is_not_the_file_that_it_should_be_is_refused(tmp_path: Path, spoil: object) -> None:
    assert callable(spoil)
    with pytest.raises(UsageRefused):
        opened(tmp_path, spoil(build(A_ROW)))
    with pytest.raises(UsageRefused):
        opened(tmp_path, build(A_ROW), place="bus-2")


def test_a_rosters_signature_is_none_for_usage(tmp_path: Path) -> None:
    body = header(rows=0, rows_sha256=bytes.fromhex(SHA256_OF_NOTHING))
    signed = BY.seal(Purpose.ROSTER, usage_audience(TENANT, PROGRAMME, PLACE), body)
    with pytest.raises(MessageRefused):
        opened(tmp_path, MAGIC + struct.pack(">I", len(signed)) + signed)


SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_marks_of_fifty_readers_fit_into_a_header_and_of_a_thousand_do_not() -> None:
    def marks(readers: int) -> dict[str, Marks]:
        journals = {f"{number:032x}": [(1, 10_000)] for number in range(USAGE_JOURNALS_MAX)}
        return {f"kazasu-shi/reader-{number:04d}": Marks(journals) for number in range(readers)}

    assert len(build(marks=marks(50))) < USAGE_HEADER_BYTES_MAX
    with pytest.raises(ValueError, match="readers"):
        build(marks=marks(1_000))
