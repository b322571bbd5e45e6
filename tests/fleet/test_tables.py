"""Tables in and out: three formats, every sign, no formula, no bomb."""

import datetime
import io
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import tables, workbooks
from fleet.tables import Format, Row, TableRefused
from tests.fuzz.hostile import examples

SIGNS = '①㈱髙﨑〜−－纊 A,b;"c"\n\'＝'
"""NEC's and IBM's additions to JIS, and what has two places in Unicode."""


def read(body: bytes) -> list[Row]:
    return list(tables.read(body).rows)


def write(format_: Format, *rows: Sequence[tables.Cell]) -> bytes:
    return b"".join(tables.write(format_, ["A", "B", "C"], rows))


def workbook(fill: Callable[[Any], None]) -> bytes:
    """A workbook as another program makes one."""
    book = openpyxl.Workbook()
    fill(book.active)
    held = io.BytesIO()
    book.save(held)
    return held.getvalue()


def changed(body: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """The same workbook with one part changed by hand."""
    held = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as old, zipfile.ZipFile(held, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            new.writestr(info.filename, change(data) if info.filename == name else data)
    return held.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp932"])
@pytest.mark.parametrize("separator", ",\t;")
def test_encoding_and_separator_are_recognised(encoding: str, separator: str) -> None:
    text = f"登録番号{separator}氏名\r\n001{separator}髙橋①㈱\r\n"
    table = tables.read(text.encode(encoding))
    assert table.format is (Format.CP932 if encoding == "cp932" else Format.UTF8)
    assert [row.cells for row in table.rows] == [["登録番号", "氏名"], ["001", "髙橋①㈱"]]


@pytest.mark.parametrize("format_", Format)
def test_what_is_written_is_read_back(format_: Format) -> None:
    rows: list[list[tables.Cell]] = [["001", SIGNS, 12], ["=1+1", "-5", -5], ["+81", "@x", None]]
    got = [row.cells for row in read(write(format_, *rows))]
    wanted = [["A", "B", "C"], ["001", SIGNS, "12"], ["=1+1", "-5", "-5"], ["+81", "@x", ""]]
    if format_ is Format.CP932:
        wanted[1][1] = SIGNS.replace("〜", "～").replace("−", "－")
    assert got == wanted


@examples(25)
@given(rows=st.lists(st.lists(st.text(max_size=9), min_size=3, max_size=3), max_size=5))
def test_any_text_comes_back_from_a_sheet_and_no_formula_gets_out(rows: list[list[str]]) -> None:
    rows = [[workbooks._NO_XML.sub("", cell).replace("\r", "") for cell in row] for row in rows]
    body = write(Format.XLSX, *rows)
    assert [row.cells for row in read(body)][1:] == [row for row in rows if any(row)]
    for row in openpyxl.load_workbook(io.BytesIO(body)).worksheets[0].iter_rows():
        assert {cell.data_type for cell in row} <= {"s", "n"}


def test_no_spreadsheet_takes_a_cell_of_csv_for_a_formula() -> None:
    text = write(Format.UTF8, ["=cmd", "@x", "\tx"]).decode("utf-8-sig")
    assert text.splitlines()[1] == "'=cmd,'@x,'\tx"


def test_days_and_numbers_are_days_and_numbers_in_a_sheet() -> None:
    day = datetime.date(2026, 4, 1)
    body = write(Format.XLSX, [day, 1200, datetime.date(1899, 5, 2)])
    sheet = openpyxl.load_workbook(io.BytesIO(body)).worksheets[0]
    (first, second, third) = next(sheet.iter_rows(min_row=2))
    assert (first.value.date(), second.value, third.value) == (day, 1200, "1899-05-02")
    assert read(body)[1].cells == ["2026-04-01", "1200", "1899-05-02"]


def test_days_and_leading_zeros_are_read_as_they_are_seen() -> None:
    def fill(sheet: Any) -> None:
        sheet.append(["番号", "生年月日", "年", "小数"])
        sheet.append([123, datetime.date(1950, 2, 28), 2026.0, 1.5])
        sheet["A2"].number_format = "00000"

    assert read(workbook(fill))[1].cells == ["00123", "1950-02-28", "2026", "1.5"]


def test_a_formula_counts_as_what_the_spreadsheet_kept_or_is_refused() -> None:
    def fill(sheet: Any) -> None:
        sheet.append(["A", "B"])
        sheet.append(["=1+1", "=1/0"])

    body = workbook(fill)
    assert read(body)[1].wrong == {0: "formula", 1: "formula"}
    part = "xl/worksheets/sheet1.xml"
    kept = changed(
        body,
        part,
        lambda data: data.replace(b"<v />", b"<v>2</v>", 1).replace(b"<v></v>", b"<v>2</v>", 1),
    )
    assert read(kept)[1] == Row(2, ["2", ""], {1: "formula"})


def test_blank_lines_and_columns_that_a_sheet_only_claims_cost_nothing() -> None:
    body = workbook(lambda sheet: sheet.append(["A", "B"]))
    claimed = changed(
        body,
        "xl/worksheets/sheet1.xml",
        lambda data: data.replace(b'ref="A1:B1"', b'ref="A1:XFD1048576"').replace(
            b"</sheetData>", b'<row r="90000"><c r="XFD90000"><v>1</v></c></row></sheetData>'
        ),
    )
    assert [row.cells for row in read(claimed)] == [["A", "B"]]
    far = changed(
        body,
        "xl/worksheets/sheet1.xml",
        lambda data: data.replace(
            b"</sheetData>", b'<row r="2"><c r="C2"><v>1</v></c></row></sheetData>'
        ),
    )
    assert read(far)[1].cells == ["", "", "1"]


def test_bombs_entities_and_other_files_are_refused_before_they_are_opened() -> None:
    body = workbook(lambda sheet: sheet.append(["A"]))
    held = io.BytesIO()
    with (
        zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book,
        book.open("xl/a.xml", "w") as part,
    ):
        for _ in range(workbooks.UNPACKED_BYTES_MAX // 2**20 + 1):
            part.write(bytes(2**20))
    entities = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]>'
    declared = changed(
        body, "xl/workbook.xml", lambda data: entities + data[data.index(b"<workbook") :]
    )
    for bad, code in (
        (held.getvalue(), "bomb"),
        (declared, "entities"),
        (body[:300], "xlsx"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "old-excel"),
        ("登録番号".encode("euc_jp") + b"\xff\xff", "encoding"),
        (b'a,b\n1,"2', "csv"),
    ):
        with pytest.raises(TableRefused) as refused:
            read(bad)
        assert refused.value.code == code


def test_what_shift_jis_has_not_got_is_refused_by_name_and_nothing_is_lost() -> None:
    with pytest.raises(TableRefused, match="𠮷"):
        write(Format.CP932, ["𠮷野家"])
    assert read(write(Format.UTF8, ["𠮷野家"]))[1].cells[0] == "𠮷野家"


def test_a_wrong_byte_is_named_by_its_line() -> None:
    with pytest.raises(TableRefused) as refused:
        read("氏名\n山田\n".encode() + b"\xff\xff\n")
    assert refused.value.line == 3
