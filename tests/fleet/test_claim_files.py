"""A claim's file: no byte of it can be another unnoticed, by anybody who has the public key."""

import csv
import datetime
import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet import claim_file, cli
from fleet.claim_file import ClaimFileRefused, Seal
from fleet.claim_lines import Line, total
from fleet.tables import Format, TableRefused
from programmes.calendar import start_of_day_ms
from tests.fleet.claim_kit import KEY, NOW_MS, SIGNER, TENANT
from tests.fleet.virtual import HandClock
from wire.envelope import Proof, Purpose

PUBLIC = KEY.public_key()
BOARDED_MS = start_of_day_ms(datetime.date(2026, 6, 3), 9)


def line(number: int, **changes: Any) -> Line:
    made = Line(
        id=number,
        kind="ride",
        of_id=None,
        reader="kazasu-shi/taxi-1",
        journal="ab" * 16,
        n=number,
        organisation="midori-taxi",
        place="taxi-1",
        driver="D-7",
        boarded_at_ms=BOARDED_MS,
        at_ms=BOARDED_MS + 600_000,
        on_spot="36.389,139.060",
        off_spot="",
        riders=2,
        fare_yen=1_980,
        discount="障害者割引",
        discount_yen=190,
        subsidy_yen=1_000,
        riders_pay_yen=790,
        medium="card",
        ticket="",
        outcome="accepted",
        rule="taxi/2026-04",
    )
    return made._replace(**changes)


LINES = [
    line(1),
    line(2, reader=None, journal=None, n=None, medium="paper", ticket="A-1"),
    line(3, kind="taken-back", of_id=1, riders=-2, fare_yen=-1_980, discount_yen=-190,
         subsidy_yen=-1_000, riders_pay_yen=-790),
]  # fmt: skip


def proof_of(lines: list[Line]) -> tuple[bytes, Proof]:
    utf8 = claim_file.contents(lines)
    seal = Seal(
        v=1,
        tenant=TENANT,
        programme="taxi",
        organisation="midori-taxi",
        month="2026-06",
        claim=12,
        lines=len(lines),
        subsidy_yen=total(lines).subsidy_yen,
        at_ms=NOW_MS,
        utf8=hashlib.sha256(utf8).digest(),
        sjis=claim_file.sjis_hash(utf8),
    )
    return utf8, SIGNER.sign(Purpose.CLAIM, TENANT, seal)


FILES = {
    format_: claim_file.signed(*proof_of(LINES), format_) for format_ in (Format.UTF8, Format.CP932)
}


@pytest.mark.parametrize("format_", FILES)
def test_the_file_as_it_was_signed_matches(format_: Format) -> None:
    seal = claim_file.check(FILES[format_], PUBLIC)
    assert (seal.claim, seal.lines, seal.subsidy_yen) == (12, 3, 1_000)


@pytest.mark.parametrize("format_", FILES)
def test_no_byte_can_be_another(format_: Format) -> None:
    file = FILES[format_]
    for at in range(len(file)):
        altered = bytearray(file)
        altered[at] ^= 1
        with pytest.raises(ClaimFileRefused):
            claim_file.check(bytes(altered), PUBLIC)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_nothing_can_be_taken_out_put_in_or_turned_round(data: st.DataObject) -> None:
    file = FILES[data.draw(st.sampled_from(list(FILES)))]
    start = data.draw(st.integers(0, len(file)))
    end = data.draw(st.integers(start, min(len(file), start + 400)))
    altered = file[:start] + data.draw(st.binary(max_size=40)) + file[end:]
    if altered != file:
        with pytest.raises(ClaimFileRefused):
            claim_file.check(altered, PUBLIC)


def test_a_line_less_with_a_total_that_fits_is_noticed() -> None:
    forged = claim_file.signed(claim_file.contents(LINES[:2]), proof_of(LINES)[1])
    with pytest.raises(ClaimFileRefused, match="changed"):
        claim_file.check(forged, PUBLIC)


def test_another_key_and_no_signature_are_told_apart() -> None:
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    with pytest.raises(ClaimFileRefused, match="another key"):
        claim_file.check(FILES[Format.UTF8], other)
    with pytest.raises(ClaimFileRefused, match="no signature"):
        claim_file.check(claim_file.contents(LINES), PUBLIC)


def test_the_file_has_one_line_a_ride_and_the_total() -> None:
    rows = list(csv.reader(io.StringIO(claim_file.contents(LINES).decode("utf-8-sig"))))
    heads, *lines, last = rows
    columns = {name: at for at, name in enumerate(claim_file.COLUMNS)}
    assert (heads[0], len(lines), last[0]) == ("番号", 3, "合計")
    summed = sum(int(row[columns["subsidy"]]) for row in lines)
    assert summed == int(last[columns["subsidy"]]) == 1_000
    assert lines[1][columns["reader"]] == "窓口"
    assert lines[2][columns["kind"]] == "取消"
    assert lines[0][columns["boarded"]] == "2026-06-03 09:00:00"


def test_what_shift_jis_cannot_write_is_signed_in_utf8_alone() -> None:
    lines = [line(1, driver="D-😀")]
    utf8, proof = proof_of(lines)
    assert claim_file.check(claim_file.signed(utf8, proof), PUBLIC).sjis is None
    with pytest.raises(TableRefused):
        claim_file.signed(utf8, proof, Format.CP932)


def test_anybody_can_check_a_file_at_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pem = PUBLIC.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "signing.pub").write_bytes(pem)
    file = tmp_path / "claim.csv"
    file.write_bytes(FILES[Format.CP932])
    asked = ["claims", "verify", str(file), "--fleet-key", str(tmp_path / "signing.pub")]
    assert cli.run(asked, HandClock()) == 0
    assert "一致しています" in capsys.readouterr().out
    file.write_bytes(FILES[Format.CP932].replace(b"1980", b"1990", 1))
    assert cli.run([*asked, "--language", "en"], HandClock()) == 1
    assert "It does not match" in capsys.readouterr().out
