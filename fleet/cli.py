"""`kazasu-fleet`: the processes of the fleet, and what its keeper does at the command line.

kazasu-fleet --config fleet.toml init
kazasu-fleet --config fleet.toml readers import registry.json
kazasu-fleet --config fleet.toml ingest | dispatch | devices | console | office
"""

import asyncio
import contextlib
import functools
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import sqlalchemy as sa
import typer

from fleet import (
    cli_api,
    cli_audit,
    cli_backup,
    cli_cards,
    cli_claims,
    cli_consent,
    cli_enrolment,
    cli_ledger,
    cli_members,
    cli_schemes,
    cli_work,
    cli_work_spares,
)
from fleet.accounts import AccountRefused
from fleet.alarms import AlarmRefused
from fleet.api_clients import ClientRefused
from fleet.backup import BackupRefused
from fleet.card_trust import TrustUnusable
from fleet.config import ConfigRefused
from fleet.consent import ConsentRefused
from fleet.evidence import EvidenceRefused
from fleet.gaps import GapRefused
from fleet.ledger import LedgerRefused
from fleet.members import MemberRefused
from fleet.recovered import RecoveryRefused
from fleet.registry import RegistryRefused
from fleet.requeue import RequeueRefused
from fleet.retention import RetentionRefused
from fleet.rights import RightRefused
from fleet.rosters import RosterUnbuildable
from fleet.rules import RulesRefused
from fleet.store import StoreUnusable, migrate
from fleet.terminal import Site, fail, log_plainly, out, show, site_of, who
from fleet.terms import SchemeRefused
from fleet.tides import NoRides
from fleet.webhook_addresses import WebhookRefused
from fleet.work_acts import WorkRefused
from programmes.register import UnknownProgramme
from wire.clock import Clock, SystemClock
from wire.individual_number import IndividualNumberRefused

REFUSALS = (
    AccountRefused,
    RightRefused,
    AlarmRefused,
    BackupRefused,
    ClientRefused,
    ConfigRefused,
    ConsentRefused,
    EvidenceRefused,
    GapRefused,
    IndividualNumberRefused,
    LedgerRefused,
    MemberRefused,
    NoRides,
    RegistryRefused,
    RecoveryRefused,
    RequeueRefused,
    RetentionRefused,
    RosterUnbuildable,
    RulesRefused,
    SchemeRefused,
    StoreUnusable,
    TrustUnusable,
    UnknownProgramme,
    WebhookRefused,
    WorkRefused,
    OSError,
)
"""What a person can put right: said in one sentence, without a stack."""

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
app.add_typer(cli_enrolment.readers, name="readers")
app.add_typer(cli_enrolment.rules_app, name="rules")
app.add_typer(cli_enrolment.rosters_app, name="rosters")
app.add_typer(cli_enrolment.accounts_app, name="accounts")
app.add_typer(cli_members.members_app, name="members")
app.add_typer(cli_schemes.schemes_app, name="schemes")
app.add_typer(cli_schemes.campaign_app, name="campaign")
app.add_typer(cli_consent.consent_app, name="consent")
app.add_typer(cli_ledger.gaps_app, name="gaps")
app.add_typer(cli_ledger.quarantine_app, name="quarantine")
app.add_typer(cli_ledger.ledger_app, name="ledger")
app.add_typer(cli_audit.audit_app, name="audit")
app.add_typer(cli_audit.retention_app, name="retention")
app.add_typer(cli_cards.card_proof_app, name="card-proof")
app.add_typer(cli_claims.claims_app, name="claims")
cli_work.work_app.add_typer(cli_work_spares.spare_app, name="spare")
app.add_typer(cli_work.work_app, name="work")
app.add_typer(cli_api.api_app, name="api")
app.command("backup")(cli_backup.back_up)
app.command()(cli_backup.restore)


@app.callback()
def _begin(
    context: typer.Context,
    config: Annotated[
        Path, typer.Option(help="The fleet's configuration.", envvar="KAZASU_FLEET")
    ] = Path("fleet.toml"),
) -> None:
    """Choose the fleet to work on; the clock comes from whoever started this."""
    clock = context.obj if context.obj is not None else SystemClock()
    context.obj = Site(config, clock)


@app.command()
def init(context: typer.Context) -> None:
    """Create the databases, or bring them to this version. May be run again at any time."""
    from fleet import ledger

    site = site_of(context)
    databases = site.config.databases
    migrate(databases)
    with site.fleet() as store, store.write() as connection:
        if ledger.epoch(connection) is None:
            ledger.begin_epoch(connection, who(), "first", site.now_ms())
    out.print(f"ready: {databases.name}")


@app.command()
def ingest(context: typer.Context) -> None:
    """Take in what readers send: any number on PostgreSQL, one on SQLite."""
    from fleet import groups

    site = site_of(context)
    config = site.config
    _open_once(config.authority, config.certificate, config.key, config.signing_key)
    _serve(groups.serve(config, site.clock))


@app.command()
def dispatch(
    context: typer.Context,
    standby: Annotated[
        bool,
        typer.Option("--standby", help="When another one works, wait, and take over at its end."),
    ] = False,
) -> None:
    """Tell readers what they are to hold, and do what is done once per fleet: exactly one."""
    from fleet import dispatch

    site = site_of(context)
    config = site.config
    _open_once(config.authority, config.certificate, config.key, config.signing_key)
    _serve(dispatch.serve(config, site.clock, standby=standby))


@app.command()
def devices(context: typer.Context) -> None:
    """Serve rosters and keys to readers, over HTTPS."""
    from fleet import devices

    config = site_of(context).config
    _open_once(config.authority, config.server_certificate, config.server_key)
    _serve(devices.serve(config))


@app.command()
def console(context: typer.Context) -> None:
    """Serve the pages of those who run the readers."""
    from fleet.web import console

    log_plainly()
    site = site_of(context)
    console.run(site.config, site.clock)


@app.command()
def office(context: typer.Context) -> None:
    """Serve the pages of the clerks."""
    from fleet.web import office

    log_plainly()
    site = site_of(context)
    office.run(site.config, site.clock)


@app.command()
def status(context: typer.Context) -> None:
    """Answer in one look: can riders tap? are entries safe?"""
    from fleet.attention import can_tap, entries_safe
    from fleet.overview import read_overview
    from programmes.texts import say

    site = site_of(context)
    language = site.config.language
    with site.fleet() as store, store.read() as connection:
        overview = read_overview(connection, site.now_ms())
    rows = [
        (
            say(f"web.first.{question}", language),
            say(f"web.answer.{verdict.answer.value}", language),
            say(f"web.first.{question}.{verdict.reason}", language, **verdict.arguments),
        )
        for question, verdict in (("tap", can_tap(overview)), ("safe", entries_safe(overview)))
    ]
    rows += [(row.name, row.state.value, row.trouble or "") for row in overview.troubled]
    show((), rows)


def _open_once(*files: str) -> None:
    """Raise an OSError that names the file that cannot be read: TLS's own errors name none."""
    for file in files:
        Path(file).read_bytes()


def _serve(service: Coroutine[Any, Any, None]) -> None:
    """Run a service until SIGTERM or SIGINT."""
    log_plainly()

    async def run_until_told() -> None:
        task = asyncio.ensure_future(service)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run_until_told())


@functools.cache
def _command() -> Callable[..., object]:
    """Return all commands as one: made once, however many a process runs."""
    return typer.main.get_command(app)


def run(argv: list[str], clock: Clock) -> int:
    """Run one command with this clock; return the exit status."""
    try:
        _command()(args=argv, prog_name="kazasu-fleet", obj=clock)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except REFUSALS as error:
        return fail(error).exit_code
    except sa.exc.OperationalError as error:
        return fail(f"the database cannot be used: {error.orig}").exit_code
    return 0


def main(argv: list[str] | None = None, clock: Clock | None = None) -> int:
    """Entry of the console script."""
    return run(sys.argv[1:] if argv is None else argv, clock or SystemClock())
