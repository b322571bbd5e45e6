"""One reader and one writer for the tables that a town's offices exchange: CSV and XLSX.

Rules: what is read is recognised by its bytes, never by its name: UTF-8 with or without a mark,
Shift_JIS as Windows writes it (code page 932, with ①, ㈱ and 髙), UTF-16 with a mark, commas, tabs
or semicolons, and the first sheet of an XLSX workbook (`fleet.workbooks`). Every value comes as the
text that a person sees. What is written is never taken for a formula, and what was written here is
read back unchanged. Rows go one by one in both directions; nothing is held whole.
"""

import codecs
import csv
import datetime
import enum
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from programmes.texts import say

LINES_MAX: Final = 1_000_000
"""A sheet of Excel has 1,048,576."""
COLUMNS_MAX: Final = 64
"""The widest list of members has a dozen; other systems' exports some thirty."""
_LOOKED_AT_ONCE: Final = 1024 * 1024
"""Bytes decoded at a time while the encoding is found out."""
_WRITTEN_AT_ONCE: Final = 1_000
"""Rows in one piece of a file: about 100 kB, and 10 ms of work."""

Cell = str | int | datetime.date | None


class Format(enum.StrEnum):
    """What a table may be written as."""

    UTF8 = "csv"
    CP932 = "sjis"
    XLSX = "xlsx"

    @property
    def suffix(self) -> str:
        """The end of a file's name."""
        return ".xlsx" if self is Format.XLSX else ".csv"

    @property
    def content_type(self) -> str:
        """The media type (RFC 7111 and the registration of Office Open XML)."""
        if self is Format.XLSX:
            return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
        return "text/csv"


class TableRefused(ValueError):
    """The file is no table that can be read or written; the sentence says what to do."""

    def __init__(self, code: str, line: int = 0, **arguments: str | int) -> None:
        """`code` names the sentence web.import.wrong.<code>; `line` counts from 1, 0: the file."""
        super().__init__(say(f"web.import.wrong.{code}", "en", **arguments))
        self.code: Final = code
        self.line: Final = line
        self.arguments: Final = arguments


class Row(NamedTuple):
    """One line. `wrong`: by place, which cells cannot be read, and the code of the sentence."""

    line: int
    cells: list[str]
    wrong: Mapping[int, str] = {}


class Table(NamedTuple):
    """A file that is being read, the heading among its rows."""

    format: Format
    lines: int
    """About how many there are, for a bar of progress."""
    rows: Iterator[Row]


# --- reading -------------------------------------------------------------------------------------

_BINARY: Final = ((b"PK\x03\x04", "xlsx"), (b"\xd0\xcf\x11\xe0", "old-excel"))
"""Local file header of ZIP (APPNOTE 4.3.7); Compound File of old .xls and of locked .xlsx."""
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_SIGN: Final = re.compile("[\x80\xa0\uf8f0-\uf8f3]")
"""What Python makes of 80, A0 and FD to FF, bytes that code page 932 leaves empty."""
_SEPARATORS: Final = ",\t;"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings that a spreadsheet takes for a formula (OWASP, CSV Injection)."""


def read(body: bytes) -> Table:
    """Return a file as rows. Raises TableRefused, here and while its rows are read."""
    for mark, kind in _BINARY:
        if body.startswith(mark):
            if kind == "xlsx":
                from fleet.workbooks import read_sheet  # noqa: PLC0415  openpyxl takes 0.3 s

                lines, rows = read_sheet(body)
                return Table(Format.XLSX, lines, rows)
            raise TableRefused(kind)
    encoding = _encoding(body)
    kind_of = Format.CP932 if encoding == "cp932" else Format.UTF8
    return Table(kind_of, body.count(b"\n") + 1, _csv_rows(body, encoding))


def _encoding(body: bytes) -> str:
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            _require_decodes(body, encoding, body.count(b"\n"))
            return encoding
    reached = _decodes(body, "utf-8")
    if reached is None:
        return "utf-8"
    _require_decodes(body, "cp932", reached)
    return "cp932"


def _require_decodes(body: bytes, encoding: str, at_least: int) -> None:
    reached = _decodes(body, encoding)
    if reached is not None:
        raise TableRefused("encoding", body[: max(reached, at_least)].count(b"\n") + 1)


def _decodes(body: bytes, encoding: str) -> int | None:
    """Return None when all of it is text of this encoding, else how many bytes are, about."""
    decoder = codecs.getincrementaldecoder(encoding)()
    view = memoryview(body)
    for start in range(0, len(body), _LOOKED_AT_ONCE):
        end = start + _LOOKED_AT_ONCE
        try:
            text = decoder.decode(view[start:end], final=end >= len(body))
        except UnicodeDecodeError as error:
            return start + error.start
        if encoding == "cp932" and (odd := _NO_SIGN.search(text)):
            return start + len(text[: odd.start()].encode("cp932"))
    return None


def _csv_rows(body: bytes, encoding: str) -> Iterator[Row]:
    with io.TextIOWrapper(io.BytesIO(body), encoding, newline="") as text:
        separator = _separator(text.readline())
        text.seek(0)
        rows = csv.reader(text, delimiter=separator, strict=True)
        try:
            for cells in rows:
                if rows.line_num > LINES_MAX:
                    raise TableRefused("lines", rows.line_num, limit=LINES_MAX)
                yield Row(rows.line_num, [_unguarded(cell) for cell in cells])
        except csv.Error as error:
            raise TableRefused("csv", rows.line_num, error=str(error)) from error


def _separator(line: str) -> str:
    """Return what stands most often in the first line; headings have none of these inside."""
    return max(_SEPARATORS, key=line.count)


def _unguarded(cell: str) -> str:
    """Take off what `harmless` has put on."""
    return cell[1:] if cell.startswith("'") and cell.startswith(_FORMULA, 1) else cell


# --- writing -------------------------------------------------------------------------------------

_FOR_CP932: Final = str.maketrans("〜−‖—¢£¬", "～－∥―￠￡￢")
"""The same signs where JIS and Unicode's table of it (JIS0208.TXT) differ from Microsoft's."""


def write(format_: Format, heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[bytes]:
    """Yield a file in pieces, the heading first. Raises TableRefused for what cannot be written.

    A text stays a text; a number is a number; a day is a day, in CSV as 2026-04-01.
    """
    if format_ is Format.XLSX:
        from fleet.workbooks import write_sheet  # noqa: PLC0415  openpyxl takes 0.3 s

        return write_sheet(heads, rows)
    return _written(heads, rows, "utf-8" if format_ is Format.UTF8 else "cp932")


def _written(
    heads: Sequence[str], rows: Iterable[Sequence[Cell]], encoding: str
) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    if encoding == "utf-8":
        text.write("\ufeff")  # the mark that spreadsheets expect
    writer.writerow(heads)
    for line, row in enumerate(rows, 2):
        writer.writerow([harmless(cell) if isinstance(cell, str) else cell for cell in row])
        if line % _WRITTEN_AT_ONCE == 0:
            yield encoded(text.getvalue(), encoding)
            text.seek(0)
            text.truncate()
    yield encoded(text.getvalue(), encoding)


def encoded(text: str, encoding: str) -> bytes:
    """Return text in the encoding of a file. Raises TableRefused for signs that it has not got."""
    if encoding == "cp932":
        text = text.translate(_FOR_CP932)
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        signs = sorted(set(unwritable(error.object)))
        raise TableRefused("not-in-shift-jis", signs="".join(signs[:20])) from error


def unwritable(text: str) -> Iterator[str]:
    """Yield the characters of a text that Shift_JIS has not got."""
    for sign in set(text.translate(_FOR_CP932)):
        try:
            sign.encode("cp932")
        except UnicodeEncodeError:
            yield sign


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula (OWASP, CSV Injection)."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
