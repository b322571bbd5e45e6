"""`kazasu-fleet members`: enrolment from a file, looking up, stopping."""

import csv
import itertools
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import Progress

from fleet import (
    members,
    members_csv,
    members_export,
    members_import,
    moves,
    registry,
    tables,
)
from fleet.members_csv import FileRefused
from fleet.tables import Format, TableRefused
from fleet.terminal import (
    Programme,
    Text,
    Why,
    err,
    fail,
    guard,
    guard_programme,
    out,
    show,
    site_of,
    who,
)

members_app = typer.Typer(no_args_is_help=True, help="Who is enrolled.")


UNMOVED: Final = ("registration_number", "name", "kana", "key_epoch", "state")
SHOWN_MAX: Final = 100
"""Lines of a list on the terminal."""


@members_app.command("import")
def import_(
    context: typer.Context,
    file: Path,
    programme: Programme,
    dry_run: Annotated[bool, typer.Option(help="Judge every line, write nothing.")] = False,
) -> None:
    """Take in a CSV or XLSX file: all of its lines, or none. Shift_JIS and UTF-8 are recognised.

    Columns: registration_number 登録番号, name 氏名, kana フリガナ, birth_date 生年月日,
    credential 識別符号, scheme 方式, key_epoch 鍵世代, category 区分, valid_from 有効開始日,
    valid_to 有効終了日, household 世帯番号; カナ, 有効開始 and 有効終了 are read too.
    A column that is not there leaves what is known as it is.
    """
    site = site_of(context)
    try:
        with Progress(console=err, transient=True) as progress:
            reading = progress.add_task("reading", total=None)
            read = members_csv.read_file(file, lambda n: progress.advance(reading, n))
            writing = progress.add_task("writing", total=len(read.lines))
            with site.people() as store:
                if dry_run:
                    with store.read() as connection:
                        plan = members_import.plan(connection, programme, read, site.now_ms())
                    if plan.errors:
                        raise FileRefused(plan.errors[: members_csv.ERRORS_SHOWN_MAX])
                else:
                    with store.write() as connection:
                        plan = members_import.take_in(
                            connection,
                            programme,
                            read,
                            who(),
                            site.now_ms(),
                            lambda n: progress.advance(writing, n),
                        )
    except FileRefused as refused:
        _show(file, refused)
        raise fail(f"{file}: nothing was written; correct these lines and try again") from None
    if dry_run:
        out.print("dry run: nothing was written")
    out.print(
        f"{plan.lines} lines: {len(plan.added)} members added, {len(plan.changed)} changed, "
        f"{plan.unchanged} unchanged, {len(plan.cards)} cards added"
    )


def _show(file: Path, refused: FileRefused) -> None:
    err.print(f"{file}:")
    rows = [(one.line, one.column, one.what) for one in refused.errors]
    show(("line", "column", "what is wrong, and what to do"), rows, err)


@members_app.command("export")
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A new file: .xlsx or .csv.")],
    programme: Programme,
    search: Annotated[
        str, typer.Option(callback=guard, help="Part of a number, name or kana; else all.")
    ] = "",
    shift_jis: Annotated[
        bool, typer.Option(help="CSV in Shift_JIS in the place of UTF-8.")
    ] = False,
) -> None:
    """Write members to a new file that `members import` reads; never their credentials."""
    format_ = Format.CP932 if shift_jis else Format.UTF8
    if file.suffix == Format.XLSX.suffix:
        format_ = Format.XLSX
    site, wish = site_of(context), members_export.Wish(programme, search, whole=True)
    if file.exists():
        raise fail(f"{file} is there already: name another file")
    with site.people() as store:
        rows = members_export.rows(store, wish, "ja", who(), site.now_ms())
        try:
            pieces = list(tables.write(format_, members_export.heads(wish, "ja"), rows))
        except TableRefused as error:
            raise fail(error) from error
    with file.open("xb") as opened:
        opened.writelines(pieces)
    out.print(f"{programme}: written to {file}")


@members_app.command("list")
def list_members(
    context: typer.Context,
    programme: Programme,
    search: Annotated[
        str, typer.Option(callback=guard, help="Part of a number, name or kana.")
    ] = "",
) -> None:
    """List members, at most 100."""
    with site_of(context).people() as store, store.read() as connection:
        rows = members.find(connection, programme, search)
    show(
        ("number", "name", "category", "from", "to", "cards", "state"),
        [
            (
                row.registration_number,
                row.name,
                row.category,
                row.valid_from or "",
                row.valid_to or "",
                row.cards,
                "stopped" if row.stopped_from_ms is not None else "",
            )
            for row in rows
        ],
    )


@members_app.command()
def stop(context: typer.Context, registration_number: Text, programme: Programme, why: Why) -> None:
    """Stop all cards of a member, from now on."""
    site = site_of(context)
    with site.people() as store, store.write() as connection:
        members.stop(connection, programme, registration_number, why, who(), site.now_ms())
    out.print(f"{registration_number} is stopped in {programme}")


@members_app.command()
def unstop(context: typer.Context, registration_number: Text, programme: Programme) -> None:
    """Let a stopped member's cards be used again."""
    site = site_of(context)
    with site.people() as store, store.write() as connection:
        members.unstop(connection, programme, registration_number, who(), site.now_ms())
    out.print(f"{registration_number} is no longer stopped in {programme}")


@members_app.command()
def unmoved(
    context: typer.Context,
    programme: Annotated[str, typer.Argument(callback=guard_programme)],
    file: Annotated[Path | None, typer.Option("--csv", help="Write all to a new file.")] = None,
) -> None:
    """List members whose card was not seen since the programme's present key epoch began.

    At most 100 are shown; with --csv all are written, in UTF-8. "lost" says that no reader finds
    the card any more: its holder is to come to a desk, where the card is assigned anew.
    """
    site = site_of(context)
    if file and file.exists():
        raise fail(f"{file} is there already: name another file")
    with site.fleet() as store, store.read() as connection:
        present = registry.key_epochs(connection).get(programme, 1)
    with site.people() as store, store.read() as connection:
        total = moves.count_unmoved(connection, programme, present)
        listed = moves.unmoved(connection, programme, present)
        if file:
            with file.open("x", encoding="utf-8-sig", newline="") as opened:
                csv.writer(opened).writerows(itertools.chain([UNMOVED], map(_line, listed)))
        else:
            show(UNMOVED, [_line(one) for one in itertools.islice(listed, SHOWN_MAX)])
    where = f", written to {file}" if file else ""
    out.print(f"{programme}: {total} members are not under key epoch {present} yet{where}")


def _line(one: moves.Unmoved) -> tuple[object, ...]:
    state = "lost" if one.lost else "waiting"
    return one.registration_number, one.name, one.kana, one.key_epoch, state
