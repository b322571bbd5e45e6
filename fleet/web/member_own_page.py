"""本人のアカウント: which account is a member's own, bound and unbound by a clerk.

Rules: a clerk of attendance binds; a new account may do nothing but see its owner's own days, and
its password is shown once; an account that is there already keeps its password and its rights.
"""

from aiohttp import web

from fleet import card_pin, people, work_accounts
from fleet.accounts import AccountRefused
from fleet.people import PeopleRefused
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.forms import Form, read_form
from fleet.web.members_page import member_page
from fleet.web.pages import CLOCK, render
from fleet.web.reach import member_in_reach, require
from fleet.web.session import Flash, account_of, flash
from fleet.work_accounts import ACCOUNT_MAX
from fleet.work_acts import Act, WorkRefused
from programmes import attendance

routes = web.RouteTableDef()


async def _act(request: web.Request) -> Act:
    """Return who does it to whom. Raises HTTPNotFound for a member out of reach."""
    member_id = await member_in_reach(request)
    require(request, attendance.NAME)
    return Act(member_id, account_of(request).name, request.app[CLOCK].now_ms())


@routes.post(r"/members/{member:\d+}/account")
async def bind(request: web.Request) -> web.Response:
    """Let an account be the member's own; one that is not there is made."""
    act = await _act(request)
    form = await read_form(request, {"account": ACCOUNT_MAX})
    form.require("account")
    if form.errors:
        return await member_page(request, form, 422, "own")
    store = request.app[PERSONS]
    try:
        await read(store, work_accounts.check, act, form["account"])
        password = await change(
            request.app[FLEET], people.add_own, form["account"], act.who, act.at_ms
        )
        await change(store, work_accounts.bind, act, form["account"])
    except (WorkRefused, PeopleRefused, AccountRefused) as error:
        return await _refused(request, form, error)
    if password:
        return await render(
            request,
            "member_account.html",
            section="/members",
            name=form["account"],
            password=password,
            member_id=act.member_id,
        )
    await flash(request, Flash("ok", "web.own-account.bound"))
    raise web.HTTPSeeOther(f"/members/{act.member_id}")


async def _refused(request: web.Request, form: Form, error: Exception) -> web.Response:
    if isinstance(error, WorkRefused):
        form.refuse("account", f"work.refused.{error.reason}", **error.arguments)
    else:
        known = isinstance(error, PeopleRefused) and error.reason == "known"
        form.refuse("account", f"web.own-account.refused.{'known' if known else 'name'}")
    return await member_page(request, form, 409, "own")


@routes.post(r"/members/{member:\d+}/account/unbind")
async def unbind(request: web.Request) -> web.Response:
    """Let the member's account be his own no more: it sees nothing from now on."""
    act = await _act(request)
    form = await read_form(request, {})
    name = await read(request.app[PERSONS], work_accounts.account_of, act.member_id)
    try:
        await change(request.app[PERSONS], work_accounts.unbind, act, name)
    except WorkRefused as error:
        return await _refused(request, form, error)
    await flash(request, Flash("ok", "web.own-account.unbound"))
    raise web.HTTPSeeOther(f"/members/{act.member_id}")


@routes.post(r"/members/{member:\d+}/account/card-pin/remove")
async def remove_pin(request: web.Request) -> web.Response:
    """Let the member's card open nothing until he sets a PIN; whether he had one is not told."""
    act = await _act(request)
    await read_form(request, {})
    what = (act.member_id, act.who, act.at_ms)
    await change(request.app[PERSONS], card_pin.remove, *what)
    await flash(request, Flash("ok", "web.own-account.card-pin-removed"))
    raise web.HTTPSeeOther(f"/members/{act.member_id}")
