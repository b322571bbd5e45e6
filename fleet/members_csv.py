"""Members from a file, CSV or XLSX: every line is judged before any of them is taken in.

Columns (the first line names them, in either language, in any order); those with * must have a
value: registration_number* 登録番号, name* 氏名, kana フリガナ, birth_date 生年月日, credential
識別符号, scheme 方式, key_epoch 鍵世代, category 区分, valid_from 有効開始日, valid_to
有効終了日, household 世帯番号; カナ, 有効開始 and 有効終了 are read too. Days are written
2026-04-01, 2026/4/1, R8.4.1 or 令和8年4月1日. A column that is not there leaves what is known as it
is; an empty cell empties it. A second line with the same number adds a second card and must agree
in everything else. The columns 行 and エラー, which a marked file brings back, are not looked at.
A file that takes an import back has a column more for each, 取り込み後の氏名 and so on: a value is
taken in only while what is stored is still the value beside it.
`members_import` then takes the lines in.
"""

import datetime
import difflib
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from fleet import tables
from fleet.tables import COLUMNS_MAX, LINES_MAX, Row, Table, TableRefused
from programmes.calendar import read_day
from programmes.texts import Language, say
from wire.credential import Scheme, parse_credential
from wire.individual_number import looks_like_individual_number

FILE_BYTES_MAX: Final = 256 * 1024 * 1024
"""A million lines of 250 bytes."""
CELL_MAX: Final = 200
"""Characters of one cell: no Japanese name or number comes near it."""
CATEGORY_MAX: Final = 40
"""Also of a household: what a roster and a page have room for."""
ERRORS_SHOWN_MAX: Final = 100
"""Wrong cells that are shown at once; nobody reads more before something is corrected."""
ERRORS_KEPT_MAX: Final = 1_000
"""Wrong cells that are kept for the marked file, about 150 kB; all wrong lines are counted."""
INDIVIDUAL_MAX: Final = 20
"""Individual numbers of one column that are named one by one; with more it is the column."""

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
    "世帯番号": "household",
}
SHORT_HEADINGS: Final[Mapping[str, str]] = {
    "カナ": "kana",
    "有効開始": "valid_from",
    "有効終了": "valid_to",
}
"""As other systems export them."""
COLUMNS: Final = tuple(HEADINGS.values())
_AFTER: Final = "取り込み後の"
LINE, ERROR = "行", "エラー"
NOT_READ: Final = frozenset({LINE, ERROR, "line", "error"})
"""What a marked file has beside its own columns."""
ABOUT: Final = ("name", "kana", "birth_date", "category", "valid_from", "valid_to", "household")
"""Everything but the number and the card."""
WRITTEN: Final[Mapping[str, str]] = {
    _AFTER + heading: name for heading, name in HEADINGS.items() if name in ABOUT
}
"""What an import has written, by heading: the columns of the file that takes it back."""
_REQUIRED: Final = ("registration_number", "name")
_ROSTER_DAYS: Final = (datetime.date(2000, 1, 2), datetime.date(2179, 6, 5))
"""What a roster can carry (wire.roster)."""


_NAMED: Final = frozenset({"programme", "scheme"})


class LineError(NamedTuple):
    """What is wrong in one cell. `line` counts from 1, the header included; 0: the file.

    `code` names the sentence web.import.wrong.<code>, which says what to do.
    """

    line: int
    column: str
    code: str
    arguments: Mapping[str, str | int] = {}

    def named(self, language: Language) -> Mapping[str, str | int]:
        """Return its arguments as clerks know them: programmes and schemes by name."""
        return {
            name: say(f"web.{name}.{value}", language) if name in _NAMED else value
            for name, value in self.arguments.items()
        }

    @property
    def what(self) -> str:
        """The sentence, for the command line."""
        return say(f"web.import.wrong.{self.code}", "en", **self.arguments)


class FileRefused(Exception):
    """The file is not taken in; nothing was changed."""

    def __init__(self, errors: Sequence[LineError]) -> None:
        super().__init__(f"{len(errors)} lines cannot be taken in")
        self.errors: Final = list(errors)


class CellRefused(ValueError):
    """A cell's value cannot be used; see LineError."""

    def __init__(self, code: str, **arguments: str | int) -> None:
        super().__init__(code)
        self.code: Final = code
        self.arguments: Final = arguments


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
    household: str
    written: dict[str, Any] | None = None
    """By column: what must still be stored for this line's value to count; None: it counts."""

    @property
    def about_member(self) -> tuple[object, ...]:
        """Everything but the number and the card."""
        return tuple(getattr(self, column) for column in ABOUT)


class Judged(NamedTuple):
    """A file whose every line was looked at."""

    columns: tuple[str, ...]
    """What each place of a line holds; those that are not read are among them."""
    lines: list[Line]
    """The good ones."""
    errors: list[LineError]
    """By line; at most ERRORS_KEPT_MAX."""
    refused: int
    """Lines with something wrong."""
    total: int


Progress = Callable[[int], None]
"""Called with the number of lines done since the last call."""
Keep = Callable[[Row], None]
"""Called with each line as it was read, individual numbers taken out."""


def read_file(path: Path, progress: Progress = lambda _: None) -> Judged:
    """Return every line of a good file. Raises FileRefused with all that is wrong, line by line."""
    if path.stat().st_size > FILE_BYTES_MAX:
        raise FileRefused([LineError(0, "", "large", {"limit": FILE_BYTES_MAX})])
    try:
        judged = judge(tables.read(path.read_bytes()), progress=progress)
    except TableRefused as error:
        raise refused_table(error) from error
    if judged.errors:
        raise FileRefused(judged.errors[:ERRORS_SHOWN_MAX])
    return judged


def refused_table(error: TableRefused) -> FileRefused:
    """Return the refusal of a file that is no table as one of its lines."""
    return FileRefused([LineError(error.line, "", error.code, error.arguments)])


def judge(table: Table, keep: Keep = lambda _: None, progress: Progress = lambda _: None) -> Judged:
    """Look at every line. Raises FileRefused for its headings, TableRefused when it is no table."""
    heading = next(table.rows, Row(1, []))
    columns = _columns(heading.cells)
    keep(Row(heading.line, heading.cells[: len(columns)]))
    judging = _Judging(columns)
    for row in table.rows:
        if any(row.cells) or row.wrong:
            keep(judging.take(row))
        progress(1)
    return judging.judged()


def _columns(cells: Sequence[str]) -> tuple[str, ...]:
    names = [_heading(cell) for cell in cells]
    while names and not names[-1]:
        names.pop()
    if len(names) > COLUMNS_MAX:
        raise FileRefused([LineError(1, "", "columns", {"limit": COLUMNS_MAX})])
    known = {*COLUMNS, *NOT_READ, *WRITTEN}
    unknown = [name for name in names if name not in known]
    errors = [_meant(name) for name in unknown]
    errors += [LineError(1, name, "column-missing") for name in _REQUIRED if name not in names]
    errors += [
        LineError(1, name, "column-twice") for name in sorted(set(names)) if names.count(name) > 1
    ]
    if errors:
        raise FileRefused(errors[:ERRORS_SHOWN_MAX])
    return tuple(names)


def _heading(cell: str) -> str:
    """Return the column that a heading names, or the heading (half-width kana count as kana)."""
    name = unicodedata.normalize("NFKC", cell).strip()[:CELL_MAX]
    return HEADINGS.get(name) or SHORT_HEADINGS.get(name) or name


def _meant(name: str) -> LineError:
    if looks_like_individual_number(name):
        return LineError(1, "", "individual-number")
    near = difflib.get_close_matches(name.lower(), [*HEADINGS, *COLUMNS], n=1)
    if near:
        return LineError(1, name, "column-meant", {"near": near[0]})
    return LineError(1, name, "column-unknown")


class _Judging:
    """What is known of a file while its lines come."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._columns = columns
        self._read = [place for place, name in enumerate(columns) if name not in NOT_READ]
        self._absent = {name: read("") for name, read in _READ.items() if name not in columns}
        self._lines: list[Line] = []
        self._errors: list[LineError] = []
        self._cards: dict[str, int] = {}
        self._numbers: dict[str, Line] = {}
        self._individual: dict[str, int] = {}
        self._refused = self._total = 0

    def take(self, row: Row) -> Row:
        """Judge one line; return it without individual numbers."""
        self._total += 1
        if self._total > LINES_MAX:
            raise TableRefused("lines", row.line, limit=LINES_MAX)
        cells = [cell.strip() for cell in row.cells]
        width = len(self._columns)
        errors: list[LineError] = []
        if len(cells) < width or any(cells[width:]):
            places = {"cells": len(cells), "columns": width}
            errors.append(LineError(row.line, "", "width", places))
            cells = (cells + [""] * width)[:width]
        individual = {place for place, cell in enumerate(cells) if is_individual(cell)}
        for place in individual:
            cells[place] = ""
        self._judge(Row(row.line, cells, row.wrong), individual, errors)
        if errors:
            self._refused += 1
            self._errors += errors[: ERRORS_KEPT_MAX - len(self._errors)]
        return Row(row.line, cells[:width])

    def _judge(self, row: Row, individual: set[int], errors: list[LineError]) -> None:
        values: dict[str, Any] = {"line": row.line, **self._absent}
        written: dict[str, Any] = {}
        broken = bool(errors)
        for place in self._read:
            column = self._columns[place]
            try:
                if place in individual:
                    broken = True
                    self._note_individual(row.line, column, errors)
                elif place in row.wrong:
                    raise CellRefused(row.wrong[place])
                else:
                    held = values if column not in WRITTEN else written
                    name = WRITTEN.get(column, column)
                    held[name] = _value(name, row.cells[place])
            except CellRefused as error:
                errors.append(LineError(row.line, column, error.code, error.arguments))
        if errors or broken:
            self._refused += not errors
            return
        errors += [LineError(row.line, *wrong) for wrong in _together(values)]
        if not errors:
            line = Line(**values, written=written or None)
            errors += self._contradictions(line)
            self._lines.append(line)

    def _note_individual(self, line: int, column: str, errors: list[LineError]) -> None:
        """Name an individual number, unless its column has brought too many to name each."""
        self._individual[column] = self._individual.get(column, 0) + 1
        if self._individual[column] <= INDIVIDUAL_MAX:
            errors.append(LineError(line, column, "individual-number"))

    def _contradictions(self, line: Line) -> list[LineError]:
        """Return what contradicts an earlier line of the same file."""
        errors = []
        if line.credential:
            if line.credential in self._cards:
                other = {"other": self._cards[line.credential]}
                errors.append(LineError(line.line, "credential", "card-twice", other))
            self._cards[line.credential] = line.line
        former = self._numbers.setdefault(line.registration_number, line)
        if former is not line and (
            former.about_member != line.about_member or not line.credential or not former.credential
        ):
            other = {"other": former.line}
            errors.append(LineError(line.line, "registration_number", "number-twice", other))
        return errors

    def judged(self) -> Judged:
        """Return the whole file; a column full of individual numbers is named once, first."""
        whole = {name for name, count in self._individual.items() if count > INDIVIDUAL_MAX}
        errors = [
            LineError(1, name, "individual-column", {"n": self._individual[name]})
            for name in sorted(whole)
        ]
        errors += [
            one
            for one in self._errors
            if one.code != "individual-number" or one.column not in whole
        ]
        return Judged(self._columns, self._lines, errors, self._refused, self._total)


def is_individual(cell: str) -> bool:
    """True for an individual number; quick for the short plain texts that most cells are."""
    return not (len(cell) < 12 and cell.isascii()) and looks_like_individual_number(cell)


# --- one cell ------------------------------------------------------------------------------------


def _value(column: str, cell: str) -> object:
    """Return one cell's value. Raises CellRefused."""
    if len(cell) > CELL_MAX:
        raise CellRefused("long", limit=CELL_MAX)
    if not cell and column in _REQUIRED:
        raise CellRefused("empty")
    if not cell.isprintable():
        raise CellRefused("control")
    return _READ[column](cell)


def _same(cell: str) -> str:
    return cell


def _plain(cell: str) -> str:
    """Full-width digits and half-width kana as everybody searches for them."""
    return cell if cell.isascii() else unicodedata.normalize("NFKC", cell)


def _short(cell: str) -> str:
    if len(cell) > CATEGORY_MAX:
        raise CellRefused("long", limit=CATEGORY_MAX)
    return cell


def _day(cell: str) -> datetime.date | None:
    try:
        return read_day(cell) if cell else None
    except ValueError as error:
        raise CellRefused("day", cell=cell[:40]) from error


def _validity(cell: str) -> datetime.date | None:
    day = _day(cell)
    if day and not _ROSTER_DAYS[0] <= day <= _ROSTER_DAYS[1]:
        first, last = map(str, _ROSTER_DAYS)
        raise CellRefused("validity", first=first, last=last)
    return day


def _credential(cell: str) -> str:
    try:
        return parse_credential(cell.lower()) if cell else ""
    except ValueError as error:
        raise CellRefused("credential") from error


def _scheme(cell: str) -> str:
    if cell and cell not in set(Scheme):
        raise CellRefused("scheme", names=", ".join(Scheme))
    return cell


def _key_epoch(cell: str) -> int:
    if not cell:
        return 1
    if not (cell.isascii() and cell.isdigit()) or not 1 <= int(cell) <= 65_535:
        raise CellRefused("key-epoch")
    return int(cell)


_READ: Final[Mapping[str, Callable[[str], object]]] = {
    "registration_number": _plain,
    "name": _same,
    "kana": _plain,
    "birth_date": _day,
    "credential": _credential,
    "scheme": _scheme,
    "key_epoch": _key_epoch,
    "category": _short,
    "valid_from": _validity,
    "valid_to": _validity,
    "household": _short,
}


def _together(values: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Return what is wrong between the cells of one line."""
    if bool(values["credential"]) != bool(values["scheme"]):
        yield "scheme", "card-half"
    if values["valid_from"] and values["valid_to"] and values["valid_to"] < values["valid_from"]:
        yield "valid_to", "ends-first"
