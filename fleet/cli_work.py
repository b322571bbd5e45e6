"""`kazasu-fleet work`: terms, closed months, exports for payroll, signed lists and receipts."""

import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import sqlalchemy as sa
import typer

from fleet import (
    work_accounts,
    work_closed,
    work_closing,
    work_export,
    work_lists,
    work_retention,
    work_terms_csv,
)
from fleet.accounts import AccountRole
from fleet.cli_verify import FleetKey, InTongue, Tongue, altered, key_for, read_signed
from fleet.schema import account, member
from fleet.tables import Format, TableRefused, write
from fleet.terminal import Text, Why, err, fail, guard, out, show, site_of, who
from fleet.work_acts import Act, WorkRefused, note
from fleet.work_list_file import FILE_BYTES_MAX, Receipt, WorkFileRefused, check
from fleet.work_terms_csv import TermsRefused
from programmes import attendance
from programmes.calendar import local
from programmes.texts import Language, say
from programmes.work_hours import Term

work_app = typer.Typer(no_args_is_help=True, help="Working hours of members of attendance.")
School = Annotated[str, typer.Argument(callback=guard, help="A school, by place.organisation.")]
Month = Annotated[str, typer.Argument(callback=guard, help="Such as 2026-06.")]
Day = Annotated[str, typer.Argument(callback=guard, help="Such as 2026-06-03.")]
NewFile = Annotated[Path, typer.Argument(help="A new file.")]
_UNDONE: Final = "dry run: nothing was written"


class _Undone(Exception):
    """The transaction of a dry run is left so."""


def _month(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(f"{text}-01")
    except ValueError as error:
        raise WorkRefused("month") from error


def day_of(text: str) -> datetime.date:
    """Return a day that somebody typed. Raises BadParameter."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no day: write 2026-06-03") from error


@work_app.command("terms")
def terms(
    context: typer.Context,
    file: Path,
    dry_run: Annotated[bool, typer.Option(help="Judge every line, write nothing.")] = False,
) -> None:
    """Take in terms of work from CSV or XLSX: all of its lines, or none.

    Columns: registration_number 登録番号, valid_from 適用開始日, organisation 学校, staff 職員区分
    (教員, 事務), engaged 任用区分 (常勤, 再任用, 非常勤, 代替, 来訪), monday 月 to sunday 日
    (08:15-16:45/12:15-13:00, several with +; 休 a day off, 法 a statutory rest day), why 理由.
    """
    site = site_of(context)
    body = file.read_bytes()
    try:
        with site.people() as store, store.write() as connection:
            taken = work_terms_csv.take_in(connection, body, who(), site.now_ms())
            if dry_run:
                raise _Undone
    except _Undone:
        out.print(_UNDONE)
    except TermsRefused as refused:
        err.print(f"{file}:")
        lines = [(one.line, one.column, one.what) for one in refused.errors]
        show(("line", "column", "what is wrong, and what to do"), lines, err)
        raise fail(f"{file}: nothing was written; correct these lines and try again") from None
    out.print(f"{taken.added} terms added, {taken.unchanged} unchanged")


@work_app.command("export")
def export(
    context: typer.Context,
    school: School,
    month: Month,
    file: Annotated[Path, typer.Argument(help="A new file: .xlsx or .csv.")],
    days: Annotated[bool, typer.Option(help="A line a day in the place of one a month.")] = False,
    shift_jis: Annotated[
        bool, typer.Option(help="CSV in Shift_JIS in the place of UTF-8.")
    ] = False,
) -> None:
    """Write a school's month for payroll; docs/operator.md says what the columns are."""
    format_ = Format.CP932 if shift_jis else Format.UTF8
    if file.suffix == Format.XLSX.suffix:
        format_ = Format.XLSX
    if file.exists():
        raise fail(f"{file} is there already: name another file")
    site, wish = site_of(context), work_export.Wish(school, _month(month), days)
    with site.fleet() as ledger, site.people() as store, ledger.read() as fleet:  # noqa: SIM117
        with store.write() as people:
            rows = work_export.rows(fleet, people, wish, who(), site.now_ms())
    try:
        pieces = list(write(format_, work_export.heads(wish, "ja"), rows))
    except TableRefused as error:
        raise fail(error) from error
    file.write_bytes(b"".join(pieces))
    out.print(f"{len(rows)} lines")


@work_app.command("close")
def close(context: typer.Context, school: School, month: Month) -> None:
    """Close a school's month: nothing changes it until it is reopened."""
    site = site_of(context)
    with site.fleet() as ledger, site.people() as store, ledger.read() as fleet:  # noqa: SIM117
        with store.write() as people:
            found = work_closing.close(fleet, people, school, _month(month), who(), site.now_ms())
    incomplete = sum(one.is_incomplete for one in found)
    out.print(f"{school} {month}: closed, {len(found)} members, {incomplete} incomplete")


@work_app.command("reopen")
def reopen(context: typer.Context, school: School, month: Month, why: Why) -> None:
    """Open a closed month again; both steps stay."""
    site = site_of(context)
    with site.people() as store, store.write() as people:
        work_closing.reopen(people, school, _month(month), why, who(), site.now_ms())
    out.print(f"{school} {month}: open")


@work_app.command("months")
def months(
    context: typer.Context,
    school: Annotated[str, typer.Option(callback=guard, help="Only this school's.")] = "",
) -> None:
    """List what was closed and reopened, the newest first."""
    with site_of(context).people() as store, store.read() as people:
        steps = work_closed.history(people, school or None)
    rows = [(*one[1:4], f"{local(one.at_ms):%Y-%m-%d %H:%M}", one.who, one.why) for one in steps]
    show(("school", "month", "step", "when", "who", "why"), rows)


@work_app.command("bind")
def bind(context: typer.Context, number: Text, account_name: Text) -> None:
    """Let an account of the office be a member's own: it opens that member's days alone."""
    site = site_of(context)
    with site.fleet() as store, store.read() as fleet:
        role = fleet.scalar(sa.select(account.c.role).where(account.c.name == account_name))
    if role != AccountRole.CLERK:
        raise fail(f"{account_name!r} is no account of the office: add it first")
    with site.people() as store, store.write() as people:
        act = Act(member_row(people, number), who(), site.now_ms())
        work_accounts.bind(people, act, account_name)
    out.print(f"{account_name} is the account of {number}")


@work_app.command("unbind")
def unbind(context: typer.Context, number: Text, account_name: Text) -> None:
    """Let an account be a member's no more."""
    site = site_of(context)
    with site.people() as store, store.write() as people:
        act = Act(member_row(people, number), who(), site.now_ms())
        work_accounts.unbind(people, act, account_name)
    out.print(f"{account_name} is nobody's")


def member_row(people: sa.Connection, number: str) -> int:
    """Return the row of a registration number. Raises WorkRefused."""
    mine = (member.c.programme == attendance.NAME, member.c.registration_number == number)
    found = people.scalar(sa.select(member.c.id).where(*mine))
    if found is None:
        raise WorkRefused("no-member")
    return int(found)


# --- signed lists --------------------------------------------------------------------------------


@work_app.command("list")
def list_(
    context: typer.Context,
    school: School,
    day: Day,
    file: NewFile,
    number: Annotated[int | None, typer.Option(help="Which list of the day; else the newest.")] = (
        None
    ),
) -> None:
    """Write a school's signed list of a day to a new file; it names nobody."""
    with site_of(context).people() as store, store.read() as people:
        body = work_lists.file_of(people, school, day_of(day), number)
    _write(file, body, f"{school} {day}: no such list")


@work_app.command("receipt")
def receipt(context: typer.Context, number: Text, day: Day, file: NewFile) -> None:
    """Write a member's receipt of a day to a new file: whoever has it can prove the day alone."""
    site = site_of(context)
    with site.people() as store, store.write() as people:
        act = Act(member_row(people, number), who(), site.now_ms())
        body = work_lists.receipt(people, act.member_id, day_of(day))
        note(people, act, number, "work.seen", day)
    _write(file, body, f"{number} {day}: no list has this day yet")


def _write(file: Path, body: bytes | None, why: str) -> None:
    if body is None:
        raise fail(why)
    if file.exists():
        raise fail(f"{file} is there already: name another file")
    file.write_bytes(body)


@work_app.command("verify")
def verify(
    context: typer.Context,
    file: Path,
    fleet_key: FleetKey = None,
    language: InTongue = Tongue.JA,
) -> None:
    """Say whether a list or a receipt is as the fleet signed it. Ends with 0 when it is, else 1.

    It needs the file and the public key alone, so anybody can on any machine.
    """
    body = read_signed(file, FILE_BYTES_MAX)
    try:
        found = check(body, key_for(context, fleet_key))
    except WorkFileRefused as error:
        raise altered(f"work.verify.{error.reason}", language) from error
    for line in _matching(found, language.language):
        out.print(line)


def _matching(found: Receipt, language: Language) -> Iterator[str]:
    one = found.list
    yield say(
        "work.verify.matching",
        language,
        school=one.organisation or "-",
        day=str(one.day),
        n=one.number,
        at=f"{local(one.at_ms):%Y-%m-%d %H:%M}",
    )
    if (own := found.own) is not None:
        yield say(
            "work.verify.own",
            language,
            member=own.member,
            marks=len(own.marks),
            corrections=len(own.corrections),
            worked=_hours(own.worked),
            outside=_hours(own.outside),
        )
    if one.former is None:
        yield say("work.verify.first", language)
    else:
        yield say("work.verify.former", language, sha=one.former.hex())
    yield say("work.verify.newest", language, sha=found.sha256.hex())


def _hours(terms: Sequence[Term]) -> str:
    minutes = sum(one.minutes for one in terms)
    return f"{minutes // 60}:{minutes % 60:02}"


# --- how long ------------------------------------------------------------------------------------


@work_app.command("keep")
def keep(context: typer.Context, months: int, why: Why) -> None:
    """Say how many months records of work are kept; 60 unless told otherwise."""
    site = site_of(context)
    with site.people() as store, store.write() as people:
        work_retention.keep_months(people, months, who(), why, site.now_ms())
    out.print(f"records of work are kept {months} months")


@work_app.command("retire")
def retire(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; else only say which.")] = False,
) -> None:
    """Remove records of work that are past their time. It is not undone."""
    site = site_of(context)
    with site.people() as store:
        with store.read() as people:
            before = work_retention.oldest_kept(people, site.now_ms())
        if not yes:
            out.print(f"records of days before {before} are past their time: --yes removes them")
            return
        store.owe()
        with store.write() as people:
            gone = work_retention.drop(people, who(), site.now_ms())
        store.settle()
    told = ", ".join(f"{count} {name}" for name, count in gone._asdict().items())
    out.print(f"removed of days before {before}: {told}")
