"""What a programme may cost in a fiscal year, what it has cost, and where that leads.

Rules: a budget is a row that stays, a new amount is a new row with who and why; a forecast says by
which method it was made, whole yen, and is never mixed with what was counted; a month that still
runs is no ground for one, but is never forecast below what it has cost already.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import sqlalchemy as sa

from fleet import audit
from fleet.schema import budget
from wire.individual_number import refuse_individual_number

YEN_MAX: Final = 1_000_000_000_000
"""The whole yearly budget of the largest Japanese city is a few of these; more is a slip."""
WHY_MAX: Final = 200
HISTORY_SHOWN: Final = 50
_MEAN_OF: Final = 3
"""Months whose mean stands for those to come: a quarter evens out holidays, and is not yet winter
when summer is over."""

Method = Literal["finished", "last-year", "mean", "none"]


class BudgetRefused(ValueError):
    """This amount cannot be kept; `reason` is a stable word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason: Final = reason


class Budget(NamedTuple):
    """What was set for a fiscal year, when, by whom and why."""

    yen: int
    at_ms: int
    who: str
    why: str


def history(connection: sa.Connection, programme: str, year: int) -> list[Budget]:
    """Return what was set for a fiscal year, the newest first: that one holds."""
    of = budget.c
    rows = connection.execute(
        sa.select(of.yen, of.at_ms, of.who, of.why)
        .where(of.programme == programme, of.fiscal_year == year)
        .order_by(of.id.desc())
        .limit(HISTORY_SHOWN)
    )
    return [Budget(*row) for row in rows]


def set_yen(
    connection: sa.Connection, programme: str, year: int, yen: int, why: str, who: str, at_ms: int
) -> None:
    """Let an amount hold from now on. Raises BudgetRefused, IndividualNumberRefused for `why`."""
    refuse_individual_number("why", why)
    before = history(connection, programme, year)
    if not 0 <= yen <= YEN_MAX:
        raise BudgetRefused("amount")
    if before and before[0].yen == yen:
        raise BudgetRefused("same")
    if before and not why.strip():
        raise BudgetRefused("why")
    row = {"programme": programme, "fiscal_year": year, "yen": yen, "who": who, "why": why}
    connection.execute(budget.insert(), row | {"at_ms": at_ms})
    audit.note(connection, at_ms, who, "budget.set", programme, f"{year} {yen}")


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a year comes to by its end, in yen."""

    method: Method
    spent: int
    """What was counted so far, the running month too."""
    total: int | None
    """None: there is no ground for a forecast."""
    by_month: tuple[int | None, ...]
    """Expected sum from April to the end of each of the twelve months; what is over is what was."""

    def passes(self, yen: int) -> bool:
        """True when more than this is spent, or expected."""
        return max(self.spent, self.total or 0) > yen


def figures(yen: int | None, of: Forecast) -> dict[str, int | float]:
    """Return what is told of a year, by name: whole yen, and `percent` of the budget spent.

    yen: the budget; None: none is set. `left` is there while no more than that is expected.
    """
    percent = of.spent * 100 / yen if yen else None
    left = None if yen is None or of.total is None or of.total > yen else yen - of.total
    told = {"yen": yen, "spent": of.spent, "percent": percent, "forecast": of.total, "left": left}
    return {name: figure for name, figure in told.items() if figure is not None}


def forecast(spent: Sequence[int], whole: int, last_year: Sequence[int]) -> Forecast:
    """Return what a fiscal year comes to.

    spent: yen of each month so far, from April, the running one last; whole: how many of them are
    over (0 to 12); last_year: its twelve months. Methods, in this order: the year is over; each
    month's share of last year, when last year was paid for in every month; else the mean of the
    last three whole months for each month to come; without a whole month there is none.
    """
    total, rest = sum(spent), range(whole, 12)
    if whole == 12:
        return Forecast("finished", total, total, _sums(spent))
    if not whole:
        return Forecast("none", total, None, (*_sums(spent), *(None,) * (12 - len(spent))))
    method: Method = "mean"
    if len(last_year) == 12 and all(last_year):
        method = "last-year"
        so_far, then = sum(spent[:whole]), sum(last_year[:whole])
        ahead = [_rounded(last_year[month] * so_far, then) for month in rest]
    else:
        recent = spent[max(0, whole - _MEAN_OF) : whole]
        ahead = [_rounded(sum(recent), len(recent))] * len(rest)
    if len(spent) > whole:
        ahead[0] = max(ahead[0], spent[whole])
    by_month = _sums([*spent[:whole], *ahead])
    return Forecast(method, total, by_month[-1], by_month)


def _rounded(part: int, of: int) -> int:
    """Return a quotient to the nearest whole yen, halves up."""
    return (2 * part + of) // (2 * of)


def _sums(yen: Sequence[int]) -> tuple[int, ...]:
    return tuple(sum(yen[: month + 1]) for month in range(len(yen)))
