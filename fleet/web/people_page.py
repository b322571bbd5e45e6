"""Who works in the office: accounts, their rights, and help for who cannot get in.

For administrators, of what they administer. A password is shown once, on the page that answers the
form, and is kept nowhere: neither in a cookie nor in an address.
"""

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

import sqlalchemy as sa
from aiohttp import web

from fleet import people, sessions
from fleet.accounts import AccountRefused
from fleet.people import PeopleRefused
from fleet.rights import ALONE, EVERY, OfficeRole, Right, RightRefused, parse, written
from fleet.web.data import FLEET, change, read
from fleet.web.forms import Form, empty_form, read_form
from fleet.web.oidc import OIDC
from fleet.web.organisations import company_names
from fleet.web.pages import CLOCK, render
from fleet.web.session import Flash, account_of, flash, idle_ms
from programmes.register import RULEBOOKS
from programmes.texts import say

PATH: Final = "/people"
_RIGHT: Final = {"programme": 40, "role": 20, "organisation": 64}
_NEW: Final = {"account": 64, **_RIGHT}
routes = web.RouteTableDef()


def path_of(name: str) -> str:
    """Return the address of one account's page."""
    return f"{PATH}/{quote(name, safe='')}"


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """Everyone who may sign in to the office, and the form for a new account."""
    return await _list(request, empty_form(request))


async def _list(request: web.Request, form: Form, status: int = 200) -> web.Response:
    found = await read(
        request.app[FLEET],
        people.listed,
        account_of(request).rights,
        _by(request)[1],
        idle_ms(request),
    )
    return await render(
        request,
        "people.html",
        status,
        section=PATH,
        people=found,
        form=form,
        path_of=path_of,
        companies=await company_names(request),
        **_choices(request, form),
    )


def _choices(request: web.Request, form: Form) -> dict[str, list[tuple[str, str]]]:
    """Return the programmes and roles that this administrator can give, with their words."""
    admin, language = account_of(request).rights, form.language
    names = [name for name in (*RULEBOOKS, EVERY) if people.reaches(admin, name)]
    programmes = [
        (name, say("web.people.every" if name == EVERY else f"web.programme.{name}", language))
        for name in names
    ]
    return {
        "programmes": programmes,
        "roles": [(role.value, say(f"web.role.{role}", language)) for role in OfficeRole],
    }


@routes.post(PATH)
async def add(request: web.Request) -> web.Response:
    """Make an account with its first right, and show the password once."""
    form = await read_form(request, _NEW)
    form.require("account", "programme", "role")
    right = _right(form)
    if right is None:
        return await _list(request, form, 422)
    try:
        password = await change(
            request.app[FLEET], people.add, form["account"], right, *_by(request)
        )
    except (PeopleRefused, RightRefused, AccountRefused) as error:
        form.refuse("account", f"web.people.refused.{_reason(error)}")
        return await _list(request, form, 409)
    return await _once(request, form["account"], password)


def _right(form: Form) -> Right | None:
    """Return the right that a form names; None when it names none, and the form says why."""
    if form.errors:
        return None
    role, organisation = form["role"], form["organisation"]
    if role in ALONE and not organisation:
        form.refuse("organisation", "web.people.refused.organisation")
        return None
    named = organisation if role in ALONE else ""
    try:
        return parse(written(Right(form["programme"], OfficeRole(role), named)))
    except (RightRefused, ValueError):
        form.refuse("organisation" if role in ALONE else "role", "web.people.refused.right")
        return None


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, PeopleRefused) else "right"


async def _once(request: web.Request, name: str, password: str) -> web.Response:
    """Show a password that is good once; the page is kept in no cache."""
    return await render(
        request, "person-password.html", section=PATH, name=name, password=password, path_of=path_of
    )


def _by(request: web.Request) -> tuple[str, int]:
    """Return who does it, and when."""
    return account_of(request).name, request.app[CLOCK].now_ms()


@routes.get(PATH + "/{name}")
async def show_one(request: web.Request) -> web.Response:
    """One account."""
    return await _person(request, empty_form(request))


async def _person(request: web.Request, form: Form, status: int = 200) -> web.Response:
    store, name = request.app[FLEET], request.match_info["name"]
    now_ms = request.app[CLOCK].now_ms()
    found = await read(
        store, people.one, account_of(request).rights, name, now_ms, idle_ms(request)
    )
    if found is None:
        raise web.HTTPNotFound
    return await render(
        request,
        "person.html",
        status,
        section=PATH,
        person=found,
        open_sessions=await read(store, sessions.open_ones, name, now_ms, idle_ms(request)),
        itself=name == account_of(request).name,
        provider=request.app[OIDC].label if OIDC in request.app else "",
        form=form,
        written=written,
        path=path_of(name),
        companies=await company_names(request),
        **_choices(request, form),
    )


async def _try(
    request: web.Request, form: Form, field: str, done: str, work: Callable[[], Awaitable[object]]
) -> web.Response:
    """Do the work and go back to the account's page; what is refused stands beside its field."""
    if form.errors:
        return await _person(request, form, 422)
    try:
        await work()
    except (PeopleRefused, RightRefused) as error:
        form.refuse(field, f"web.people.refused.{_reason(error)}")
        return await _person(request, form, 409)
    await flash(request, Flash("ok", done))
    name, who = request.match_info["name"], account_of(request)
    left = await read(
        request.app[FLEET], people.one, who.rights, name, _by(request)[1], idle_ms(request)
    )
    raise web.HTTPSeeOther(path_of(name) if left else PATH)  # his last right was taken away


@routes.post(PATH + "/{name}/give")
async def give(request: web.Request) -> web.Response:
    """Give one right."""
    form = await read_form(request, _RIGHT)
    form.require("programme", "role")
    right, name = _right(form), request.match_info["name"]
    if right is None:
        return await _person(request, form, 422)
    return await _try(
        request,
        form,
        "role",
        "web.people.given",
        lambda: change(request.app[FLEET], people.give, name, right, *_by(request)),
    )


@routes.post(PATH + "/{name}/take")
async def take(request: web.Request) -> web.Response:
    """Take one right away."""
    form, name = await read_form(request, {"right": 130}), request.match_info["name"]
    try:
        right = parse(form["right"])
    except RightRefused:
        raise web.HTTPBadRequest from None
    return await _try(
        request,
        form,
        "right",
        "web.people.taken",
        lambda: change(request.app[FLEET], people.take, name, right, *_by(request)),
    )


@routes.post(PATH + "/{name}/close")
async def close(request: web.Request) -> web.Response:
    """Close the account, with a reason."""
    return await _with_reason(request, people.close, "web.people.closed")


@routes.post(PATH + "/{name}/open")
async def reopen(request: web.Request) -> web.Response:
    """Open it again, with a reason."""
    return await _with_reason(request, people.reopen, "web.people.opened")


async def _with_reason(
    request: web.Request,
    do: Callable[[sa.Connection, str, str, str, int], None],
    done: str,
) -> web.Response:
    form, name = await read_form(request, {"why": 200}), request.match_info["name"]
    form.require("why")
    return await _try(
        request,
        form,
        "why",
        done,
        lambda: change(request.app[FLEET], do, name, form["why"], *_by(request)),
    )


@routes.post(PATH + "/{name}/password")
async def give_password(request: web.Request) -> web.Response:
    """Show a new password, once."""
    form, name = await read_form(request, {}), request.match_info["name"]
    try:
        password = await change(request.app[FLEET], people.give_password, name, *_by(request))
    except PeopleRefused as error:
        form.refuse("help", f"web.people.refused.{error.reason}")
        return await _person(request, form, 409)
    return await _once(request, name, password)


@routes.post(PATH + "/{name}/sessions")
async def end_sessions(request: web.Request) -> web.Response:
    """End all its sessions."""
    form, name = await read_form(request, {}), request.match_info["name"]
    return await _try(
        request,
        form,
        "help",
        "web.people.ended",
        lambda: change(request.app[FLEET], people.end_sessions, name, *_by(request)),
    )


@routes.post(PATH + "/{name}/second")
async def reset_second(request: web.Request) -> web.Response:
    """Take its second factors away, so that it can set up others."""
    form, name = await read_form(request, {}), request.match_info["name"]
    return await _try(
        request,
        form,
        "help",
        "web.people.reset",
        lambda: change(request.app[FLEET], people.reset_second, name, *_by(request)),
    )


@routes.post(PATH + "/{name}/subject")
async def bind(request: web.Request) -> web.Response:
    """Bind it to a subject of the provider, or to none."""
    if OIDC not in request.app:
        raise web.HTTPNotFound
    form, name = await read_form(request, {"subject": 255}), request.match_info["name"]
    issuer = request.app[OIDC].issuer
    return await _try(
        request,
        form,
        "subject",
        "web.people.bound",
        lambda: change(
            request.app[FLEET], people.bind, name, issuer, form["subject"], *_by(request)
        ),
    )
