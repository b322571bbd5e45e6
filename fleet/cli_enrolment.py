"""`kazasu-fleet readers | rules | rosters | accounts`: what stands before the first tap."""

from pathlib import Path
from typing import Annotated, Final

import sqlalchemy as sa
import typer

from fleet import accounts, audit_page, registry, rosters, rules
from fleet.accounts import AccountRole
from fleet.books import read_signing_key
from fleet.rights import EVERYWHERE, OfficeRole, parse, written
from fleet.schema import reader, roster, rule
from fleet.terminal import Text, Why, fail, guard_programme, out, show, site_of, who
from wire.envelope import Signer
from wire.individual_number import refuse_individual_number

readers = typer.Typer(no_args_is_help=True, help="Which readers there are.")
rules_app = typer.Typer(no_args_is_help=True, help="The programmes' dated rule tables.")
rosters_app = typer.Typer(no_args_is_help=True, help="The lists that readers decide with.")
accounts_app = typer.Typer(no_args_is_help=True, help="Who may sign in.")
NO_RIGHT: Final = "none"
"""Instead of a right."""


@readers.command("import")
def import_(context: typer.Context, file: Path) -> None:
    """Take in places and readers from registry.json; may be done again."""
    site = site_of(context)
    read = registry.read_registry(file)
    with site.fleet() as store, store.write() as connection:
        done = registry.import_registry(connection, read, site.config.tenant, who(), site.now_ms())
    out.print(
        f"{done.places} places; readers: {done.added} added, {done.changed} changed, "
        f"{done.unchanged} unchanged"
    )


@readers.command("list")
def list_readers(context: typer.Context) -> None:
    """List the readers."""
    with site_of(context).fleet() as store, store.read() as connection:
        rows = connection.execute(
            sa.select(reader.c.name, reader.c.place, reader.c.revoked_why, reader.c.revoked_at_ms)
        ).all()
    states = [f"revoked: {row.revoked_why}" * bool(row.revoked_at_ms) for row in rows]
    show(
        ("reader", "place", "state"),
        [(row.name, row.place, state) for row, state in zip(rows, states, strict=True)],
    )


@readers.command()
def revoke(context: typer.Context, name: Text, why: Why) -> None:
    """Shut one reader (tenant/reader) out; only a new certificate brings it back."""
    site = site_of(context)
    with site.fleet() as store, store.write() as connection:
        registry.revoke(connection, name, why, who(), site.now_ms())
    out.print(f"{name} is revoked")


@rules_app.command("add")
def add_rules(
    context: typer.Context,
    programme: Annotated[str, typer.Argument(callback=guard_programme)],
    file: Path,
) -> None:
    """Add a dated rule table from a TOML or JSON file."""
    site = site_of(context)
    table = rules.read_table(programme, file)
    with site.fleet() as store, store.write() as connection:
        added = rules.add(connection, programme, table, who(), site.now_ms())
    out.print(f"{table.version} {'is added' if added else 'stands already'}")


@rules_app.command("list")
def list_rules(context: typer.Context) -> None:
    """List the rule tables by the day on which they come into force."""
    with site_of(context).fleet() as store, store.read() as connection:
        rows = connection.execute(
            sa.select(rule).order_by(rule.c.programme, rule.c.valid_from)
        ).all()
    show(
        ("programme", "version", "from", "parameters", "added by"),
        [
            (row.programme, row.version, row.valid_from, row.parameters, row.added_by)
            for row in rows
        ],
    )


@rosters_app.command("build")
def build_rosters(context: typer.Context) -> None:
    """Build what has changed (a running ingest does this by itself)."""
    site = site_of(context)
    config = site.config
    refused: list[str] = []
    with site.fleet() as store, site.people() as people:
        by = Signer(read_signing_key(config.signing_key))
        builder = rosters.Builder(store, people, config.state_folder, config.tenant, by, site.clock)
        built = builder.build_changed(lambda _programme, error: refused.append(str(error)))
    for one in built:
        word = "built" if one.changed else "unchanged"
        out.print(f"{one.programme} at {one.place}: version {one.version}, {one.rows} rows, {word}")
    if refused:
        raise fail("\n".join(refused))


@rosters_app.command("list")
def list_rosters(context: typer.Context) -> None:
    """List the rosters that readers are to hold."""
    newest = sa.func.max(roster.c.version)
    with site_of(context).fleet() as store, store.read() as connection:
        rows = connection.execute(
            sa.select(roster.c.programme, roster.c.place, newest)
            .group_by(roster.c.programme, roster.c.place)
            .order_by(roster.c.programme, roster.c.place)
        ).all()
    show(("programme", "place", "version"), rows)


@accounts_app.command("add")
def add_account(
    context: typer.Context,
    name: Text,
    role: AccountRole,
    right: Annotated[
        list[str] | None,
        typer.Option(
            help="For a clerk's account: programme:role or programme:role:organisation, any number "
            f"of times; roles: {', '.join(OfficeRole)}; programme *: every one. "
            f"Without any: {written(EVERYWHERE)}. {NO_RIGHT}: only what is the person's own."
        ),
    ] = None,
    password_file: Annotated[
        typer.FileText | None,
        typer.Option(help="Read the password's first line here («-»: stdin) instead of asking."),
    ] = None,
) -> None:
    """Add an account, or give one a new role and password."""
    site = site_of(context)
    if password_file is not None:
        password = password_file.readline().rstrip("\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    refuse_individual_number("password", password)
    asked = [] if right == [NO_RIGHT] else right or [written(EVERYWHERE)]
    may = [parse(one) for one in asked]
    with site.fleet() as store, store.write() as connection:
        accounts.add(connection, name, role, password, who(), site.now_ms(), may)
    out.print(f"{name} may sign in as {role.value}")


@accounts_app.command("list")
def list_accounts(context: typer.Context) -> None:
    """List who may sign in; no password is shown."""
    site = site_of(context)
    with site.fleet() as store, store.read() as connection:
        rows = accounts.everyone(connection)
    now_ms = site.now_ms()
    show(
        ("account", "role", "since", "state"),
        [
            (name, role, audit_page.moment(added_ms), "locked" if until_ms > now_ms else "")
            for name, role, added_ms, until_ms in rows
        ],
    )
