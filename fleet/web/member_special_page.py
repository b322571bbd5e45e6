"""特例の月: a clerk declares a member's month a special case, and revokes it; both with a reason.

Rules: as `fleet.work_special` has it: before the month's hours pass its limit, and not in a closed
month; nobody decides on his own; each step stays on the page of the member's terms.
"""

import datetime

import sqlalchemy as sa
from aiohttp import web

from fleet import work_special
from fleet.web.forms import Form, read_form
from fleet.web.member_terms_page import act_of, not_own, terms_page
from fleet.web.school_reach import look
from fleet.web.session import Flash, flash
from fleet.work_acts import WHY_MAX, Act, WorkRefused
from wire.individual_number import IndividualNumberRefused

_FIELDS = {"month": 7, "why": WHY_MAX}
routes = web.RouteTableDef()


def _declare(fleet: sa.Connection, people: sa.Connection, act: Act, month: datetime.date) -> None:
    not_own(people, act)
    work_special.declare(fleet, people, act, month)


def _revoke(_fleet: sa.Connection, people: sa.Connection, act: Act, month: datetime.date) -> None:
    not_own(people, act)
    work_special.revoke(people, act, month)


_STEPS = {"declare": _declare, "revoke": _revoke}


@routes.post(r"/members/{member:\d+}/special/{way:declare|revoke}")
async def decide(request: web.Request) -> web.Response:
    """Let a month be a special case, or none any more."""
    act, way = await act_of(request), request.match_info["way"]
    form = await read_form(request, _FIELDS)
    form.require("month", "why")
    month = _month(form)
    if form.errors or month is None:
        return await terms_page(request, form, 422, way)
    try:
        await look(request, _STEPS[way], act._replace(why=form["why"]), month)
    except WorkRefused as error:
        field = "why" if error.reason in ("why", "printable") else "month"
        form.refuse(field, f"work.refused.{error.reason}", **error.arguments)
        return await terms_page(request, form, 409, way)
    except IndividualNumberRefused:
        form.refuse("why", "refused.individual-number")
        return await terms_page(request, form, 422, way)
    await flash(request, Flash("ok", f"web.special.done.{way}"))
    raise web.HTTPSeeOther(f"/members/{act.member_id}/terms#h-special")


def _month(form: Form) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(f"{form['month']}-01")
    except ValueError:
        form.refuse("month", "work.refused.month")
        return None
