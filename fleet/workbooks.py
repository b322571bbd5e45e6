"""XLSX: the first sheet of a workbook read row by row, and a table written as one.

Rules: a workbook that would unfold to more than UNPACKED_BYTES_MAX, or that declares entities, is
refused before anything of it is read; a formula counts as the value that the spreadsheet kept, and
one that kept none is refused; numbers keep the zeros that their format shows. What is written is
one sheet of plain cells (ECMA-376 part 1, 18.3), in pieces as its rows come: openpyxl would write
all of it to the disk first, in seven times the time.
"""

import contextlib
import datetime
import io
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from xml.parsers import expat
from xml.sax.saxutils import escape

import openpyxl
from openpyxl.worksheet.worksheet import Worksheet

from fleet.tables import COLUMNS_MAX, LINES_MAX, Cell, Row, TableRefused

UNPACKED_BYTES_MAX: Final = 400 * 1024 * 1024
"""Of all parts together. A sheet of 100,000 members unfolds to 60 MB."""
STRINGS_BYTES_MAX: Final = 100 * 1024 * 1024
"""Of the strings that its cells share, which openpyxl holds: 100,000 members make 15 MB."""
PARTS_MAX: Final = 1_000
"""Files in a workbook: usually a dozen."""
_HEAD_BYTES_MAX: Final = 64 * 1024
"""Before the first element of a part; a declaration has some sixty bytes."""
_ZEROS: Final = re.compile(r"(0+)(?:;@?|_ )?\Z")
"""A number's format that shows leading zeros, such as 00000."""


# --- reading -------------------------------------------------------------------------------------


def read_sheet(body: bytes) -> tuple[int, Iterator[Row]]:
    """Return about how many lines the first sheet has, and its rows. Raises TableRefused."""
    try:
        has_formulas = _look_into(body)
        books = [_open(body, values=True), *([_open(body, values=False)] if has_formulas else [])]
        sheets: list[Any] = [book.worksheets[0] for book in books]
        lines = sheets[0].max_row or 0
        for sheet in sheets:
            sheet.reset_dimensions()  # a sheet may claim a million empty columns
    except TableRefused:
        raise
    except Exception as error:  # openpyxl meets hostile bytes with errors of any kind
        raise TableRefused("xlsx", error=type(error).__name__) from error
    return min(lines, LINES_MAX), _guarded(sheets)


def _guarded(sheets: Sequence[Any]) -> Iterator[Row]:
    """Yield the rows of a sheet; whatever breaks on the way is the file's fault."""
    rows, line = _rows(sheets), 0
    while True:
        try:
            with _quiet():
                row = next(rows, None)
        except Exception as error:  # openpyxl meets hostile bytes with errors of any kind
            raise TableRefused("xlsx", line, error=type(error).__name__) from error
        if row is None:
            return
        line = row.line
        if line > LINES_MAX:
            raise TableRefused("lines", line, limit=LINES_MAX)
        yield row


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Say nothing of styles and extensions that openpyxl leaves out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _open(body: bytes, *, values: bool) -> Any:
    with _quiet():
        return openpyxl.load_workbook(
            io.BytesIO(body), read_only=True, data_only=values, keep_links=False
        )


def _look_into(body: bytes) -> bool:
    """Return whether any sheet has formulas. Raises TableRefused for a bomb or an entity."""
    with zipfile.ZipFile(io.BytesIO(body)) as parts:
        infos = parts.infolist()
        sizes = [info.file_size for info in infos]
        strings = [info.file_size for info in infos if info.filename.endswith("sharedStrings.xml")]
        if (
            len(infos) > PARTS_MAX
            or sum(sizes) > UNPACKED_BYTES_MAX
            or sum(strings) > STRINGS_BYTES_MAX
        ):
            raise TableRefused("bomb", limit=UNPACKED_BYTES_MAX // 1024 // 1024)
        has_formulas = False
        for info in infos:
            if info.filename.endswith((".xml", ".rels", ".vml")):
                with parts.open(info) as part:
                    _require_plain(part.read(_HEAD_BYTES_MAX))
            if info.filename.startswith("xl/worksheets/"):
                with parts.open(info) as part:
                    has_formulas = has_formulas or _has_formula(part)
        return has_formulas


class _Begun(Exception):
    """The first element was reached."""


def _require_plain(head: bytes) -> None:
    """Raise TableRefused unless a part comes to its first element without declaring a type.

    Entities can be declared in no other place (XML 1.0, 2.8), so none is ever expanded.
    """

    def declared(*_: object) -> None:
        raise TableRefused("entities")

    def begun(*_: object) -> None:
        raise _Begun

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = declared
    parser.StartElementHandler = begun
    try:
        parser.Parse(head, False)
    except _Begun:
        return
    except expat.ExpatError as error:
        raise TableRefused("xlsx", error=type(error).__name__) from error
    raise TableRefused("entities")


def _has_formula(part: Any) -> bool:
    before = b""
    while some := part.read(1024 * 1024):
        if b"<f>" in (text := before + some) or b"<f " in text or b"<f/" in text:
            return True
        before = some[-2:]
    return False


def _rows(sheets: Sequence[Any]) -> Iterator[Row]:
    """Yield each line, as wide as the heading and one cell more, so that a cell too much shows."""
    heading = next(_cells(sheets[:1], 1, COLUMNS_MAX), ())
    width = max((place for place, cells in enumerate(heading, 1) if _text(cells[0])), default=0)
    if not width:
        return
    for line, pairs in enumerate(_cells(sheets, 1, width + 1), 1):
        texts: list[str] = []
        wrong: dict[int, str] = {}
        for place, (cell, *formula) in enumerate(pairs):
            texts.append(_text(cell))
            if cell.data_type == "e":
                wrong[place] = "cell-error"
            elif cell.value is None and formula and formula[0].data_type == "f":
                wrong[place] = "formula"
        if any(texts) or wrong:
            too_wide = bool(texts[width:] and texts[width]) or width in wrong
            yield Row(line, texts if too_wide else _padded(texts[:width], width), wrong)


def _padded(texts: list[str], width: int) -> list[str]:
    return texts + [""] * (width - len(texts))


def _cells(sheets: Sequence[Worksheet], first: int, width: int) -> Iterator[tuple[Any, ...]]:
    """Yield each row as the same cells of all sheets, the values' first."""
    rows = (sheet.iter_rows(min_row=first, max_col=width) for sheet in sheets)
    for row in zip(*rows, strict=False):
        yield tuple(zip(*row, strict=False))


def _text(cell: Any) -> str:
    """Return a cell's value as a person sees it."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time()
        return str(value.date()) if midnight else value.isoformat(" ")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and not value.is_integer():
        return str(value)
    zeros = _ZEROS.match(cell.number_format or "")
    return f"{int(value):0{len(zeros[1]) if zeros else 1}d}"


# --- writing -------------------------------------------------------------------------------------

_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS: Final = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" '
    f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
    '<sheet name="1" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="r2" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
    "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}">'
    '<numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/></numFmts>'
    '<fonts count="2"><font><sz val="11"/></font><font><b/><sz val="11"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>'
    '<cellXfs count="4"><xf xfId="0"/><xf xfId="0" numFmtId="49" applyNumberFormat="1" '
    'quotePrefix="1"/><xf xfId="0" numFmtId="164" applyNumberFormat="1"/>'
    '<xf xfId="0" fontId="1" applyFont="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>'
    "</styleSheet>",
}
"""All but the sheet. Styles 0: a number; 1: a text that stays one when it is edited; 2: a day; 3: a
heading. The first two fills are Excel's own, whatever stands there."""
_SHEET: Final = (
    f'<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
    '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>'
    "</sheetView></sheetViews><sheetData>"
)
_EPOCH: Final = datetime.date(1899, 12, 30)
"""Day 0 of Excel's count, from 1 March 1900 on: it believes in a 29 February of that year."""
_ROWS_AT_ONCE: Final = 500
_NO_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
"""Characters that XML 1.0 (2.2) has not got."""


class _Pieces(io.RawIOBase):
    """What a zip file is written to: it cannot be wound back, and hands on what has come."""

    def __init__(self) -> None:
        super().__init__()
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, some: Any) -> int:
        self._held += some
        return len(some)

    def take(self) -> bytes:
        taken = bytes(self._held)
        self._held.clear()
        return taken


def write_sheet(heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[bytes]:
    """Yield a workbook in pieces; its heading stays in sight."""
    pieces = _Pieces()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as book:
        for name, text in _PARTS.items():
            book.writestr(name, _HEAD + text)
        with book.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            head = "".join(_string(one, 3) for one in heads)
            sheet.write(f"{_HEAD}{_SHEET}<row>{head}</row>".encode())
            some: list[str] = []
            for row in rows:
                some.append(f"<row>{''.join(map(_cell, row))}</row>")
                if len(some) == _ROWS_AT_ONCE:
                    sheet.write("".join(some).encode())
                    some.clear()
                    yield pieces.take()
            sheet.write(("".join(some) + "</sheetData></worksheet>").encode())
    yield pieces.take()


def _cell(value: Cell) -> str:
    if value is None or value == "":
        return "<c/>"
    if isinstance(value, str):
        return _string(value, 1)
    if isinstance(value, datetime.date):
        if value < datetime.date(1900, 3, 1):
            return _string(value.isoformat(), 1)
        return f'<c s="2"><v>{(value - _EPOCH).days}</v></c>'
    return f"<c><v>{value}</v></c>"


def _string(text: str, style: int) -> str:
    plain = escape(_NO_XML.sub("\ufffd", text))
    return f'<c s="{style}" t="inlineStr"><is><t xml:space="preserve">{plain}</t></is></c>'
