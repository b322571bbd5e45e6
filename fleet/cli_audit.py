"""`kazasu-fleet audit | retention`: what is proven of the ledger, and what is past its time."""

import datetime
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import sqlalchemy as sa
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fleet import (
    audit_page,
    audits,
    evidence,
    evidence_db,
    registry,
    retention,
    ride_retention,
)
from fleet.books import read_signing_key
from fleet.cli_verify import read_public_key
from fleet.evidence_db import Scope
from fleet.terminal import Site, Why, err, guard, out, show, site_of, who
from fleet.verdict import AuditLine, Proof
from programmes.calendar import start_of_day_ms
from wire.envelope import Signer

audit_app = typer.Typer(no_args_is_help=True, help="Prove what the ledger holds.")
retention_app = typer.Typer(no_args_is_help=True, help="How long entries are kept.")
EXIT: Final = {"proven": 0, "exceptions": 1, "broken": 2}
"""Exit status by verdict."""
_DAY: Final = ["%Y-%m-%d"]
_Reader = Annotated[
    str | None, typer.Option(callback=guard, help="Only this reader (tenant/reader).")
]
_From = Annotated[
    datetime.datetime | None,
    typer.Option("--from", formats=_DAY, help="First day of receipt (Japan)."),
]
_To = Annotated[
    datetime.datetime | None,
    typer.Option("--to", formats=_DAY, help="Last day of receipt, included."),
]


@audit_app.command()
def verify(
    context: typer.Context,
    reader: _Reader = None,
    first_day: _From = None,
    last_day: _To = None,
    page: Annotated[Path | None, typer.Option(help="Write a page that can be filed.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The whole result as one line.")] = False,
    bundle: Annotated[Path | None, typer.Option(help="Judge an exported file instead.")] = None,
    fleet_key: Annotated[
        Path | None, typer.Option(help="The fleet's public key, for --bundle.")
    ] = None,
) -> None:
    """Prove the ledger. Ends with 0: proven, 1: proven with exceptions, 2: broken."""
    began_ns = time.monotonic_ns()
    if bundle is not None:
        if fleet_key is None or reader or first_day or last_day:
            raise typer.BadParameter("--bundle needs --fleet-key, and has its own scope")
        now_ms = context.obj.clock.now_ms()
        proof = _judge_bundle(bundle, fleet_key)
        line, source = audits.line_of(proof, now_ms, who()), bundle.name
    else:
        site = site_of(context)
        proof = _judge_database(site, _scope(reader, first_day, last_day))
        line, source = audits.line_of(proof, site.now_ms(), who()), site.config.databases.name
        _keep(site, proof, line, _ms_since(began_ns))
    took_ms = _ms_since(began_ns)
    if page is not None:
        machine = platform.node()
        text = audit_page.render(proof, line, machine=machine, source=source, took_ms=took_ms)
        page.write_text(text, "utf-8")
    if json:
        sys.stdout.buffer.write(audits.as_json(proof, line) + b"\n")
        sys.stdout.buffer.flush()
    else:
        _tell(proof, line)
    raise typer.Exit(EXIT[proof.verdict])


@audit_app.command()
def export(
    context: typer.Context,
    file: Path,
    reader: _Reader = None,
    first_day: _From = None,
    last_day: _To = None,
) -> None:
    """Write all evidence into one sealed file, to be proven on another machine."""
    site = site_of(context)
    signer = Signer(read_signing_key(site.config.signing_key))
    scope = _scope(reader, first_day, last_day)
    with site.fleet() as store, store.read() as connection:
        _require(scope, connection)
        facts = evidence_db.facts(connection, site.config.tenant, scope)
        sealed = evidence.write_bundle(
            file, facts, site.config.tenant, signer, site.now_ms(), who()
        )
    out.print(f"{file}: {sealed.lines} lines, SHA-256 {sealed.sha256.hex()}")


@audit_app.command("list")
def list_audits(context: typer.Context) -> None:
    """List the audits that were made here, the newest first."""
    with site_of(context).fleet() as store, store.read() as connection:
        rows = audits.newest(connection)
    show(
        ("at", "who", "reader", "verdict", "entries", "digest"),
        [
            (
                audit_page.moment(row.at_ms),
                row.who,
                row.reader or "",
                row.verdict,
                row.entries,
                row.digest.hex(),
            )
            for row in rows
        ],
    )


def _scope(
    reader: str | None, first: datetime.datetime | None, last: datetime.datetime | None
) -> Scope:
    day = datetime.timedelta(days=1)
    return Scope(
        reader,
        start_of_day_ms(first.date()) if first else None,
        start_of_day_ms(last.date() + day) if last else None,
    )


def _require(scope: Scope, connection: sa.Connection) -> None:
    if scope.reader is not None:
        registry.require_reader(connection, scope.reader)


def _judge_database(site: Site, scope: Scope) -> Proof:
    key = read_signing_key(site.config.signing_key).public_key()
    with site.fleet() as store, store.read() as connection:
        _require(scope, connection)
        with _bar("entries", evidence_db.entries_in(connection, scope)) as progress:
            facts = evidence_db.facts(connection, site.config.tenant, scope)
            return audits.judge(facts, key, progress)


def _judge_bundle(path: Path, key_path: Path) -> Proof:
    key = read_public_key(key_path)
    with _bar("entries", None) as progress:
        return audits.judge(evidence.read_bundle(path, key), key, progress)


def _keep(site: Site, proof: Proof, line: AuditLine, took_ms: int) -> None:
    signer = Signer(read_signing_key(site.config.signing_key))
    with site.fleet() as store, store.write() as connection:
        audits.keep(connection, proof, line, signer, took_ms)


def _tell(proof: Proof, line: AuditLine) -> None:
    rows: list[tuple[object, ...]] = [
        ("verdict", proof.verdict),
        ("readers", proof.readers),
        ("journals", proof.journals),
        ("entries", proof.entries),
        ("signatures", proof.signatures),
        ("retired", proof.entries_retired),
        *((f"exception {kind}", count) for kind, count in proof.exceptions.items()),
        *((f"fault {kind}", count) for kind, count in proof.faults.items()),
        ("fleet key", proof.fleet_key),
        ("digest", line.digest.hex()),
    ]
    show((), rows)
    for one in (*proof.faults_listed, *proof.listed):
        numbers = f" {one.first}-{one.last}" if one.first else ""
        told = f" {one.who}: {one.why}" if one.who else ""
        err.print(f"{one.kind}: {one.reader} {one.journal}{numbers} {one.detail}{told}".rstrip())


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Callable[[int], object]]:
    """Show how far it is, at a terminal."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def _ms_since(began_ns: int) -> int:
    return (time.monotonic_ns() - began_ns) // 1_000_000


# --- retention -----------------------------------------------------------------------------------


@retention_app.command("show")
def show_retention(context: typer.Context) -> None:
    """Say how long entries are kept, which months are due, and which are gone."""
    site = site_of(context)
    with site.fleet() as store, store.read() as connection:
        months = retention.kept_months(connection)
        due = retention.due(connection, site.now_ms())
        gone = retention.gone(connection)
        ride_rows = _of_rides(connection, site)
    rows: list[tuple[object, ...]] = [("kept", f"{months} months")]
    rows += [("due", f"{month:%Y-%m}") for month in due]
    rows += [("retired", month, f"{entries} entries", by) for month, entries, by in gone]
    show((), [*rows, *ride_rows])


def _of_rides(connection: sa.Connection, site: Site) -> list[tuple[object, ...]]:
    years = ride_retention.kept_years(connection)
    rows: list[tuple[object, ...]] = [("rides kept", f"{years} fiscal years after their own")]
    due = ride_retention.due(connection, site.now_ms())
    rows += [("rides due", f"{month:%Y-%m}") for month in due]
    key = read_signing_key(site.config.signing_key).public_key()
    for month, line in ride_retention.gone(connection, site.config.tenant, key):
        if line is None:
            rows.append(("rides retired", month, "THE LINE IS NOT THE FLEET'S", ""))
            continue
        sums = [one for some in line.rides.values() for one in some.values()]
        count, yen = sum(one.rows for one in sums), sum(one.subsidy_yen for one in sums)
        told = f"{count} rows, {yen} yen, {line.claims} claims"
        rows.append(("rides retired", month, told, line.who))
    return rows


@retention_app.command("set", context_settings={"ignore_unknown_options": True})
def set_retention(
    context: typer.Context,
    months: Annotated[
        int, typer.Argument(help=f"{retention.MONTHS_MIN} to {retention.MONTHS_MAX} months.")
    ],
    why: Why,
) -> None:
    """Keep entries 13 to 1200 months: the tenant's choice, with the rule that asks for it."""
    site = site_of(context)
    with site.fleet() as store, store.write() as connection:
        retention.keep_months(connection, months, who(), why, site.now_ms())
    out.print(f"entries are kept {months} months")


@retention_app.command("set-rides", context_settings={"ignore_unknown_options": True})
def set_rides(
    context: typer.Context,
    years: Annotated[
        int,
        typer.Argument(help=f"{ride_retention.YEARS_MIN} to {ride_retention.YEARS_MAX} years."),
    ],
    why: Why,
) -> None:
    """Keep rides and claims so many fiscal years after their own."""
    site = site_of(context)
    with site.fleet() as store, store.write() as connection:
        ride_retention.keep_years(connection, years, who(), why, site.now_ms())
    out.print(f"rides and claims are kept {years} fiscal years after their own")


@retention_app.command("run")
def run_retention(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option(help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Also with questions still open.")] = False,
) -> None:
    """Drop the months past their time, of entries and of rides; each leaves a signed line."""
    site = site_of(context)
    signer = Signer(read_signing_key(site.config.signing_key))
    with site.fleet() as store:
        with store.read() as connection:
            due = retention.due(connection, site.now_ms())
        for month in due:
            with store.read() as connection:
                found = retention.survey(connection, month)
            if dry_run or yes:  # else the refusal names them
                for obstacle in found.obstacles:
                    err.print(obstacle)
            if dry_run:
                out.print(f"{month:%Y-%m}: {found.entries} entries would go")
                continue
            with store.write() as connection:
                retention.retire(
                    connection,
                    found,
                    site.config.tenant,
                    signer,
                    who(),
                    site.now_ms(),
                    forced=yes,
                )
            out.print(f"{month:%Y-%m}: {found.entries} entries are gone; the line is signed")
    if not due:
        out.print("no month is past its time")
    _run_rides(site, signer, dry_run=dry_run, yes=yes)


def _run_rides(site: Site, signer: Signer, *, dry_run: bool, yes: bool) -> None:
    """Drop rides and claims month by month, the oldest first, each month in one transaction."""
    with site.fleet() as store:
        with store.read() as connection:
            due = ride_retention.due(connection, site.now_ms())
            told = [
                (month, list(ride_retention.open_questions(connection, month))) for month in due
            ]
        for month, obstacles in told:
            if dry_run or yes:  # else the refusal names them
                for obstacle in obstacles:
                    err.print(obstacle)
            if dry_run:
                out.print(f"{month:%Y-%m}: its rides and claims would go")
                continue
            with store.write() as connection:
                found = ride_retention.retire(
                    connection,
                    month,
                    site.config.tenant,
                    signer,
                    who(),
                    site.now_ms(),
                    forced=yes,
                )
            gone = f"{found.rows} rows of rides and {found.claims} claims"
            out.print(f"{month:%Y-%m}: {gone} are gone; the line is signed")
