"""自分の勤務: a member's own month as a calendar, its sums against their limits, and as a file.

Rules: every figure stands with the terms that add up to it; what is missing is said, and a sum of a
month in which something is missing is called so.
"""

import datetime
from typing import Final, NamedTuple

from aiohttp import web
from babel.dates import format_date

from fleet import gate_names, work_gates, work_terms
from fleet.months import next_month
from fleet.tables import Cell
from fleet.web import exports
from fleet.web.data import FLEET, PERSONS, change, read
from fleet.web.forms import read_form
from fleet.web.own_data import ONE_DAY, PATH, Month, OwnDay, month_of, own_member
from fleet.web.pages import CLOCK, render
from fleet.web.session import Flash, account_of, flash
from fleet.web.words import hours, language_of
from fleet.work_acts import Act
from programmes.calendar import local
from programmes.texts import Language, say

_MONTHS: Final = {"ja": "y年M月", "en": "MMMM y"}
_WEEKDAYS: Final = {"ja": "d日（EEEEE）", "en": "EEE d"}
_TERMS: Final = ("presence", "off-site", "home", "break", "study")
_OUTSIDE: Final = ("scheduled", "leave", "short")
routes = web.RouteTableDef()


class YearMonth(NamedTuple):
    """One month in the table of the year."""

    name: str
    word: str
    worked_min: int
    outside_min: int
    is_incomplete: bool


def month_word(first: datetime.date, language: Language) -> str:
    """Return 2026年6月."""
    return str(format_date(first, _MONTHS[language], locale=language))


@routes.get(PATH)
async def show(request: web.Request) -> web.Response:
    """One month; for paper with every figure's terms open."""
    month = await month_of(request, request.query.get("month", ""))
    language = language_of(request)
    last_year, next_year = (month.first.replace(year=month.first.year + step) for step in (-1, 1))
    who = account_of(request).name
    named = await _named(request, month)
    before, after = (month.first - ONE_DAY).replace(day=1), next_month(month.first)
    return await render(
        request,
        "own.html",
        section=PATH,
        month=month,
        word=month_word(month.first, language),
        total=month.record.month(month.first),
        changed={one.day for one in month.days if one.by_others(who)},
        entered={one.day for one in month.days if any(made.who != who for made in one.counted)},
        paper=request.query.get("paper") == "yes",
        named=named,
        steps=_steps(month, before, after, last_year, next_year),
        year_months=_year_months(month, language),
        day_word=lambda day: format_date(day, _WEEKDAYS[language], locale=language),
    )


async def _named(request: web.Request, month: Month) -> bool | None:
    """Return whether gates name the member; None where those of his school show no names."""
    member_id = own_member(request)
    enrolled = (await read(request.app[PERSONS], work_terms.of_members, [member_id]))[member_id]
    school = enrolled.organisation_on(month.today)
    gates = await read(request.app[FLEET], work_gates.of_school, school)
    shown = await read(request.app[FLEET], gate_names.places_shown)
    if not {one.place for one in gates} & shown:
        return None
    return not await read(request.app[PERSONS], gate_names.unnamed, [member_id])


@routes.post(f"{PATH}/name")
async def name(request: web.Request) -> web.Response:
    """Be named at gates that show names, or not."""
    form = await read_form(request, {"shown": 3})
    if form["shown"] not in ("yes", "no"):
        raise web.HTTPNotFound
    act = Act(own_member(request), account_of(request).name, request.app[CLOCK].now_ms())
    await change(request.app[PERSONS], gate_names.wish, act, shown=form["shown"] == "yes")
    await flash(request, Flash("ok", f"web.own.name.done.{form['shown']}"))
    raise web.HTTPSeeOther(PATH)


def _steps(month: Month, *firsts: datetime.date) -> list[str]:
    """Return where one can go from a month: before, after, a year back, a year on; or nowhere."""
    oldest, present = month.oldest.replace(day=1), month.today.replace(day=1)
    return [f"{one:%Y-%m}" if oldest <= one <= present else "" for one in firsts]


def _year_months(month: Month, language: Language) -> list[YearMonth]:
    figures = month.year.figures if month.year else ()
    return [
        YearMonth(
            one.month,
            month_word(datetime.date.fromisoformat(f"{one.month}-01"), language),
            one.worked_min,
            one.outside_min,
            one.is_incomplete,
        )
        for one in figures
    ]


@routes.get(PATH + r"/month/{month:\d{4}-\d\d}.csv")
async def download(request: web.Request) -> web.StreamResponse:
    """The own month, a line a day."""
    wish = request.match_info["month"]
    month = await month_of(request, wish)
    if f"{month.first:%Y-%m}" != wish:
        raise web.HTTPNotFound
    language = language_of(request)
    columns = ("day", "times", "missing", "entries", "hand")
    heads = [say(f"web.own.column.{name}", language) for name in columns]
    heads += [say(f"work.term.{name}", language) for name in (*_TERMS, "worked", *_OUTSIDE)]
    heads.append(say("web.work.outside", language))
    rows = [_row(one, language) for one in month.days if one.day <= month.today]
    return await exports.download(request, f"own-{wish}", heads, rows)


def _row(one: OwnDay, language: Language) -> list[Cell]:
    times = " ".join(
        f"{local(mark.standing.mark.at_ms):%H:%M} {say(f'work.became.{mark.became}', language)}"
        for mark in one.readings
    )
    missing = " ".join(
        say(f"work.lack.{lack}", language) for lack in (one.hours.missing if one.hours else ())
    )
    entries = " ".join(
        f"{say(f'web.own.kind.{entry.kind}', language)} {local(entry.from_ms):%H:%M}-"
        f"{local(entry.to_ms):%H:%M}"
        for entry in one.counted
    )
    hand = say("web.own.by-hand", language) if one.is_by_hand else ""
    sums: list[Cell] = [""] * (len(_TERMS) + len(_OUTSIDE) + 2)
    if one.hours:
        terms = {term.name: term.minutes for term in (*one.hours.worked, *one.hours.outside)}
        sums = [hours(terms[name]) for name in (*_TERMS, "worked", *_OUTSIDE)]
        sums.append(hours(one.hours.outside_min))
    return [one.day, times, missing, entries, hand, *sums]
