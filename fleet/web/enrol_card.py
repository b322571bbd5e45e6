"""The card's step of an enrolment: wait at the desk's reader, or choose a card that was held."""

from typing import Any, Final, NamedTuple

from aiohttp import web

from fleet import desk, triage
from fleet.members import Waiting
from fleet.web import desk_wait_page
from fleet.web.data import PERSONS, read
from fleet.web.enrol_form import FIELDS, Applied
from fleet.web.pages import CLOCK, render
from fleet.web.triage_page import place_labels
from programmes.calendar import local

LISTED_MS: Final = 30 * 60_000
"""Cards held longer ago are nobody's who stands at the counter now; the list of cards has them."""
LISTED_MAX: Final = 5
PURPOSE: Final = "enrol"
"""What the reader's screen says that the card is held for (wire.desk.DeskRequest)."""
_CARRIED: Final = tuple(
    name for name in FIELDS if name not in ("card", "how", *desk_wait_page.FIELDS)
)


class Held(NamedTuple):
    """An unknown card as a clerk tells it from others: where and when it was held."""

    id: int
    place: str
    time: str


async def listed_card(request: web.Request, programme: str, card: str) -> Held | None:
    """Return the unknown card that was chosen before, while it is listed in this programme."""
    if not card.isdecimal():
        return None
    found = await read(request.app[PERSONS], desk.see_stranger, int(card))
    if found is None or found.programme != programme:
        return None
    places = await place_labels(request)
    return Held(found.id, places.get(found.place, found.place), f"{local(found.at_ms):%H:%M}")


async def _listed(request: web.Request, programme: str) -> list[Held]:
    now_ms = request.app[CLOCK].now_ms()
    cards: list[Waiting] = await read(request.app[PERSONS], triage.waiting, now_ms)
    places = await place_labels(request)
    return [
        Held(one.id, places.get(one.place, one.place), f"{local(one.at_ms):%H:%M}")
        for one in cards
        if one.programme == programme and now_ms - one.received_at_ms <= LISTED_MS
    ][:LISTED_MAX]


async def card_step(
    request: web.Request,
    applied: Applied,
    status: int = 200,
    refused: str = "",
    *,
    keep: bool = False,
    **said: Any,
) -> web.Response:
    """Wait for the card; `refused`: why the one that was held is not taken.

    Then the next one is waited for, unless `keep`: that the present wait goes on.
    """
    form = applied.form
    if refused and not keep:
        form.values["wait"] = ""
    part = await desk_wait_page.handle(
        request, applied.programme, PURPOSE, form, submits=True, at_once=True
    )
    return await render(
        request,
        "enrol_card.html",
        status,
        section="/enrol",
        programme=applied.programme,
        form=form,
        desk=part,
        carried={name: form[name] for name in _CARRIED},
        listed=await _listed(request, applied.programme),
        refused=refused,
        said=said,
    )
