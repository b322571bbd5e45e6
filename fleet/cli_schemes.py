"""`kazasu-fleet schemes | campaign`: by which schemes cards are known, and moving between them."""

import csv
import datetime
import itertools
from pathlib import Path
from typing import Annotated, Final

import typer

from fleet import campaigns, registry, rosters, schemes, terms
from fleet.campaigns import Missing, Progress
from fleet.scheme_facts import FACTS, SIGN, text_id
from fleet.terminal import Why, fail, guard, guard_programme, out, show, site_of, who
from programmes.calendar import local_day
from programmes.register import RULEBOOKS
from programmes.texts import Language, say
from wire.credential import Scheme

schemes_app = typer.Typer(no_args_is_help=True, help="By which schemes cards are known.")
campaign_app = typer.Typer(no_args_is_help=True, help="Moving members from one scheme to another.")

SHOWN_MAX: Final = 100
"""Lines of a list on the terminal."""
MISSING: Final = ("registration_number", "name", "kana")
DAY: Final = ["%Y-%m-%d"]
_Name = Annotated[str, typer.Argument(callback=guard_programme)]


@schemes_app.command("list")
def list_schemes(
    context: typer.Context,
    programme: Annotated[
        str, typer.Option(callback=guard, help="Only this one's; all, if left out.")
    ] = "",
) -> None:
    """List every scheme of every programme: its ground, until when, and how many cards."""
    site = site_of(context)
    language: Language = "en" if site.config.language == "en" else "ja"
    day = local_day(site.now_ms())
    with site.people() as store, store.read() as connection:
        rows = [
            row
            for name in RULEBOOKS
            if programme in ("", name)
            for row in schemes.overview(connection, name, day)
        ]
    show(
        ("programme", "scheme", "state", "until", "cards", "signed by", "ground"),
        [_line(row, language) for row in rows],
    )


def _line(row: schemes.Row, language: Language) -> tuple[object, ...]:
    state = f"{row.state}, {row.days_left} days" if row.state == "ends-soon" else row.state
    told = row.newest
    if told is None or row.state == "off":
        signed, ground = "", say(text_id(row.scheme, SIGN), language)
    else:
        signed, ground = f"{told.office} {told.signed_by}".strip(), told.ground or told.kind
    until = row.last or ("" if row.state == "off" else "open")
    return row.programme, row.scheme, state, until, row.cards, signed, ground


@schemes_app.command("state")
def state_schemes(
    context: typer.Context,
    programme: _Name,
    scheme: Annotated[list[Scheme], typer.Argument(help="One or more, by the same document.")],
    signed_by: Annotated[str, typer.Option(callback=guard, help="Who signs: name and post.")],
    office: Annotated[str, typer.Option(callback=guard, help="The office that answers for it.")],
    ground: Annotated[str, typer.Option(callback=guard, help="The ordinance, contract or notice.")],
    dated: Annotated[datetime.datetime, typer.Option(formats=DAY, help="Its date.")],
    valid_from: Annotated[
        datetime.datetime | None, typer.Option("--from", formats=DAY, help="Today, if left out.")
    ] = None,
    valid_to: Annotated[
        datetime.datetime | None, typer.Option("--to", formats=DAY, help="The last day; or open.")
    ] = None,
) -> None:
    """Switch schemes on: write down who signs for them, and on what ground.

    It cannot be changed afterwards; a later statement is added to it, `end` ends it. What each
    scheme asks for stands in `schemes list` and in docs/adr/0015-schemes-and-campaigns.md.
    """
    site = site_of(context)
    now_ms = site.now_ms()
    new = schemes.NewStatement(
        signed_by,
        office,
        ground,
        dated.date(),
        valid_from.date() if valid_from else local_day(now_ms),
        valid_to.date() if valid_to else None,
    )
    with site.people() as store, store.write() as connection:
        schemes.state(connection, programme, scheme, new, who(), now_ms)
    until = f"until {new.valid_to}" if new.valid_to else "without an end"
    out.print(f"{programme}: {', '.join(scheme)} from {new.valid_from}, {until}")


@schemes_app.command()
def end(
    context: typer.Context,
    programme: _Name,
    scheme: Scheme,
    why: Why,
    last: Annotated[
        datetime.datetime | None,
        typer.Option("--on", formats=DAY, help="Its last day; yesterday, if left out: at once."),
    ] = None,
) -> None:
    """Switch a scheme off: after its last day its cards are good no more, at any reader."""
    site = site_of(context)
    now_ms = site.now_ms()
    day = last.date() if last else local_day(now_ms) - datetime.timedelta(1)
    with site.people() as store, store.write() as connection:
        schemes.end(connection, programme, scheme, day, why, who(), now_ms)
    out.print(f"{programme}: {scheme} ends with {day}")


# --- campaigns -----------------------------------------------------------------------------------


@campaign_app.command()
def start(
    context: typer.Context,
    programme: _Name,
    leaves: Annotated[Scheme, typer.Option("--from", help="The scheme that members leave.")],
    joins: Annotated[Scheme, typer.Option("--to", help="The scheme that they join.")],
    until: Annotated[datetime.datetime, typer.Option(formats=DAY, help="The deadline, included.")],
) -> None:
    """Let members move: a card by being used, a member at a desk or by a list.

    Until the deadline both credentials are good; after it those of the scheme that is left are not.
    """
    site = site_of(context)
    with site.people() as store, store.write() as connection:
        campaigns.start(connection, programme, leaves, joins, until.date(), who(), site.now_ms())
    out.print(f"{programme}: from {leaves} to {joins} until {until.date()}")
    if FACTS[leaves].technology != FACTS[joins].technology:
        out.print("no reader finds both on one card: members move at a desk or by a list alone")
    with site.fleet() as store, store.read() as connection:
        old = rosters.places_behind(connection)
        places = registry.load_places(connection)
    behind = sorted(name for name in old if programme in places[name].programmes)
    if behind:
        named = ", ".join(behind[:SHOWN_MAX])
        out.print(f"{len(behind)} places take no part until their agents are updated: {named}")


@campaign_app.command()
def status(context: typer.Context) -> None:
    """Show how far each programme's campaign has come."""
    site = site_of(context)
    with site.people() as store, store.read() as connection:
        day = local_day(site.now_ms())
        known = sorted(terms.latest(connection).items())
        every = [campaigns.progress(connection, one, day) for _, one in known]
    show(
        ("programme", "from", "to", "until", "state", "moved", "missing", "%", "today"),
        [_progress(one, day) for one in every],
    )


def _progress(one: Progress, day: datetime.date) -> tuple[object, ...]:
    of, today = one.of, dict(one.days).get(day, 0)
    named = (of.programme, of.from_scheme, of.to_scheme, of.until, one.state)
    return *named, one.moved, one.missing, one.percent, today


@campaign_app.command()
def missing(
    context: typer.Context,
    programme: _Name,
    file: Annotated[Path | None, typer.Option("--csv", help="Write all to a new file.")] = None,
) -> None:
    """List members who have not moved: at most 100, with --csv all of them, in UTF-8."""
    site = site_of(context)
    if file and file.exists():
        raise fail(f"{file} is there already: name another file")
    day = local_day(site.now_ms())
    with site.people() as store, store.read() as connection:
        of = terms.latest(connection).get(programme)
        if of is None:
            raise fail(f"{programme} has never had a campaign: `kazasu-fleet campaign start`")
        total = campaigns.missing_count(connection, programme, of.from_scheme, day)
        listed = campaigns.missing(connection, programme, of.from_scheme, day)
        if file:
            with file.open("x", encoding="utf-8-sig", newline="") as opened:
                csv.writer(opened).writerows(itertools.chain([MISSING], map(_line_of, listed)))
        else:
            show(MISSING, [_line_of(one) for one in itertools.islice(listed, SHOWN_MAX)])
    where = f", written to {file}" if file else ""
    out.print(f"{programme}: {total} members still use {of.from_scheme}{where}")


def _line_of(one: Missing) -> tuple[str, ...]:
    return one.registration_number, one.name, one.kana


@campaign_app.command()
def stop(context: typer.Context, programme: _Name, why: Why) -> None:
    """Stop a campaign: moved cards stay moved, all others stay as they are."""
    site = site_of(context)
    with site.people() as store, store.write() as connection:
        campaigns.stop(connection, programme, why, who(), site.now_ms())
    out.print(f"{programme}: the campaign is stopped")
