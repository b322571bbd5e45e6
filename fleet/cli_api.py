"""`kazasu-fleet api`: the city's other systems, what they are told, and the rides of a month."""

from pathlib import Path
from typing import Annotated, Final

import typer

from fleet import api_clients, audit, tides, webhooks
from fleet.api_clients import Scope
from fleet.terminal import Programme, Text, guard_programme, out, show, site_of, who
from programmes.calendar import local
from programmes.register import RULEBOOKS

api_app = typer.Typer(no_args_is_help=True, help="The HTTP API for the city's other systems.")
clients_app = typer.Typer(no_args_is_help=True, help="Who may ask.")
webhooks_app = typer.Typer(no_args_is_help=True, help="Who is told of changed enrolments.")
api_app.add_typer(clients_app, name="clients")
api_app.add_typer(webhooks_app, name="webhooks")

CLIENTS: Final = ("name", "programme", "scopes", "since", "added by", "ended")
WEBHOOKS: Final = ("id", "programme", "url", "state", "waiting", "last error")
_Named = Annotated[str, typer.Argument(callback=guard_programme)]


@clients_app.command("list")
def list_clients(context: typer.Context) -> None:
    """List every client, those in use first."""
    with site_of(context).fleet() as store, store.read() as connection:
        rows = api_clients.everyone(connection, list(RULEBOOKS))
    show(CLIENTS, [_client(row) for row in rows])


def _client(row: api_clients.Line) -> tuple[object, ...]:
    ended = "" if row.ended_at_ms is None else _day(row.ended_at_ms)
    return row.name, row.programme, " ".join(row.scopes), _day(row.added_at_ms), row.added_by, ended


def _day(at_ms: int) -> str:
    return f"{local(at_ms):%Y-%m-%d}"


@clients_app.command("add")
def add_client(
    context: typer.Context,
    name: Text,
    programme: Programme,
    scope: Annotated[list[Scope], typer.Option(help="What it may do; may be given again.")],
) -> None:
    """Add a client and print its token, which is kept nowhere: give it to the other system now."""
    site = site_of(context)
    with site.fleet() as store, store.write() as connection:
        token = api_clients.add(connection, name, programme, scope, who(), site.now_ms())
    out.print(token)


@clients_app.command("end")
def end_client(context: typer.Context, name: Text) -> None:
    """Let a client's token open nothing from now on."""
    site = site_of(context)
    with site.fleet() as store, store.write() as connection:
        api_clients.end(connection, name, who(), site.now_ms())
    out.print(f"{name} may ask nothing any more")


@webhooks_app.command("list")
def list_webhooks(context: typer.Context) -> None:
    """List every address that is told, and what waits for it."""
    with site_of(context).people() as store, store.read() as connection:
        rows = webhooks.everyone(connection, list(RULEBOOKS))
    show(
        WEBHOOKS,
        [(row.id, row.programme, row.url, row.state, row.waiting, row.last_error) for row in rows],
    )


@webhooks_app.command("add")
def add_webhook(
    context: typer.Context,
    url: Text,
    programme: Programme,
    this_machine: Annotated[
        bool, typer.Option(help="It is a program on this machine: http is allowed.")
    ] = False,
) -> None:
    """Tell an address of all changes from now on; print the secret under which that is signed."""
    site = site_of(context)
    with site.people() as store, store.write() as connection:
        _, secret = webhooks.add(
            connection, programme, url, who(), site.now_ms(), this_machine=this_machine
        )
    out.print(webhooks.written(secret))


@webhooks_app.command("end")
def end_webhook(context: typer.Context, number: int) -> None:
    """Tell an address nothing more; what waits for it is dropped."""
    site = site_of(context)
    with site.people() as store, store.write() as connection:
        webhooks.end(connection, number, who(), site.now_ms())
    out.print(f"{number} is told nothing any more")


@webhooks_app.command("resume")
def resume_webhook(context: typer.Context, number: int) -> None:
    """Try at once what waits first; the rest follows in order."""
    site = site_of(context)
    with site.people() as store, store.write() as connection:
        webhooks.go_on(connection, number, who(), site.now_ms())
    out.print(f"{number} is tried again")


@api_app.command()
def rides(context: typer.Context, programme: _Named, month: Text, file: Path) -> None:
    """Write the rides of a month (2026-06) to a new file, as TIDES fare transactions."""
    site = site_of(context)
    first = tides.month_of(month)
    with site.fleet() as store:
        with store.read() as connection, file.open("x", encoding="utf-8", newline="") as opened:
            count = tides.write(connection, programme, first, opened)
        with store.write() as connection:
            told = f"{programme} {month}"
            audit.note(connection, site.now_ms(), who(), "rides.exported", told, f"{count} rides")
    out.print(f"{count} rides, written to {file}")


@api_app.command()
def document() -> None:
    """Print the OpenAPI document, as the office serves it at /api/1/openapi.json."""
    import json

    from fleet import openapi
    from fleet.web.api import OPERATIONS

    typer.echo(json.dumps(openapi.document(OPERATIONS), ensure_ascii=False, indent=2))
