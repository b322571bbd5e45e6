"""Files of members on their way in: the row by which pages and the working process meet.

Rules: a file is looked at first, always, and taken in only as it was looked at; one file of a
programme is worked on at a time; the work is done by a process of its own (`fleet.import_work`),
which gives a sign of life twice a second; one that is silent for SILENT_MS is cut: nothing of it
was taken in, and what was cut while it was taken in can be begun again. An individual number never
gets into a row. What people are called stands in a row for a day, and for KEPT_UNDO_MS what an
import changed, so that it can be taken back; then only counts are left, and no file's name.
"""

import csv
import enum
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from fleet import audit, store, tables
from fleet.members_csv import ERROR, LINE, FileRefused, LineError
from fleet.schema import import_job
from fleet.tables import Row
from programmes.texts import Language, say

SILENT_MS: Final = 120_000
"""A process that is alive gives a sign every half second, but none while all is written: 10 s of
100,000 members on SQLite, and a minute on a machine that is busy."""
KEPT_MS: Final = 24 * 3_600_000
"""A file that nobody takes in is gone the next day."""
KEPT_UNDO_MS: Final = 7 * KEPT_MS
"""Within a week somebody will have asked why the list is wrong."""
KEPT_REPORT_MS: Final = 400 * KEPT_MS
"""Counts of a yearly list, until after the next one."""
RUNNING_MAX: Final = 3
"""Files that are worked on at once, of all programmes: each takes a processor core."""
LISTED_MAX: Final = 20
"""Former files on the page."""
SHOWN_MAX: Final = 100
"""Wrong lines, changes and new numbers that a report shows."""
FILE_NAME_MAX: Final = 100
NAMELESS: Final = "*"
"""Stands for the name of a file that was forgotten: no system lets a file be called so."""
KINDS: Final = frozenset({"csv", "txt", "xlsx"})
"""What may be kept of a forgotten name; any other ending may itself be a name."""


class State(enum.StrEnum):
    """How far a file has come."""

    LOOKING = "looking"
    LOOKED = "looked"
    TAKING = "taking"
    TAKEN = "taken"
    CUT = "cut"
    """The process is gone; nothing of the file was taken in."""
    DROPPED = "dropped"
    """Given up by a clerk, or nobody came for it in time."""


MOVES: Final[Mapping[State, frozenset[State]]] = {
    State.LOOKING: frozenset({State.LOOKED, State.CUT, State.DROPPED}),
    State.LOOKED: frozenset({State.TAKING, State.DROPPED}),
    State.TAKING: frozenset({State.TAKEN, State.LOOKED, State.CUT, State.DROPPED}),
    State.CUT: frozenset({State.TAKING, State.DROPPED}),
    State.TAKEN: frozenset(),
    State.DROPPED: frozenset(),
}
"""From TAKING back to LOOKED when the members have changed since the file was looked at."""
RUNNING: Final = frozenset({State.LOOKING, State.TAKING})


class JobRefused(ValueError):
    """This cannot be done with a file; nothing was changed. `reason`: running, busy or state."""

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason: Final = reason


class Change(NamedTuple):
    """One value that an import changes."""

    number: str
    column: str
    old: str
    new: str


class Report(msgspec.Struct, frozen=True):
    """What came of looking at a file."""

    format: str
    lines: int = 0
    refused: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    cards: int = 0
    errors: list[tuple[int, str, str, dict[str, str | int]]] = []
    headings: list[str] = []
    """As the file has them."""
    columns: list[str] = []
    """What each of them means."""
    wrong: list[tuple[int, list[str]]] = []
    """The first wrong lines as they stand in the file, by line."""
    new_numbers: list[str] = []
    """The first registration numbers that are added."""
    changes: list[Change] = []
    stays: list[Change] = []
    """What taking an import back leaves alone: corrected since. `new`: what was there before."""
    fingerprint: str = ""
    moved: bool = False
    """The members have changed since the file was looked at before."""
    basis_id: int | None = None
    """Of the consent that the clerk declared for all of its members."""

    @property
    def may_be_taken(self) -> bool:
        """True when nothing is wrong and something would be done."""
        return not self.errors and not self.refused and bool(self.added + self.changed + self.cards)

    @property
    def shows_people(self) -> bool:
        """True when it names members or has cells; a file without headings tells its first line."""
        unread = self.errors and not self.headings
        return bool(self.wrong or self.changes or self.stays or unread)

    def errors_by_line(self) -> dict[int, list[LineError]]:
        """Return what is wrong, by line."""
        found: dict[int, list[LineError]] = {}
        for one in self.errors:
            found.setdefault(one[0], []).append(LineError(*one))
        return found

    def without_people(self) -> "Report":
        """Return the counts alone."""
        return msgspec.structs.replace(self, wrong=[], changes=[], stays=[], errors=[])


class Job(NamedTuple):
    """A row, without the file."""

    id: int
    programme: str
    file_name: str
    has_body: bool
    state: State
    done: int
    total: int
    report: Report | None
    begun_at_ms: int
    heard_at_ms: int
    ended_at_ms: int | None
    who: str

    def is_silent(self, at_ms: int) -> bool:
        """True when its process has given no sign for so long that it must be gone.

        A sign from ahead was given before the clock was set back, and counts no more.
        """
        return self.state in RUNNING and abs(self.heard_at_ms - at_ms) > SILENT_MS

    @property
    def shows_people(self) -> bool:
        """True when its page names members, or shows lines of the file."""
        report = self.report
        waits = self.state in (State.LOOKED, State.CUT)
        return waits and report is not None and report.shows_people

    @property
    def percent(self) -> int:
        """How far its reading has come; 0 while nobody knows."""
        return min(100, 100 * self.done // self.total) if self.total else 0


_COLUMNS: Final = tuple(
    import_job.c.body.is_not(None).label("has_body") if name == "has_body" else import_job.c[name]
    for name in Job._fields
)


def _job(row: Sequence[Any]) -> Job:
    job = Job(*row)
    report = None if job.report is None else msgspec.convert(job.report, Report, strict=False)
    return job._replace(state=State(job.state), report=report)


def get(connection: sa.Connection, job: int) -> Job | None:
    """Return one job."""
    row = connection.execute(sa.select(*_COLUMNS).where(import_job.c.id == job)).one_or_none()
    return None if row is None else _job(row)


def newest(connection: sa.Connection, programme: str) -> list[Job]:
    """Return the last jobs of a programme, the newest first."""
    wanted = sa.select(*_COLUMNS).where(import_job.c.programme == programme)
    rows = connection.execute(wanted.order_by(import_job.c.id.desc()).limit(LISTED_MAX))
    return [_job(row) for row in rows]


def body(connection: sa.Connection, job: int) -> bytes | None:
    """Return what is kept of a job's file."""
    found: bytes | None = connection.scalar(
        sa.select(import_job.c.body).where(import_job.c.id == job)
    )
    return found


# --- steps ---------------------------------------------------------------------------------------


def begin(connection: sa.Connection, programme: str, file_name: str, who: str, at_ms: int) -> int:
    """Write down that a file is being looked at, and return its number. Raises JobRefused."""
    _require_room(connection, programme, at_ms)
    added = connection.execute(
        import_job.insert().values(
            programme=programme,
            file_name=file_name[-FILE_NAME_MAX:],
            state=State.LOOKING.value,
            begun_at_ms=at_ms,
            heard_at_ms=at_ms,
            who=who,
        )
    )
    return store.new_id(added)


def begin_taking(
    connection: sa.Connection, job: int, basis_id: int | None, who: str, at_ms: int
) -> None:
    """Write down that a job is being taken in, for this clerk. Raises JobRefused."""
    found = get(connection, job)
    if found is None or found.report is None or not found.has_body:
        raise JobRefused("state", "this file is not there any more: upload it again")
    if not found.report.may_be_taken:
        raise JobRefused("state", "correct the file first, and upload it again")
    _require_room(connection, found.programme, at_ms)
    report = msgspec.structs.replace(found.report, basis_id=basis_id, moved=False)
    values = {"report": msgspec.to_builtins(report), "who": who, "heard_at_ms": at_ms, "done": 0}
    move(connection, job, State.TAKING, **values)


def drop(connection: sa.Connection, job: int, at_ms: int) -> None:
    """Give a file up, also while it is worked on. Raises JobRefused."""
    found = get(connection, job)
    report = found.report.without_people() if found and found.report else None
    values = {"report": msgspec.to_builtins(report), "body": None, "ended_at_ms": at_ms}
    move(connection, job, State.DROPPED, **values)
    _forget_file(connection, import_job.c.id == job)


def _forget_file(connection: sa.Connection, which: sa.ColumnElement[bool]) -> None:
    """Erase what is kept of these files, and their names: some are called after a person."""
    named = sa.select(import_job.c.id, import_job.c.file_name).where(
        which, import_job.c.file_name.not_like(f"{NAMELESS}%")
    )
    for job, name in connection.execute(named).all():
        ending = name.rpartition(".")[2].lower()
        kind = f".{ending}" if ending in KINDS else ""
        one = import_job.update().where(import_job.c.id == job)
        connection.execute(one.values(file_name=NAMELESS + kind))
    connection.execute(
        import_job.update().where(which, import_job.c.body.is_not(None)).values(body=None)
    )


def move(connection: sa.Connection, job: int, to: State, **values: Any) -> None:
    """Bring a job into another state. Raises JobRefused when that is no allowed step for it now."""
    before = [state.value for state, after in MOVES.items() if to in after]
    moved = connection.execute(
        import_job.update()
        .where(import_job.c.id == job, import_job.c.state.in_(before))
        .values(state=to.value, **values)
    )
    if not moved.rowcount:
        raise JobRefused("state", f"this file cannot become {to} now: look at the page again")


def beat(connection: sa.Connection, job: int, done: int, total: int, at_ms: int) -> bool:
    """Give a sign of life; False when nobody wants the work any more."""
    running = import_job.c.state.in_([state.value for state in RUNNING])
    here = import_job.update().where(import_job.c.id == job, running)
    return bool(connection.execute(here.values(done=done, total=total, heard_at_ms=at_ms)).rowcount)


def cut(connection: sa.Connection, job: int, at_ms: int) -> None:
    """Write down that the process of a job is gone; a job that came to its end stays as it is."""
    running = import_job.c.state.in_([state.value for state in RUNNING])
    connection.execute(
        import_job.update()
        .where(import_job.c.id == job, running)
        .values(state=State.CUT.value, ended_at_ms=at_ms)
    )


def _require_room(connection: sa.Connection, programme: str, at_ms: int) -> None:
    """Raise JobRefused while another file of the programme, or too many, are worked on."""
    running = import_job.c.state.in_([state.value for state in RUNNING])
    connection.execute(
        import_job.update()
        .where(running, _is_silent(at_ms))
        .values(state=State.CUT.value, ended_at_ms=at_ms)
    )
    of = connection.scalars(sa.select(import_job.c.programme).where(running)).all()
    if programme in of:
        raise JobRefused("running", f"another file of {programme} is worked on: wait for its end")
    if len(of) >= RUNNING_MAX:
        raise JobRefused("busy", "other files are worked on: try again in a minute")


def _is_silent(at_ms: int) -> sa.ColumnElement[bool]:
    """See Job.is_silent."""
    return ~import_job.c.heard_at_ms.between(at_ms - SILENT_MS, at_ms + SILENT_MS)


def forget(connection: sa.Connection, at_ms: int) -> None:
    """Cut what is silent, and erase what is kept past its time."""
    running = import_job.c.state.in_([state.value for state in RUNNING])
    silent = sa.select(import_job.c.id).where(running, _is_silent(at_ms))
    for job in connection.scalars(silent).all():
        cut(connection, job, at_ms)
    waits = import_job.c.state.in_([State.LOOKED.value, State.CUT.value])
    late = sa.select(import_job.c.id).where(waits, import_job.c.begun_at_ms < at_ms - KEPT_MS)
    for job in connection.scalars(late).all():
        drop(connection, job, at_ms)
    undone = (import_job.c.state == State.TAKEN.value) & (
        import_job.c.ended_at_ms < at_ms - KEPT_UNDO_MS
    )
    _forget_file(connection, undone)
    old = import_job.c.begun_at_ms < at_ms - KEPT_REPORT_MS
    connection.execute(import_job.delete().where(old, ~running))


def forget_people(connection: sa.Connection, programme: str, at_ms: int) -> None:
    """Erase all that files of a programme have brought and that is not in the members yet.

    For whoever erases a person: nobody knows in which file the name stands.
    """
    of = sa.select(import_job.c.id, import_job.c.state).where(import_job.c.programme == programme)
    for job, state in connection.execute(of).all():
        if State.DROPPED in MOVES[State(state)]:
            drop(connection, job, at_ms)
    _forget_file(connection, import_job.c.programme == programme)


# --- looks ---------------------------------------------------------------------------------------


def see(connection: sa.Connection, job: int, who: str, at_ms: int) -> Job | None:
    """Return one job with all that its report shows; who looks is written down."""
    found = get(connection, job)
    if found and found.report and found.shows_people:
        report = found.report
        numbers = sorted({one.number for one in (*report.changes, *report.stays)})
        lines = f"{len(report.wrong)} lines of file {job}" if report.wrong else ""
        if not report.headings:
            lines = f"the first line of file {job}"
        detail = " ".join([*numbers, lines]).strip()
        audit.note_person(connection, at_ms, who, "import.seen", found.programme, detail)
    return found


def save(connection: sa.Connection, job: int, who: str, at_ms: int) -> tuple[Job, bytes]:
    """Return a job with what is kept of its file; who saves it is written down. JobRefused."""
    found, held = get(connection, job), body(connection, job)
    if found is None or held is None:
        raise JobRefused("state", "this file is not there any more")
    audit.note_person(connection, at_ms, who, "import.exported", found.programme, f"file {job}")
    return found, held


# --- the file as it is kept ----------------------------------------------------------------------


class Kept:
    """Lines of a file as they are kept: UTF-8, commas, and first the line's number in the file."""

    def __init__(self) -> None:
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text)

    def add(self, row: Row) -> None:
        """Keep one line; the heading is the first."""
        first = row.line if self._text.tell() else LINE
        self._writer.writerow([first, *map(tables.harmless, row.cells)])

    def bytes(self) -> bytes:
        """Return all of it."""
        return self._text.getvalue().encode()


def kept_rows(held: bytes) -> Iterator[Row]:
    """Yield the lines of a file that was kept, the heading first, under the numbers they had."""
    for row in tables.read(held).rows:
        first, *cells = row.cells
        yield Row(1 if first == LINE else int(first), cells)


def pick(held: bytes, lines: Collection[int]) -> list[tuple[int, list[str]]]:
    """Return these lines of a file that was kept."""
    wanted = (row for row in kept_rows(held) if row.line in lines and row.line > 1)
    return [(row.line, row.cells) for row in wanted]


def marked(job: Job, held: bytes, language: Language) -> tuple[list[str], Iterable[list[str]]]:
    """Return headings and lines of a file with a column more: what is wrong in each line."""
    rows = kept_rows(held)
    errors = job.report.errors_by_line() if job.report else {}

    def lines() -> Iterator[list[str]]:
        for row in rows:
            said = [sentence(one, language) for one in errors.get(row.line, [])]
            yield [*row.cells, " / ".join(said)]

    return [*next(rows).cells, ERROR], lines()


def sentence(error: LineError, language: Language) -> str:
    """Return what is wrong in a cell, and what to do, naming its column."""
    said = say(f"web.import.wrong.{error.code}", language, **error.named(language))
    return f"{error.column}: {said}" if error.column else said


def refused(error: FileRefused) -> Report:
    """Return the report of a file that cannot be read at all: nothing of it is kept."""
    errors = [(one.line, one.column, one.code, dict(one.arguments)) for one in error.errors]
    return Report("", errors=errors)
