"""`kazasu-fleet consent`: to what members of a programme consent, and on what ordinance."""

import datetime
from typing import Annotated, Final

import typer

from fleet import consent
from fleet.terminal import guard, guard_programme, out, show, site_of, who
from programmes.calendar import local_day

consent_app = typer.Typer(no_args_is_help=True, help="To what members consent.")

DAY: Final = ["%Y-%m-%d"]
_Name = Annotated[str, typer.Argument(callback=guard_programme)]


@consent_app.command("list")
def list_bases(context: typer.Context, programme: _Name) -> None:
    """List all that members of a programme ever consented to, and which of it holds today."""
    site = site_of(context)
    with site.people() as store, store.read() as connection:
        found = consent.bases(connection, programme)
        holds = consent.basis_on(connection, programme, local_day(site.now_ms()))
    show(
        ("from", "state", "ordinance", "dated", "sentence", "whom to call", "written by"),
        [
            (
                one.valid_from,
                "holds" if one == holds else "",
                f"{one.ordinance} {one.article}",
                one.ordinance_date,
                one.wording,
                one.contact,
                one.who,
            )
            for one in found
        ],
    )


@consent_app.command("add")
def add_basis(
    context: typer.Context,
    programme: _Name,
    ordinance: Annotated[str, typer.Option(callback=guard, help="Its name.")],
    article: Annotated[str, typer.Option(callback=guard, help="The article, such as 第5条第1項.")],
    dated: Annotated[datetime.datetime, typer.Option(formats=DAY, help="The ordinance's date.")],
    wording: Annotated[str, typer.Option(callback=guard, help="The sentence, as it is read out.")],
    contact: Annotated[str, typer.Option(callback=guard, help="Whom members call.")],
    wording_en: Annotated[
        str, typer.Option(callback=guard, help="The same for those who read no Japanese.")
    ] = "",
    valid_from: Annotated[
        datetime.datetime | None, typer.Option("--from", formats=DAY, help="Today, if left out.")
    ] = None,
) -> None:
    """Write down to what members consent from a day on. It cannot be changed afterwards.

    Of two with the same first day the one written last holds.
    """
    site = site_of(context)
    now_ms = site.now_ms()
    new = consent.NewBasis(
        ordinance,
        article,
        dated.date(),
        wording,
        contact,
        valid_from.date() if valid_from else local_day(now_ms),
        wording_en,
    )
    with site.people() as store, store.write() as connection:
        consent.add_basis(connection, programme, new, who(), now_ms)
    out.print(f"{programme}: {ordinance} {article} holds from {new.valid_from} on")
