"""代替の先生: somebody who comes for some days is taken in at once, with a spare card.

Rules: only who may enrol members of attendance takes somebody in; the form stands on the page of
the spare cards, and a school's own people read there whom to ask.
"""

from typing import Final

from aiohttp import web

from fleet import work_substitutes
from fleet.rights import OfficeRole
from fleet.web.data import PERSONS, change
from fleet.web.forms import read_form
from fleet.web.pages import CLOCK
from fleet.web.reach import require
from fleet.web.school_reach import number_of, school_to_write
from fleet.web.school_spares_page import PATH, spares_page, until_of
from fleet.web.session import Flash, account_of, flash
from fleet.work_acts import WorkRefused
from fleet.work_substitutes import NAME_MAX, NewSubstitute
from programmes import attendance

_FIELDS: Final = {"name": NAME_MAX, "kana": NAME_MAX, "until_day": 10, "spare": 20}
_BESIDE: Final = {"loan-day": "until_day", "card-lent": "spare", "no-spare": "spare"}
routes = web.RouteTableDef()


@routes.post(f"{PATH}/substitute")
async def take_in(request: web.Request) -> web.Response:
    """Enrol a substitute from today until a day, and lend him a spare card for these days."""
    require(request, attendance.NAME, OfficeRole.CLERK)
    school, form = await school_to_write(request), await read_form(request, _FIELDS)
    form.require("name", "kana", "until_day", "spare")
    until = await until_of(request, school, form, "until_day")
    if until is None:
        return await spares_page(request, school, form, 422, "substitute")
    new = NewSubstitute(form["name"], form["kana"], number_of(form["spare"]), until)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    told = (school.organisation, new, who, now_ms)
    try:
        found = await change(request.app[PERSONS], work_substitutes.take_in, *told)
    except WorkRefused as error:
        field = _BESIDE.get(error.reason, "name")
        form.refuse(field, f"work.refused.{error.reason}", **error.arguments)
        return await spares_page(request, school, form, 409, "substitute")
    said = {"number": found.registration_number}
    await flash(request, Flash("ok", "web.school.spares.done.substitute", said))
    raise web.HTTPSeeOther(f"{PATH}?school={school.code}")
