"""One claim: what it comes to, its file and its paper, line by line beside the ledger, and decided.

Rules: a company sees its own; the city's people see the ledger beside it, at first only what does
not match; who approves or returns has shown a second factor; the list as a file is what is shown.
"""

import datetime
from collections.abc import Callable, Iterator
from typing import Any, Final

import sqlalchemy as sa
from aiohttp import web

from fleet import claim_check, claim_file, claim_lines, claims
from fleet.claim_check import Checked
from fleet.claim_lines import Line, Sum, Week
from fleet.claim_seal import proof_of
from fleet.claims import Claim, ClaimRefused
from fleet.rights import OfficeRole
from fleet.tables import Cell, Format, TableRefused
from fleet.web import second_factor
from fleet.web.claims_page import MARKS, PATH, Whose, preview_of, whose_of
from fleet.web.data import FLEET, change, read
from fleet.web.exports import download, format_of
from fleet.web.forms import Form, read_form
from fleet.web.pages import CLOCK, render
from fleet.web.reach import number, require
from fleet.web.report_words import Words, words_of
from fleet.web.security_page import qr
from fleet.web.session import Flash, account_of, flash
from fleet.web.sheets import sheet
from fleet.web.vehicles_reach import READERS
from fleet.web.words import language_of
from programmes.calendar import local, local_day
from programmes.texts import Language, say

LINES_SHOWN: Final = 100
"""Of a page."""
SKIP_MAX: Final = claims.LINES_MAX
PAYERS: Final = (OfficeRole.CLERK, OfficeRole.APPROVER)
"""Who writes down that a claim was paid."""
_EXPORTED: Final = (
    *("ride", "kind", "boarded", "vehicle", "riders", "fare", "file", "ledger"),
    *("settled", "found"),
)
"""Columns of the lines; the last two are for the city."""
routes = web.RouteTableDef()


async def _claim(request: web.Request, *roles: OfficeRole) -> tuple[Claim, Whose]:
    """Return the claim in the address. Raises HTTPNotFound when it is out of reach."""
    found = await read(request.app[FLEET], claims.load, number(request, "claim"))
    if found is None:
        raise web.HTTPNotFound
    require(request, found.programme, *(roles or READERS))
    whose = whose_of(request, found.programme)
    if not whose.reaches(found.organisation):
        raise web.HTTPNotFound
    return found, whose


# --- the page ------------------------------------------------------------------------------------


def _lines(connection: sa.Connection, one: Claim, *, checked: bool) -> list[Checked]:
    """Return all lines; beside the ledger for the city, as they are for the company."""
    if checked:
        return claim_check.check(connection, one)
    lines = claim_lines.of_claim(connection, one.id)
    return [Checked(line, line.subsidy_yen, None, ()) for line in lines]


def _shows_all(request: web.Request, whose: Whose) -> bool:
    return not whose.is_city or request.query.get("show") == "all"


def _skip(request: web.Request) -> int:
    wish = request.query.get("skip", "")
    digits = wish.isascii() and wish.isdecimal() and len(wish) < 8
    return min(int(wish), SKIP_MAX) if digits else 0


async def _page(
    request: web.Request, one: Claim, whose: Whose, form: Form, status: int = 200
) -> web.Response:
    store, rights = request.app[FLEET], account_of(request).rights
    lines = await read(store, _lines, one, checked=whose.is_city)
    troubled = [checked for checked in lines if checked.asks]
    every = _shows_all(request, whose)
    listed, skip = (lines if every else troubled), _skip(request)
    gaps = await read(store, claims.open_gaps, one.organisation, one.until)
    rows = [checked.line for checked in lines]
    form.values.setdefault("paid_on", local_day(request.app[CLOCK].now_ms()).isoformat())
    return await render(
        request,
        "claim.html",
        status,
        section=PATH,
        form=form,
        one=one,
        whose=whose,
        proof=proof_of(one),
        preview=preview_of(one.asked, rows, gaps),
        by_week=claim_lines.sums(rows, claim_lines.week_of(one.month)),
        lines=listed[skip : skip + LINES_SHOWN],
        listed=len(listed),
        troubled=len(troubled),
        every=every,
        skip=skip,
        step=LINES_SHOWN,
        marks=MARKS,
        words=await words_of(request),
        may_decide=rights.may(one.programme, OfficeRole.APPROVER),
        may_pay=rights.may(one.programme, *PAYERS),
        me=account_of(request).name,
    )


@routes.get(rf"{PATH}/{{claim:\d+}}")
async def show(request: web.Request) -> web.Response:
    """What it comes to, and its lines."""
    one, whose = await _claim(request)
    return await _page(request, one, whose, Form(language_of(request), {}))


@routes.get(rf"{PATH}/{{claim:\d+}}/lines")
async def export(request: web.Request) -> web.StreamResponse:
    """The lines that the page shows, all pages of them."""
    one, whose = await _claim(request)
    language = language_of(request)
    lines = await read(request.app[FLEET], _lines, one, checked=whose.is_city)
    shown = [each for each in lines if each.asks or _shows_all(request, whose)]
    names = _EXPORTED if whose.is_city else _EXPORTED[:-2]
    heads = [say(f"web.claims.line.{name}", language) for name in names]
    rows = (row[: len(names)] for row in _cells(shown, language))
    return await download(request, f"claim-{one.id}-lines", heads, rows)


def _cells(shown: list[Checked], language: Language) -> Iterator[tuple[Cell, ...]]:
    for checked in shown:
        line = checked.line
        said = (say(f"web.claims.trouble.{one}", language) for one in checked.troubles)
        yield (
            line.id,
            say(f"claim.kind.{line.kind}", language),
            f"{local(line.boarded_at_ms):%Y-%m-%d %H:%M}",
            line.place,
            line.riders,
            line.fare_yen,
            checked.file_yen,
            line.subsidy_yen,
            checked.settled_yen,
            " / ".join(said) or say("web.claims.matches", language),
        )


# --- file and paper ------------------------------------------------------------------------------


@routes.get(rf"{PATH}/{{claim:\d+}}/file")
async def file(request: web.Request) -> web.Response:
    """The signed file, in UTF-8 or Shift_JIS."""
    one, _ = await _claim(request)
    proof = proof_of(one)
    if proof is None:
        await flash(request, Flash("warn", "web.claims.not-signed-yet"))
        raise web.HTTPSeeOther(f"{PATH}/{one.id}")
    utf8 = await read(request.app[FLEET], claims.file_of, one.id)
    format_ = Format.CP932 if format_of(request) is Format.CP932 else Format.UTF8
    try:
        body = claim_file.signed(utf8, proof, format_)
    except TableRefused as error:
        signs = {name: str(value) for name, value in error.arguments.items()}
        await flash(request, Flash("bad", f"web.import.wrong.{error.code}", signs))
        raise web.HTTPSeeOther(f"{PATH}/{one.id}") from error
    name = f"claim-{one.organisation}-{one.month}-{one.id}.csv"
    charset = "utf-8" if format_ is Format.UTF8 else "Shift_JIS"
    return web.Response(
        body=body,
        content_type="text/csv",
        charset=charset,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@routes.get(rf"{PATH}/{{claim:\d+}}/paper")
async def paper(request: web.Request) -> web.Response:
    """請求書, to be printed and filed."""
    one, _ = await _claim(request)
    rows = await read(request.app[FLEET], claim_lines.of_claim, one.id)
    name = f"claim-{one.organisation}-{one.month}-{one.id}.pdf"
    said = on_paper(one, rows, await words_of(request))
    return await sheet(request, "claim_paper.html", name, **said)


def on_paper(one: Claim, rows: list[Line], words: Words) -> dict[str, Any]:
    """Return all that stands on the paper."""
    media = sorted({line.medium for line in rows})
    return {
        "one": one,
        "proof": proof_of(one),
        "picture": qr(f"kazasu-claim-1 {one.id} {one.lines} {one.subsidy_yen} {one.sha256.hex()}"),
        "total": claim_lines.total(rows),
        "media": media,
        "weeks": _weeks(rows, one.month, media),
        "by_medium": claim_lines.sums(rows, lambda line: line.medium),
        "words": words,
        "made_on": local_day(one.made_at_ms),
        "number": words.number,
    }


def _weeks(
    rows: list[Line], month: str, media: list[str]
) -> list[tuple[Week, dict[str, Sum], Sum]]:
    """Return each week with its sums by medium and in all."""
    week_of = claim_lines.week_of(month)
    cells = claim_lines.sums(rows, lambda line: (week_of(line), line.medium))
    whole = claim_lines.sums(rows, week_of)
    return [
        (week, {one: cells.get((week, one), Sum()) for one in media}, summed)
        for week, summed in whole.items()
    ]


# --- deciding ------------------------------------------------------------------------------------


@routes.post(rf"{PATH}/{{claim:\d+}}/approve")
async def approve(request: web.Request) -> web.Response:
    """Let it be paid."""
    one, whose = await _claim(request, OfficeRole.APPROVER)
    await second_factor.require(request)
    form = await read_form(request, {"why": claims.WHY_MAX})
    return await _do(request, one, whose, form, claims.approve, form["why"])


@routes.post(rf"{PATH}/{{claim:\d+}}/return")
async def give_back(request: web.Request) -> web.Response:
    """Return it with a reason."""
    one, whose = await _claim(request, OfficeRole.APPROVER)
    await second_factor.require(request)
    form = await read_form(request, {"why": claims.WHY_MAX})
    form.require("why")
    return await _do(request, one, whose, form, claims.give_back, form["why"])


@routes.post(rf"{PATH}/{{claim:\d+}}/paid")
async def pay(request: web.Request) -> web.Response:
    """Write down the day on which it was paid."""
    one, whose = await _claim(request, *PAYERS)
    form = await read_form(request, {"paid_on": 10})
    form.require("paid_on")
    paid_on = form.day("paid_on")
    return await _do(request, one, whose, form, claims.pay, paid_on or datetime.date.min)


async def _do(
    request: web.Request,
    one: Claim,
    whose: Whose,
    form: Form,
    step: Callable[..., None],
    *said: Any,
) -> web.Response:
    if form.errors:
        return await _page(request, one, whose, form, 422)
    who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
    try:
        await change(request.app[FLEET], step, one.id, *said, who, now_ms)
    except ClaimRefused as error:
        field = "paid_on" if error.reason == "paid-on" else "step"
        form.refuse(field, f"web.claims.refused.{error.reason}", **error.arguments)
        now, whose = await _claim(request)
        return await _page(request, now, whose, form, 409)
    await flash(request, Flash("ok", f"web.claims.done.{step.__name__}"))
    raise web.HTTPSeeOther(f"{PATH}/{one.id}")
