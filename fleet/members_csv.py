"""Members from a CSV file: every line is judged first, and all of them are taken in, or none.

Columns (the first line names them, in either language, in any order); those with * must have a
value: registration_number* 登録番号, name* 氏名, kana フリガナ, birth_date 生年月日, credential
識別符号, scheme 方式, key_epoch 鍵世代, category 区分, valid_from 有効開始日, valid_to
有効終了日; カナ, 有効開始 and 有効終了 are read too. Days are written 2026-04-01 or 2026/4/1.
UTF-8, with or without a BOM. A second line with the same number adds a second card and must agree
in everything else. `members_import` then takes the lines in.
"""

import csv
import datetime
import difflib
import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from wire.credential import Scheme, parse_credential
from wire.individual_number import IndividualNumberRefused, refuse_individual_number

FILE_BYTES_MAX: Final = 256 * 1024 * 1024
"""A million lines of 250 bytes."""
LINES_MAX: Final = 1_000_000
CELL_MAX: Final = 200
"""Characters of one cell: no Japanese name or number comes near it."""
ERRORS_SHOWN_MAX: Final = 100
"""After so many wrong lines the file as a whole is wrong; the rest is not looked at."""

HEADINGS: Final[Mapping[str, str]] = {
    "登録番号": "registration_number",
    "氏名": "name",
    "フリガナ": "kana",
    "生年月日": "birth_date",
    "識別符号": "credential",
    "方式": "scheme",
    "鍵世代": "key_epoch",
    "区分": "category",
    "有効開始日": "valid_from",
    "有効終了日": "valid_to",
}
SHORT_HEADINGS: Final[Mapping[str, str]] = {
    "カナ": "kana",
    "有効開始": "valid_from",
    "有効終了": "valid_to",
}
"""As other systems export them."""
COLUMNS: Final = tuple(HEADINGS.values())
_REQUIRED: Final = ("registration_number", "name")
_DAY: Final = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})\Z", re.ASCII)
_ROSTER_DAYS: Final = (datetime.date(2000, 1, 2), datetime.date(2179, 6, 5))
"""What a roster can carry (wire.roster)."""


class LineError(NamedTuple):
    """What is wrong in one cell, and what to do. `line` counts from 1, the header included."""

    line: int
    column: str
    what: str


class FileRefused(Exception):
    """The file is not taken in; nothing was changed."""

    def __init__(self, errors: Sequence[LineError]) -> None:
        super().__init__(f"{len(errors)} lines cannot be taken in")
        self.errors: Final = list(errors)


class Line(msgspec.Struct, frozen=True):
    """One line, read and bounded."""

    line: int
    registration_number: str
    name: str
    kana: str
    birth_date: datetime.date | None
    credential: str
    scheme: str
    key_epoch: int
    category: str
    valid_from: datetime.date | None
    valid_to: datetime.date | None

    @property
    def about_member(self) -> tuple[object, ...]:
        """Everything but the card."""
        return (
            self.name,
            self.kana,
            self.birth_date,
            self.category,
            self.valid_from,
            self.valid_to,
        )


Progress = Callable[[int], None]
"""Called with the number of lines done since the last call."""


def read_file(path: Path, progress: Progress = lambda _: None) -> list[Line]:
    """Return every line. Raises FileRefused with all that is wrong, line by line."""
    if path.stat().st_size > FILE_BYTES_MAX:
        raise FileRefused([LineError(0, "", f"the file is larger than {FILE_BYTES_MAX} bytes")])
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        what = "not UTF-8: save it as «CSV UTF-8» (Excel: 名前を付けて保存 → CSV UTF-8)"
        raise FileRefused([LineError(line, "", what)]) from error
    return list(_lines(csv.reader(io.StringIO(text, newline=""), strict=True), progress))


def _lines(rows: Any, progress: Progress) -> Iterator[Line]:
    errors: list[LineError] = []
    found: list[Line] = []
    cards: dict[str, int] = {}
    numbers: dict[str, Line] = {}
    try:
        headings = _headings(next(rows, []))
        for cells in rows:
            if not any(cells):
                continue
            line = _line(rows.line_num, headings, cells, errors)
            if line is not None:
                _compare(line, cards, numbers, errors)
                found.append(line)
            if len(found) > LINES_MAX:
                errors.append(LineError(rows.line_num, "", f"more than {LINES_MAX} lines: split"))
            if len(errors) >= ERRORS_SHOWN_MAX:
                break
            progress(1)
    except csv.Error as error:
        errors.append(LineError(rows.line_num, "", f"not CSV: {error}; check the quotes"))
    if errors:
        raise FileRefused(errors)
    return iter(found)


def _headings(cells: Sequence[str]) -> list[str]:
    names = [_heading(cell) for cell in cells]
    unknown = [name for name in names if name not in COLUMNS]
    errors = [LineError(1, name, _meant(name)) for name in unknown]
    errors += [
        LineError(1, name, "this column is missing") for name in _REQUIRED if name not in names
    ]
    errors += [
        LineError(1, name, "this column stands twice")
        for name in sorted(set(names))
        if names.count(name) > 1
    ]
    if errors:
        raise FileRefused(errors)
    return names


def _heading(cell: str) -> str:
    """Return the column that a heading names, or the heading (half-width kana count as kana)."""
    name = unicodedata.normalize("NFKC", cell).strip()
    return HEADINGS.get(name) or SHORT_HEADINGS.get(name) or name


def _meant(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), [*HEADINGS, *COLUMNS], n=1)
    if near:
        return f"unknown column: did you mean {near[0]}? If not, take it out"
    return "unknown column: take it out"


def _line(
    number: int, headings: Sequence[str], cells: Sequence[str], errors: list[LineError]
) -> Line | None:
    if len(cells) != len(headings):
        what = f"{len(cells)} cells, but the header has {len(headings)}: check commas and quotes"
        errors.append(LineError(number, "", what))
        return None
    values: dict[str, Any] = {"line": number}
    before = len(errors)
    row = dict(zip(headings, (cell.strip() for cell in cells), strict=True))
    for column in COLUMNS:
        try:
            values[column] = _value(column, row.get(column, ""))
        except ValueError as error:
            errors.append(LineError(number, column, str(error)))
    if len(errors) == before:
        errors += [LineError(number, *wrong) for wrong in _together(values)]
    return Line(**values) if len(errors) == before else None


def _value(column: str, cell: str) -> object:
    """Return one cell's value. Raises ValueError saying what to do."""
    if len(cell) > CELL_MAX:
        raise ValueError(f"longer than {CELL_MAX} characters")
    try:
        refuse_individual_number(column, cell)
    except IndividualNumberRefused as error:
        raise ValueError(str(error)) from error
    if not cell and column in _REQUIRED:
        raise ValueError("must have a value")
    if any(not character.isprintable() for character in cell):
        raise ValueError("has a control character or line break: take it out")
    return _READ.get(column, _same)(cell)


def _same(cell: str) -> str:
    return cell


def _category(cell: str) -> str:
    if len(cell) > 40:
        raise ValueError("a category has at most 40 characters")
    return cell


def _day(cell: str) -> datetime.date | None:
    if not cell:
        return None
    match = _DAY.match(cell)
    try:
        return datetime.date(*map(int, match.groups())) if match else _no_day(cell)
    except ValueError:
        return _no_day(cell)


def _no_day(cell: str) -> datetime.date:
    raise ValueError(f"{cell!r} is no day: write it as 2026-04-01")


def _validity(cell: str) -> datetime.date | None:
    day = _day(cell)
    if day and not _ROSTER_DAYS[0] <= day <= _ROSTER_DAYS[1]:
        raise ValueError(f"use a day from {_ROSTER_DAYS[0]} to {_ROSTER_DAYS[1]}, or leave empty")
    return day


def _credential(cell: str) -> str:
    return parse_credential(cell.lower()) if cell else ""


def _scheme(cell: str) -> str:
    if cell and cell not in set(Scheme):
        raise ValueError(f"use one of {', '.join(Scheme)}")
    return cell


def _key_epoch(cell: str) -> int:
    if not cell:
        return 1
    if not (cell.isascii() and cell.isdigit()) or not 1 <= int(cell) <= 65_535:
        raise ValueError("a key epoch is a number from 1 to 65535")
    return int(cell)


_READ: Final[Mapping[str, Callable[[str], object]]] = {
    "birth_date": _day,
    "valid_from": _validity,
    "valid_to": _validity,
    "credential": _credential,
    "scheme": _scheme,
    "key_epoch": _key_epoch,
    "category": _category,
}


def _together(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is wrong between the cells of one line."""
    wrong = []
    if bool(values["credential"]) != bool(values["scheme"]):
        wrong.append(("scheme", "credential and scheme go together"))
    if values["valid_from"] and values["valid_to"] and values["valid_to"] < values["valid_from"]:
        wrong.append(("valid_to", "ends before it begins"))
    return wrong


def _compare(
    line: Line, cards: dict[str, int], numbers: dict[str, Line], errors: list[LineError]
) -> None:
    """Find what contradicts an earlier line of the same file."""
    if line.credential:
        if line.credential in cards:
            what = f"the same card stands in line {cards[line.credential]}"
            errors.append(LineError(line.line, "credential", what))
        cards[line.credential] = line.line
    former = numbers.setdefault(line.registration_number, line)
    if former is not line and (
        former.about_member != line.about_member or not line.credential or not former.credential
    ):
        what = f"line {former.line} has this number with other data"
        errors.append(LineError(line.line, "registration_number", what))
