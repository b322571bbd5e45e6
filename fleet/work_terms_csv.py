"""Terms of work from a table: one line a member and first day, all of it taken in or nothing.

Rules: every line is judged, and what is wrong is said by line and column; a line that says what is
in force already changes nothing; hours of a weekday are written as people write them
(`fleet.work_shift_text`); without any weekday's column the customary week holds.
"""

import datetime
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet import tables, work_shift_text, work_terms
from fleet.schema import member
from fleet.tables import TableRefused
from fleet.work_acts import Act, WorkRefused
from fleet.work_shift_text import ShiftRefused
from fleet.work_terms import NewTerm
from programmes import attendance
from programmes.calendar import read_day
from programmes.texts import say
from programmes.work_hours import Pattern
from wire.individual_number import IndividualNumberRefused, looks_like_individual_number

LINES_MAX: Final = 20_000
"""All staff of a city of a million; a file of 3 MB."""
FILE_BYTES_MAX: Final = 16 * 1024 * 1024
ERRORS_MAX: Final = 100
"""Wrong cells that are said at once."""
HEADINGS: Final[Mapping[str, str]] = {
    "登録番号": "registration_number",
    "適用開始日": "valid_from",
    "学校": "organisation",
    "職員区分": "staff",
    "任用区分": "engaged",
    "月": "monday",
    "火": "tuesday",
    "水": "wednesday",
    "木": "thursday",
    "金": "friday",
    "土": "saturday",
    "日": "sunday",
    "理由": "why",
}
COLUMNS: Final = tuple(HEADINGS.values())
WEEK: Final = COLUMNS[5:12]
_REQUIRED: Final = ("registration_number", "valid_from", "organisation")
_STAFF: Final = {"教員": "teacher", "事務": "office", "": "teacher"}
_ENGAGED: Final = {
    "常勤": "full-time",
    "再任用": "reappointed",
    "非常勤": "part-time",
    "代替": "substitute",
    "来訪": "visitor",
    "": "full-time",
}


class Wrong(NamedTuple):
    """What is wrong in one cell; `line` counts from 1, the heading included, 0: the file."""

    line: int
    column: str
    sentence: str
    arguments: Mapping[str, str | int] = {}

    @property
    def what(self) -> str:
        """The sentence, for the command line."""
        return say(self.sentence, "en", **self.arguments)


class TermsRefused(Exception):
    """The file is not taken in; nothing was changed."""

    def __init__(self, errors: Sequence[Wrong]) -> None:
        super().__init__(f"{len(errors)} cells cannot be taken in")
        self.errors: Final = list(errors[:ERRORS_MAX])


class Taken(NamedTuple):
    """What a file has brought."""

    added: int
    unchanged: int


class _Line(NamedTuple):
    line: int
    number: str
    term: NewTerm
    why: str


def take_in(connection: sa.Connection, body: bytes, who: str, at_ms: int) -> Taken:
    """Take a file in, in the caller's transaction. Raises TermsRefused, and then it must not stand.

    Try a file by leaving the transaction undone.
    """
    lines, errors = _read(body)
    numbers = _numbers(connection)
    enrolled = work_terms.of_members(connection, numbers.values())
    added = unchanged = 0
    for one in lines:
        member_id = numbers.get(one.number)
        if member_id is None:
            errors.append(Wrong(one.line, "registration_number", "work.refused.no-member"))
            continue
        if enrolled[member_id].has(one.term):
            unchanged += 1
            continue
        try:
            work_terms.add(connection, Act(member_id, who, at_ms, one.why), one.term)
            added += 1
        except WorkRefused as error:
            sentence = f"work.refused.{error.reason}"
            errors.append(Wrong(one.line, "", sentence, error.arguments))
        except IndividualNumberRefused:
            errors.append(Wrong(one.line, "why", "web.import.wrong.individual-number"))
    if errors:
        raise TermsRefused(sorted(errors, key=lambda one: one.line))
    return Taken(added, unchanged)


def _numbers(connection: sa.Connection) -> dict[str, int]:
    rows = connection.execute(
        sa.select(member.c.registration_number, member.c.id).where(
            member.c.programme == attendance.NAME, member.c.erased_at_ms.is_(None)
        )
    )
    return dict(rows.all())


# --- the file ------------------------------------------------------------------------------------


def _read(body: bytes) -> tuple[list[_Line], list[Wrong]]:
    if len(body) > FILE_BYTES_MAX:
        raise TermsRefused([Wrong(0, "", "web.import.wrong.large", {"limit": FILE_BYTES_MAX})])
    try:
        return _judged(tables.read(body))
    except TableRefused as error:
        sentence = f"web.import.wrong.{error.code}"
        raise TermsRefused([Wrong(error.line, "", sentence, error.arguments)]) from error


def _judged(table: tables.Table) -> tuple[list[_Line], list[Wrong]]:
    heading = next(table.rows, tables.Row(1, []))
    columns = [_heading(cell) for cell in heading.cells]
    while columns and not columns[-1]:
        columns.pop()
    errors = [*_wrong_columns(columns)]
    if errors:
        raise TermsRefused(errors)
    lines: list[_Line] = []
    seen: dict[tuple[str, datetime.date], int] = {}
    for row in table.rows:
        if row.line > LINES_MAX + 1:
            raise TableRefused("lines", row.line, limit=LINES_MAX)
        if not any(row.cells):
            continue
        cells = dict(zip(columns, [*map(_plain, row.cells), *[""] * len(columns)], strict=False))
        found = [*_wrong_cells(row.line, cells)]
        errors += found
        if found:
            continue
        one = _line(row.line, cells)
        other = seen.setdefault((one.number, one.term.valid_from), row.line)
        if other != row.line:
            told = {"other": other}
            errors.append(Wrong(row.line, "valid_from", "work.terms.twice", told))
        lines.append(one)
    return lines, errors


def _heading(cell: str) -> str:
    name = _plain(cell)
    return HEADINGS.get(name, name)


def _plain(cell: str) -> str:
    return unicodedata.normalize("NFKC", cell).strip()


def _wrong_columns(columns: Sequence[str]) -> Iterator[Wrong]:
    for name in columns:
        if name not in COLUMNS:
            told = "" if looks_like_individual_number(name) else name[:40]
            yield Wrong(1, told, "web.import.wrong.column-unknown")
    for name in _REQUIRED:
        if name not in columns:
            yield Wrong(1, name, "web.import.wrong.column-missing")
    for name in sorted(set(columns)):
        if list(columns).count(name) > 1:
            yield Wrong(1, name, "web.import.wrong.column-twice")


def _wrong_cells(line: int, cells: Mapping[str, str]) -> Iterator[Wrong]:
    for name, cell in cells.items():
        if looks_like_individual_number(cell):
            yield Wrong(line, name, "web.import.wrong.individual-number")
            return
    for name in _REQUIRED:
        if not cells[name]:
            yield Wrong(line, name, "web.import.wrong.empty")
            return
    try:
        read_day(cells["valid_from"])
    except ValueError:
        shown = {"cell": cells["valid_from"][:40]}
        yield Wrong(line, "valid_from", "web.import.wrong.day", shown)
    if cells.get("staff", "") not in {*_STAFF, *_STAFF.values()}:
        yield Wrong(line, "staff", "work.refused.staff")
    if cells.get("engaged", "") not in {*_ENGAGED, *_ENGAGED.values()}:
        yield Wrong(line, "engaged", "work.refused.staff")
    for name in WEEK:
        try:
            work_shift_text.read(cells.get(name, "休"))
        except ShiftRefused:
            yield Wrong(line, name, "work.terms.shift")


def _line(line: int, cells: Mapping[str, str]) -> _Line:
    staff, engaged = cells.get("staff", ""), cells.get("engaged", "")
    pattern = Pattern()
    if any(name in cells for name in WEEK):
        monday, tuesday, wednesday, thursday, friday, saturday, sunday = (
            work_shift_text.read(cells.get(name, "休")) for name in WEEK
        )
        pattern = Pattern((monday, tuesday, wednesday, thursday, friday, saturday, sunday))
    term = NewTerm(
        read_day(cells["valid_from"]),
        cells["organisation"],
        _STAFF.get(staff, staff),  # type: ignore[arg-type]  # judged before
        _ENGAGED.get(engaged, engaged),  # type: ignore[arg-type]  # judged before
        pattern,
    )
    return _Line(line, cells["registration_number"], term, cells.get("why", ""))
