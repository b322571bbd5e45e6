"""`python -m fleet.import_work`: looks at one file of members, or takes it in, and ends.

A process of its own, so that 100,000 lines never hold up a page. It knows its job's row alone
(`fleet.import_jobs`): a file that is to be looked at comes through its standard input, and only
what holds no individual number is written down.
"""

import argparse
import datetime
import itertools
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from fleet import import_jobs, members_csv, members_import, tables
from fleet.config import Databases
from fleet.grants import Role
from fleet.import_jobs import SHOWN_MAX, Change, Job, JobRefused, Kept, Report, State
from fleet.members_csv import ABOUT, ERRORS_KEPT_MAX, FileRefused, Judged
from fleet.members_import import Changed, Plan
from fleet.store import Store, open_persons
from fleet.tables import Row, Table, TableRefused
from programmes.calendar import local_day

BEAT_S: Final = 0.5
"""Between two signs of life: how old the bar on the page may be."""
NICE: Final = 5
"""Pages are answered first."""


class _Clock:
    """The office's time, which goes on here."""

    def __init__(self, at_ms: int) -> None:
        self.began_ms: Final = at_ms
        self._began_s = time.monotonic()

    def now_ms(self) -> int:
        return self.began_ms + round((time.monotonic() - self._began_s) * 1000)


class _Unwanted(Exception):
    """A clerk has given the file up meanwhile."""


class Work:
    """One job's work, on its own connection. `look` or `take`, once."""

    def __init__(self, store: Store, job: Job, at_ms: int) -> None:
        """`at_ms`: when the clerk pressed the button; what is written carries it."""
        self._store = store
        self._job = job
        self._clock = _Clock(at_ms)
        self._done = self._total = 0
        self._next_s = time.monotonic() + BEAT_S

    def look(self, body: bytes) -> None:
        """Judge every line of a file; what it would do becomes the report."""
        try:
            table = tables.read(body)
            report, held = self._judged(table)
        except TableRefused as error:
            report, held = import_jobs.refused(members_csv.refused_table(error)), None
        except FileRefused as error:
            report, held = import_jobs.refused(error), None
        self._finish(State.LOOKED, report, held)

    def _judged(self, table: Table) -> tuple[Report, bytes]:
        self._total = table.lines
        kept = Kept()
        judged = members_csv.judge(table, kept.add, self._advance)
        held = kept.bytes()
        with self._store.read() as connection:
            plan = members_import.plan(
                connection, self._job.programme, judged, self._clock.began_ms
            )
        return report_of(table.format, judged, plan, held), held

    def take(self) -> None:
        """Take the file in as it was looked at; when the members have changed, look again."""
        with self._store.read() as connection:
            held = import_jobs.body(connection, self._job.id)
        if held is None or self._job.report is None:
            raise JobRefused("state", "nothing is kept of this file")
        self._total = self._job.report.lines
        judged = members_csv.judge(_kept_table(held), progress=self._advance)
        try:
            self._write(judged, self._job.report)
        except (FileRefused, _Moved):
            report, _ = self._judged(_kept_table(held))
            format_ = self._job.report.format
            report = msgspec.structs.replace(report, moved=True, format=format_)
            self._finish(State.LOOKED, report, held)

    def _write(self, judged: Judged, report: Report) -> None:
        job, at_ms = self._job, self._clock.began_ms
        with self._store.read() as connection:
            plan = members_import.plan(connection, job.programme, judged, at_ms)
        if plan.fingerprint != report.fingerprint:
            raise _Moved
        taken, undo = report.without_people(), undo_file(plan, at_ms)
        with self._store.write() as connection:
            done = members_import.take_in(
                connection,
                job.programme,
                judged,
                job.who,
                at_ms,
                basis_id=report.basis_id,
                ready=plan,
            )
            if done is not plan and done.fingerprint != report.fingerprint:
                raise _Moved
            self._move(connection, State.TAKEN, taken, undo)

    def _finish(self, to: State, report: Report, held: bytes | None) -> None:
        with self._store.write() as connection:
            self._move(connection, to, report, held)

    def _move(
        self, connection: sa.Connection, to: State, report: Report, held: bytes | None
    ) -> None:
        values: dict[str, Any] = {"report": msgspec.to_builtins(report), "body": held}
        values |= {"done": self._done, "total": self._done, "ended_at_ms": self._clock.now_ms()}
        import_jobs.move(connection, self._job.id, to, **values)

    def _advance(self, lines: int) -> None:
        self._done += lines
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + BEAT_S
        with self._store.write() as connection:
            now_ms = self._clock.now_ms()
            if not import_jobs.beat(connection, self._job.id, self._done, self._total, now_ms):
                raise _Unwanted


class _Moved(Exception):
    """The members have changed since the file was looked at; nothing was written."""


def _kept_table(held: bytes) -> Table:
    return Table(tables.Format.UTF8, held.count(b"\n"), import_jobs.kept_rows(held))


def report_of(format_: str, judged: Judged, plan: Plan, held: bytes) -> Report:
    """Return what is shown of a file that was looked at."""
    errors = sorted([*judged.errors, *plan.errors], key=lambda one: one.line)
    refused_later = {one.line for one in plan.errors}
    wrong = sorted({one.line for one in errors if one.line > 1})[:SHOWN_MAX]
    headings = next(import_jobs.kept_rows(held)).cells
    return Report(
        format_,
        lines=judged.total,
        refused=judged.refused + len(refused_later - {one.line for one in judged.errors}),
        added=len(plan.added),
        changed=len(plan.changed),
        unchanged=plan.unchanged,
        cards=len(plan.cards),
        errors=[
            (one.line, one.column, one.code, dict(one.arguments))
            for one in errors[:ERRORS_KEPT_MAX]
        ],
        headings=headings,
        columns=list(judged.columns),
        wrong=[(line, [_shown(cell) for cell in cells]) for line, cells in _lines(held, wrong)],
        new_numbers=[one.registration_number for one in plan.added[:SHOWN_MAX]],
        changes=_changes((one, one.new) for one in plan.changed),
        stays=_changes((one, one.stays) for one in plan.stays),
        fingerprint=plan.fingerprint,
    )


def _lines(held: bytes, lines: list[int]) -> list[tuple[int, list[str]]]:
    return import_jobs.pick(held, frozenset(lines)) if lines else []


def _shown(cell: str) -> str:
    """Return a cell as a report can hold it: PostgreSQL's JSON has no U+0000."""
    cut = cell[: members_csv.CELL_MAX]
    return "".join(one if one.isprintable() else "�" for one in cut)


def _changes(of: Iterable[tuple[Changed, Mapping[str, Any]]]) -> list[Change]:
    every = (
        Change(
            one.line.registration_number,
            column,
            str(one.known.about[column] or ""),
            str(value or ""),
        )
        for one, values in of
        for column, value in values.items()
    )
    return list(itertools.islice(every, SHOWN_MAX))


def undo_file(plan: Plan, at_ms: int) -> bytes:
    """Return the file that takes an import back: what it changed, as it was before.

    Beside each value stands what the import wrote: only while that is stored is it taken back.
    Whom it added ends on the day before, for nobody's enrolment is made undone by a file.
    """
    names = {"name"} | {name for one in plan.changed for name in one.new}
    if plan.added or not names.isdisjoint(("valid_from", "valid_to")):
        names |= {"valid_from", "valid_to"}
    columns = [name for name in ABOUT if name in names]
    headings = {name: heading for heading, name in members_csv.HEADINGS.items()}
    written = {name: heading for heading, name in members_csv.WRITTEN.items()}
    kept = Kept()
    heads = [headings[name] for name in ("registration_number", *columns)]
    kept.add(Row(1, heads + [written[name] for name in columns]))
    yesterday = local_day(at_ms) - datetime.timedelta(days=1)
    for line, (number, *both) in enumerate(_former(plan, yesterday), 2):
        cells = [str(about[name] or "") for about in both for name in columns]
        kept.add(Row(line, [number, *cells]))
    return kept.bytes()


def _former(
    plan: Plan, yesterday: datetime.date
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Yield registration number, what was there before, and what the import wrote."""
    for one in plan.changed:
        yield one.line.registration_number, one.known.about, one.known.about | one.new
    for line in plan.added:
        written = {name: getattr(line, name) for name in ABOUT}
        about = written | {"valid_to": yesterday}
        if line.valid_from and line.valid_from > yesterday:
            about["valid_from"] = yesterday
        yield line.registration_number, about, written


def main() -> None:
    """Do what the command line says. Ends with 1 when nobody wants it any more."""
    parser = argparse.ArgumentParser(prog="fleet.import_work", description=__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("database", help="PostgreSQL's URL, or empty")
    parser.add_argument("job", type=int)
    parser.add_argument("at_ms", type=int)
    given = parser.parse_args()
    os.nice(NICE)
    body = sys.stdin.buffer.read()
    store = open_persons(Databases(given.state, given.database), Role.OFFICE)
    try:
        with store.read() as connection:
            job = import_jobs.get(connection, given.job)
        if job is None:
            raise JobRefused("state", "there is no such file")
        work = Work(store, job, given.at_ms)
        if job.state is State.LOOKING:
            work.look(body)
        else:
            work.take()
            # The write after a large one moves SQLite's log into the file: here, not in a page.
            with store.write() as connection:
                import_jobs.forget(connection, given.at_ms)
    except (JobRefused, _Unwanted):
        sys.exit(1)
    finally:
        store.close()


if __name__ == "__main__":
    main()
