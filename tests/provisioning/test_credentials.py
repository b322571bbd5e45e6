"""`kazasu-provision credentials`: a list of identifiers becomes a list of credentials."""

import csv
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.credentials import CredentialsRefused, write_credentials
from provisioning.identifiers import IdentifierRefused, identifier_bytes
from wire.credential import Scheme, credential
from wire.seal import ProgrammeKey

KEY = ProgrammeKey("senior-pass", 7, bytes(range(32)))
INDIVIDUAL_NUMBER = "123456789018"
"""Made up; its check digit is right."""


def convert(folder: Path, text: str | bytes) -> list[list[str]]:
    source, target = folder / "in.csv", folder / "out.csv"
    source.write_bytes(text if isinstance(text, bytes) else text.encode())
    write_credentials(source, target, KEY)
    with target.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def refusal(folder: Path, text: str | bytes) -> CredentialsRefused:
    with pytest.raises(CredentialsRefused) as error:
        convert(folder, text)
    assert [path.name for path in folder.iterdir()] == ["in.csv"]
    return error.value


def test_a_line_becomes_credential_scheme_and_epoch_and_keeps_its_other_columns(
    tmp_path: Path,
) -> None:
    rows = convert(
        tmp_path,
        "member,scheme,identifier,valid_to\n"
        "A-1,common-ap,123456789012345,2027-03-31\n"
        'A-2,felica-idm,0102030405060708,"a, b"\n',
    )
    first = credential(KEY.key, Scheme.COMMON_AP, b"123456789012345")
    second = credential(KEY.key, Scheme.FELICA_IDM, bytes.fromhex("0102030405060708"))
    assert rows == [
        ["credential", "scheme", "key_epoch", "member", "valid_to"],
        [first, "common-ap", "7", "A-1", "2027-03-31"],
        [second, "felica-idm", "7", "A-2", "a, b"],
    ]
    assert stat.S_IMODE((tmp_path / "out.csv").stat().st_mode) == 0o600


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_japanese_headings_and_spreadsheet_encodings_are_read(
    tmp_path: Path, encoding: str
) -> None:
    text = "備考,方式,識別子,有効期間の開始\r\n髙齢者,jpki-auth,0A,240401000000Z\r\n"
    rows = convert(tmp_path, text.encode(encoding))
    code = credential(KEY.key, Scheme.JPKI_AUTH, b"\x0a240401000000Z")
    assert rows == [
        ["credential", "scheme", "key_epoch", "備考"],
        [code, "jpki-auth", "7", "髙齢者"],
    ]


@pytest.mark.parametrize(
    ("scheme", "written", "not_before", "expected"),
    [
        (Scheme.COMMON_AP, " 123456789012345 ", "", b"123456789012345"),
        (Scheme.COMMON_AP, "１２３４５６７８９０１２３４５", "", b"123456789012345"),
        (Scheme.FELICA_IDM, "01:02:03:04:05:06:07:0a", "", bytes.fromhex("010203040506070a")),
        (Scheme.STAFF_TOKEN, "04AABBCCDDEEFF", "", bytes.fromhex("04aabbccddeeff")),
        (Scheme.STAFF_TOKEN, "04aabbcc", "", bytes.fromhex("04aabbcc")),
        (Scheme.CARD_AP, "4a", "", b"J"),
        (Scheme.CARD_AP, "A1 " * 64, "", b"\xa1" * 64),
        (Scheme.JPKI_AUTH, "06D18006", "230401000000Z", b"\x06\xd1\x80\x06230401000000Z"),
        (Scheme.JPKI_AUTH, "7F", "230401000000Z", b"\x7f230401000000Z"),
        (Scheme.JPKI_AUTH, "80", "230401000000Z", b"\x00\x80230401000000Z"),
        (Scheme.JPKI_AUTH, "0080", "230401000000Z", b"\x00\x80230401000000Z"),
        (Scheme.JPKI_AUTH, "000001", "230401000000Z", b"\x01230401000000Z"),
        (Scheme.JPKI_AUTH, "1", "2024-04-01T00:00:00Z", b"\x01240401000000Z"),
        (Scheme.JPKI_AUTH, "1", "2024-04-01T00:00:00+09:00", b"\x01240331150000Z"),
        (Scheme.JPKI_AUTH, "1", "2049-12-31T23:59:59Z", b"\x01491231235959Z"),
        (Scheme.JPKI_AUTH, "1", "2050-01-01T00:00:00Z", b"\x0120500101000000Z"),
        (Scheme.JPKI_AUTH, "1", "20500101000000Z", b"\x0120500101000000Z"),
    ],
)
def test_an_identifier_is_the_same_bytes_however_it_was_written(
    scheme: Scheme, written: str, not_before: str, expected: bytes
) -> None:
    assert identifier_bytes(scheme, written, not_before) == expected


@given(st.integers(min_value=1, max_value=2**159 - 1))
def test_a_serial_has_the_bytes_that_its_certificate_has(number: int) -> None:
    made = identifier_bytes(Scheme.JPKI_AUTH, f"{number:x}", "240401000000Z")[:-13]
    assert int.from_bytes(made, signed=True) == number
    assert len(made) == 1 or made[0] != 0 or made[1] >= 0x80


@pytest.mark.parametrize(
    ("scheme", "written", "not_before"),
    [
        (Scheme.COMMON_AP, "12345678901234", ""),
        (Scheme.COMMON_AP, "1234567890123456", ""),
        (Scheme.COMMON_AP, "12345678901234x", ""),
        (Scheme.COMMON_AP, "١٢٣٤٥٦٧٨٩٠١٢٣٤٥", ""),
        (Scheme.FELICA_IDM, "01020304050607", ""),
        (Scheme.STAFF_TOKEN, "0102030405", ""),
        (Scheme.STAFF_TOKEN, "0x040506", ""),
        (Scheme.CARD_AP, "", ""),
        (Scheme.CARD_AP, "4a4", ""),
        (Scheme.CARD_AP, "A1" * 65, ""),
        (Scheme.JPKI_AUTH, "", "240401000000Z"),
        (Scheme.JPKI_AUTH, "00", "240401000000Z"),
        (Scheme.JPKI_AUTH, "-1", "240401000000Z"),
        (Scheme.JPKI_AUTH, "FF" * 20, "240401000000Z"),
        (Scheme.JPKI_AUTH, "01", ""),
        (Scheme.JPKI_AUTH, "01", "240431000000Z"),
        (Scheme.JPKI_AUTH, "01", "2404010000Z"),
        (Scheme.JPKI_AUTH, "01", "2024-04-01"),
        (Scheme.JPKI_AUTH, "01", "2024-04-01T00:00:00"),
        (Scheme.JPKI_AUTH, "01", "0001-01-01T00:00:00+09:00"),
    ],
)
def test_what_is_no_identifier_of_its_scheme_is_refused_without_being_named(
    scheme: Scheme, written: str, not_before: str
) -> None:
    with pytest.raises(IdentifierRefused) as error:
        identifier_bytes(scheme, written, not_before)
    assert len(written) < 4 or written not in str(error.value)


def test_every_wrong_line_is_named_by_its_number_and_nothing_is_written(tmp_path: Path) -> None:
    error = refusal(
        tmp_path,
        "scheme,identifier\n"
        "common-ap,123456789012345\n"
        "common-ap,999\n"
        "pupi,01020304\n"
        "common-ap,123456789012345\n"
        "common-ap\n",
    )
    assert [line.split(":")[0] for line in error.lines] == ["line 3", "line 4", "line 5", "line 6"]
    assert "the same card as in line 2" in error.lines[2]
    assert "4 lines" in str(error)


def test_a_report_of_many_wrong_lines_ends_and_still_counts_them_all(tmp_path: Path) -> None:
    error = refusal(tmp_path, "scheme,identifier\n" + "common-ap,1\n" * 500)
    assert "500 lines" in str(error)
    assert len(error.lines) == 50


def test_no_identifier_stands_in_any_message(tmp_path: Path) -> None:
    secrets = ["123456789012345", "99887766554433221", "0102030405060708"]
    for text in (
        "scheme,identifier\n" + "".join(f"common-ap,{secret}\n" for secret in secrets),
        f"common-ap,{secrets[0]}\n",
        f"scheme,identifier\ncommon-ap,{secrets[0]}\ncommon-ap,{secrets[0]}\n",
        f"scheme,identifier\n{secrets[0]},common-ap\n",
        f'scheme,identifier\ncommon-ap,"{secrets[0]}"x\n',
        f"scheme,identifier,identifier\ncommon-ap,{secrets[0]},x\n",
    ):
        error = refusal(tmp_path, text)
        said = " ".join([str(error), *error.lines])
        assert not any(secret in said for secret in secrets), said


def test_an_individual_number_in_another_column_is_refused(tmp_path: Path) -> None:
    error = refusal(
        tmp_path,
        f"scheme,identifier,note\ncommon-ap,123456789012345,{INDIVIDUAL_NUMBER}\n",
    )
    assert "line 2: note" in error.lines[0]
    assert INDIVIDUAL_NUMBER not in error.lines[0]


def test_an_identifier_is_not_looked_at_as_an_individual_number(tmp_path: Path) -> None:
    text = f"scheme,identifier,not_before\njpki-auth,{INDIVIDUAL_NUMBER},240401000000Z\n"
    assert len(convert(tmp_path, text)) == 2


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("scheme,identifier\ncommon-ap,123456789012345\n")
    target.write_text("someone's work")
    with pytest.raises(CredentialsRefused, match=r"out\.csv is there already"):
        write_credentials(source, target, KEY)
    assert target.read_text() == "someone's work"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"identifier\n1\n",
        b"scheme\ncommon-ap\n",
        b"scheme,identifier,credential\n",
        b"scheme,identifier,note,note\n",
        b"scheme,identifier\ncommon-ap,\xff\xfe\n",
        b'scheme,identifier\ncommon-ap,"1234\n',
    ],
)
def test_what_is_no_such_list_is_refused_whole(tmp_path: Path, text: bytes) -> None:
    refusal(tmp_path, text)


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CredentialsRefused, match=r"in\.csv"):
        write_credentials(tmp_path / "in.csv", tmp_path / "out.csv", KEY)
    assert list(tmp_path.iterdir()) == []


def test_progress_of_a_long_list_grows_to_its_size(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    lines = [f"common-ap,{number:015d}" for number in range(10_000)]
    source.write_text("scheme,identifier\n" + "\n".join(lines) + "\n")
    told: list[int] = []
    assert write_credentials(source, tmp_path / "out.csv", KEY, told.append) == 10_000
    assert told == sorted(told)
    assert 0 < told[0] < told[-1] <= source.stat().st_size
