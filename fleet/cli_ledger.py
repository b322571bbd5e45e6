"""`kazasu-fleet gaps | quarantine | ledger`: what is missing, what was set aside, what is there."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer

from fleet import gaps, ledger, recovered, registry, requeue
from fleet.books import read_signing_key
from fleet.grants import Role
from fleet.restore import begin_again
from fleet.roster_files import RosterArchive
from fleet.schema import quarantine
from fleet.store import StoreUnusable
from fleet.terminal import Why, fail, guard, out, show, site_of, who
from fleet.workers import sole_worker

gaps_app = typer.Typer(no_args_is_help=True, help="Numbers that the ledger has not got.")
quarantine_app = typer.Typer(no_args_is_help=True, help="What could not be read or verified.")
ledger_app = typer.Typer(no_args_is_help=True, help="The entries themselves.")
_Reader = Annotated[
    str | None, typer.Option(callback=guard, help="Only this reader (tenant/reader).")
]
SHOWN_MAX = 200
"""Lines of a list; the newest."""


@gaps_app.command("list")
def list_gaps(
    context: typer.Context,
    closed: Annotated[bool, typer.Option(help="Closed ones too.")] = False,
) -> None:
    """List gaps, the newest first."""
    with site_of(context).fleet() as store, store.read() as connection:
        found = gaps.find(connection, still_open=not closed, limit=SHOWN_MAX)
    rows = [
        (
            gap.id,
            gap.reader,
            gap.journal,
            f"{gap.first}-{gap.last}",
            gap.missing,
            gap.cause,
            f"{gap.how} {gap.closed_by or ''} {gap.why or ''}" if gap.how else "open",
        )
        for gap in found
    ]
    show(("gap", "reader", "journal", "numbers", "missing", "cause", "state"), rows)


@gaps_app.command("write-off")
def write_off(context: typer.Context, gap: int, why: Why) -> None:
    """Close a gap by your word: its numbers count as accounted for."""
    site = site_of(context)
    with site.fleet() as store, store.write() as connection:
        gaps.write_off(connection, gap, who(), why, site.now_ms())
    out.print(f"gap {gap} is written off")


@quarantine_app.command("list")
def list_quarantine(context: typer.Context) -> None:
    """List what was set aside, the newest first."""
    columns = [column for column in quarantine.columns if column.name != "payload"]
    with site_of(context).fleet() as store, store.read() as connection:
        rows = connection.execute(
            sa.select(*columns).order_by(quarantine.c.id.desc()).limit(SHOWN_MAX)
        ).all()
    numbers = [f"{row.first}-{row.last}" if row.first is not None else "" for row in rows]
    show(
        ("id", "reader", "reason", "detail", "numbers", "times", "state"),
        [
            (
                row.id,
                row.reader,
                row.reason,
                row.detail,
                span,
                row.times,
                f"{row.resolved_how} {row.resolved_by}" if row.resolved_how else "kept",
            )
            for row, span in zip(rows, numbers, strict=True)
        ],
    )


@quarantine_app.command("show")
def show_bytes(context: typer.Context, number: int) -> None:
    """Write the bytes of one, as they came, to standard output."""
    with site_of(context).fleet() as store, store.read() as connection:
        payload = connection.scalar(
            sa.select(quarantine.c.payload).where(quarantine.c.id == number)
        )
    if payload is None:
        raise fail(f"nothing in quarantine has the number {number}")
    sys.stdout.buffer.write(payload)
    sys.stdout.buffer.flush()


@quarantine_app.command("retry")
def retry(context: typer.Context, numbers: list[int]) -> None:
    """Take what was set aside in again: when an upgrade, or a key since imported, understands it.

    Each by itself; the first that still cannot be taken in ends the command.
    """
    site = site_of(context)
    with site.fleet() as store:
        for number in numbers:
            with store.write() as connection:
                readers = registry.load_readers(connection)
                how = requeue.retry(connection, readers, number, who(), site.now_ms())
            out.print(f"{number}: {how}")


@ledger_app.command()
def export(context: typer.Context, reader: _Reader = None) -> None:
    """Write every entry as a JSON line: reader, journal, n, hash, body."""
    with site_of(context).fleet() as store, store.read() as connection:
        if reader is not None:
            registry.require_reader(connection, reader)
        for line in ledger.export(connection, reader):
            sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


@ledger_app.command()
def recover(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `kazasu-edge unsent` wrote.")],
    reader: Annotated[str, typer.Option(callback=guard, help="Whose card it was.")],
    why: Why,
) -> None:
    """Take in what lay on a dead reader's card, as if it had sent it: its own key signed it."""
    site = site_of(context)
    config, at_ms = site.config, site.now_ms()
    key = read_signing_key(config.signing_key).public_key()
    with site.fleet() as store, site.people() as people:
        archive = RosterArchive(store, config.state_folder, config.tenant, key)
        with contextlib.closing(archive), store.write() as connection:
            judging = recovered.judge(connection, people, archive, at_ms)
            taken = recovered.take(connection, file, reader, judging, who(), why, at_ms)
    out.print(f"{reader}: {taken}")


@ledger_app.command("restored")
def restored(context: typer.Context, why: Why) -> None:
    """Say that the database was restored by other means than `kazasu-fleet restore`.

    Stop ingest and dispatch before the restore, and run this before they are started again:
    readers send again what the ledger lacks.
    """
    site = site_of(context)
    with site.fleet() as store:
        try:
            with (
                sole_worker(site.config.databases, Role.OWNER, "ingest"),
                sole_worker(site.config.databases, Role.OWNER, "dispatch"),
                store.write() as connection,
            ):
                epoch = begin_again(connection, who(), why, site.now_ms(), {})
        except StoreUnusable as error:
            raise fail(
                f"nothing was changed, since ingest is running, or dispatch: {error}"
            ) from error
    out.print(f"the ledger is in a new epoch: {epoch}")
