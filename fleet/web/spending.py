"""The budget of a programme on a page: what it may cost, what it has cost, and a new amount.

Whoever shows it hands over what each month has cost; the figures and the curve are the same for
every programme (`_budget.html`).
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from fleet import budgets, reports
from fleet.budgets import BudgetRefused, Forecast
from fleet.rights import OfficeRole
from fleet.web.data import FLEET, change, read
from fleet.web.forms import Form, read_form
from fleet.web.pages import CLOCK
from fleet.web.report_file import Spending, Step
from fleet.web.report_words import Words
from fleet.web.session import Flash, account_of, flash


async def spending_of(
    request: web.Request,
    programme: str,
    year: int,
    spent: Sequence[int],
    whole: int,
    before: Sequence[int],
) -> Spending:
    """Return what is said of a budget.

    spent: yen of each month that has begun, from April; whole: how many are over; before: the
    twelve months of the year before.
    """
    history = await read(request.app[FLEET], budgets.history, programme, year)
    forecast = budgets.forecast(spent, whole, before)
    budget = history[0].yen if history else None
    return Spending(budget, history, forecast, _burn(year, spent, whole, forecast))


def _burn(year: int, spent: Sequence[int], whole: int, forecast: Forecast) -> list[Step]:
    """Return the curve: what was, and from the last whole month on what is expected."""
    return [
        Step(
            reports.name_of(month),
            sum(spent[: at + 1]) if at < len(spent) else None,
            forecast.by_month[at] if at >= whole - 1 and whole else None,
        )
        for at, month in enumerate(reports.months_of(year))
    ]


def shown(
    request: web.Request,
    programme: str,
    spending: Spending,
    years: range,
    words: Words,
    action: str,
) -> Mapping[str, Any]:
    """Return what `_budget.html` needs beside the form; `action`: where it is sent."""
    forecast = spending.forecast
    return {
        "budget_years": [(str(one), words.year(one)) for one in (*years, years.stop)][::-1],
        "budget_action": action,
        "may_set": account_of(request).rights.may(programme, OfficeRole.CLERK),
        "budget_figures": budgets.figures(spending.budget, forecast) if forecast else {},
        **spending._asdict(),
    }


async def take_budget(request: web.Request, programme: str, years: range, words: Words) -> Form:
    """Let a new amount hold for a fiscal year; the form that comes back has what is wrong."""
    form = await read_form(request, {"fiscal_year": 4, "yen": 24, "why": budgets.WHY_MAX})
    form.require("fiscal_year", "yen")
    yen = _yen(form)
    if form["fiscal_year"] not in map(str, [*years, years.stop]):  # the next one too
        form.refuse("fiscal_year", "web.report.budget.refused.year")
    if not form.errors and yen is not None:
        year = int(form["fiscal_year"])
        who, now_ms = account_of(request).name, request.app[CLOCK].now_ms()
        try:
            await change(
                request.app[FLEET], budgets.set_yen, programme, year, yen, form["why"], who, now_ms
            )
        except BudgetRefused as error:
            field = "why" if error.reason == "why" else "yen"
            form.refuse(field, f"web.report.budget.refused.{error.reason}")
    if not form.errors:
        kept = {"year": words.year(int(form["fiscal_year"]))}
        await flash(request, Flash("ok", "web.report.budget.kept", kept))
    return form


def _yen(form: Form) -> int | None:
    """Return the amount that was typed: 12,000,000 or １２０００円; None when it is none."""
    plain = unicodedata.normalize("NFKC", form["yen"]).replace(",", "").replace(" ", "")
    digits = plain.removesuffix("円").removeprefix("¥").removeprefix("\\")
    if digits.isascii() and digits.isdecimal():
        return int(digits)
    if form["yen"]:
        form.refuse("yen", "web.report.budget.refused.amount")
    return None
