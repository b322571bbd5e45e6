"""`kazasu-fleet work spare`: a school's spare cards are listed, lent, taken back, put out of use.

Rules: a card is named by what its sticker says; a visitor is named on the school's pages alone.
"""

from typing import Annotated

import sqlalchemy as sa
import typer

from fleet import work_spare_use, work_spares
from fleet.cli_work import School, day_of, member_row
from fleet.schema import member
from fleet.terminal import Text, guard, out, show, site_of, who
from fleet.work_acts import Act, WorkRefused
from fleet.work_spares import Spare
from programmes.calendar import local

spare_app = typer.Typer(no_args_is_help=True, help="A school's spare cards.")
Number = Annotated[int, typer.Argument(help="What the card's sticker says.")]
Reason = Annotated[
    str, typer.Argument(callback=guard, help=f"One of {', '.join(work_spare_use.WHYS)}.")
]


def _spare(people: sa.Connection, school: str, number: int, at_ms: int) -> Spare:
    """Return a school's card by its number. Raises WorkRefused."""
    spares = work_spares.of_school(people, school, at_ms)
    found = next((one for one in spares if one.number == number), None)
    if found is None:
        raise WorkRefused("no-spare")
    return found


@spare_app.command("list")
def list_(context: typer.Context, school: School) -> None:
    """List a school's spare cards, and who has which one, by registration number."""
    site = site_of(context)
    with site.people() as store, store.read() as people:
        spares = work_spares.of_school(people, school, site.now_ms())
        numbers = _numbers(people, {one.member_id for one in spares if one.member_id is not None})
    rows = [
        (one.number, _state(one), numbers.get(one.member_id or 0, ""), _until(one))
        for one in spares
    ]
    show(("card", "state", "who", "until"), rows)


def _numbers(people: sa.Connection, members: set[int]) -> dict[int, str]:
    wanted = sa.select(member.c.id, member.c.registration_number).where(member.c.id.in_(members))
    return {row.id: row.registration_number for row in people.execute(wanted)}


def _state(one: Spare) -> str:
    if one.out:
        return one.out
    if one.loan_id is None:
        return "free"
    return "lent" if one.member_id is not None else "visitor"


def _until(one: Spare) -> str:
    return f"{local(one.until_ms):%Y-%m-%d %H:%M}" if one.until_ms else ""


@spare_app.command("lend")
def lend(
    context: typer.Context,
    school: School,
    card: Number,
    number: Text,
    until: Annotated[
        str, typer.Option(callback=guard, help="The last day, such as 2026-06-03; else today.")
    ] = "",
) -> None:
    """Lend a card to a member of the school, by registration number."""
    site = site_of(context)
    at_ms, last = site.now_ms(), day_of(until) if until else None
    with site.fleet() as ledger, ledger.read() as fleet:
        ends = work_spares.ends(fleet, school, at_ms, last)
    with site.people() as store, store.write() as people:
        act = Act(member_row(people, number), who(), at_ms)
        work_spares.lend(people, act, school, _spare(people, school, card, at_ms).id, ends)
    out.print(f"{school} {card}: lent to {number} until {local(ends.at_ms):%Y-%m-%d %H:%M}")


@spare_app.command("back")
def back(context: typer.Context, school: School, card: Number) -> None:
    """Take a card back: from now on it is nobody's."""
    site = site_of(context)
    with site.people() as store, store.write() as people:
        loan = _spare(people, school, card, site.now_ms()).loan_id
        work_spares.give_back(people, school, loan or 0, who(), site.now_ms())
    out.print(f"{school} {card}: taken back")


@spare_app.command("retire")
def retire(context: typer.Context, school: School, card: Number, reason: Reason) -> None:
    """Put a card out of use that is lost or broken; whoever has it has it no more."""
    site = site_of(context)
    with site.people() as store, store.write() as people:
        one, at_ms = _spare(people, school, card, site.now_ms()), site.now_ms()
        work_spare_use.retire(people, school, one.id, reason, who(), at_ms)
    out.print(f"{school} {card}: out of use")


@spare_app.command("restore")
def restore(context: typer.Context, school: School, card: Number) -> None:
    """Let a card that was found again be lent."""
    site = site_of(context)
    with site.people() as store, store.write() as people:
        one = _spare(people, school, card, site.now_ms())
        work_spare_use.restore(people, school, one.id, who(), site.now_ms())
    out.print(f"{school} {card}: in use")
