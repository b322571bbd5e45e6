"""自分の1日: every mark of an own day and what became of it, who corrected what, entries, requests.

What can be done to it is `own_steps_page`; the receipt is the file by which its owner can show
alone that the day is as it was signed.
"""

from typing import Final

from aiohttp import web

from fleet import work_lists
from fleet.web.data import PERSONS, read
from fleet.web.forms import Form, empty_form
from fleet.web.own_data import ONE_DAY, PATH, OwnDay, can_contest, day_of, own_member
from fleet.web.pages import render
from fleet.web.session import account_of
from fleet.web.triage_page import place_labels
from fleet.work_entries import AHEAD_DAYS_MAX
from fleet.work_ledger import BY_THE_PERSON
from fleet.work_objections import may_contest

KINDS: Final = ("off-site", "home", "study", "leave", "break", "no-break", "trip")
"""What a person may enter, in the order in which it is offered (work_entries.DeclaredKind)."""
DIRECTIONS: Final = ("in", "out", "away", "back")
DAY: Final = r"{day:\d{4}-\d\d-\d\d}"
routes = web.RouteTableDef()


@routes.get(f"{PATH}/day/{DAY}")
async def show(request: web.Request) -> web.Response:
    """One day."""
    one = await day_of(request, request.match_info["day"])
    return await day_page(request, one, empty_form(request))


async def day_page(
    request: web.Request, one: OwnDay, form: Form, status: int = 200, tried: str = ""
) -> web.Response:
    """Show a day. `tried`: which form was sent and is shown again, as `entry` or `contest-12`."""
    who = account_of(request).name
    signed = await read(request.app[PERSONS], work_lists.receipt, own_member(request), one.day)
    times = {
        reading.standing.mark.identity: reading.standing.mark.at_ms for reading in one.readings
    }
    return await render(
        request,
        "own_day.html",
        status,
        section=PATH,
        one=one,
        who=who,
        form=form,
        tried=tried,
        kinds=KINDS,
        directions=DIRECTIONS,
        places=await place_labels(request),
        times=times,
        gate=BY_THE_PERSON,
        contestable={made.correction.number for made in one.corrections if can_contest(made, who)},
        objectable={made.id for made in one.entries if may_contest(made, who)},
        before=one.day - ONE_DAY,
        after=one.day + ONE_DAY if one.day < one.today + AHEAD_DAYS_MAX * ONE_DAY else None,
        has_receipt=signed is not None,
    )


@routes.get(f"{PATH}/day/{DAY}/receipt.json")
async def receipt(request: web.Request) -> web.Response:
    """The receipt of the newest signed list that has the day."""
    one = await day_of(request, request.match_info["day"])
    file = await read(request.app[PERSONS], work_lists.receipt, own_member(request), one.day)
    if file is None:
        raise web.HTTPNotFound
    return web.Response(
        body=file,
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="kazasu-work-{one.day}.json"'},
    )
