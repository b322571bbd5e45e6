"""「あと何回乗れますか」: what one member has used, and what the rule in force still leaves.

Rules: counted over all cards that the member ever had, as the ledger counts it; nothing is said to
remain where no table limits anything; a reader off line may have more, which is not counted yet.
"""

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

import sqlalchemy as sa

from fleet import rules, usage
from programmes.register import RULEBOOKS
from programmes.rulebook import RuleTableRefused
from wire.entries import Used

Span = Literal["year", "month", "day"]


class Left(NamedTuple):
    """One period of a member."""

    period: str
    used: Used
    limit: Used
    """Zero where nothing is limited."""

    @property
    def span(self) -> Span:
        """How long the period is: 2026, 2026-06 or 2026-06-03."""
        return {4: "year", 7: "month"}.get(len(self.period), "day")  # type: ignore[return-value]

    @property
    def times(self) -> int | None:
        """How often the member may still use it; None: as often as anyone likes."""
        return max(0, self.limit.times - self.used.times) if self.limit.times else None

    @property
    def yen(self) -> int | None:
        """How much the member may still use; None: as much as anyone likes."""
        return max(0, self.limit.yen - self.used.yen) if self.limit.yen else None


def of_member(
    fleet: sa.Connection, programme: str, credentials: Collection[str], at_ms: int
) -> list[Left]:
    """Return each period of an instant, the shortest first; empty where nothing is counted."""
    used = usage.of_member(fleet, programme, credentials, at_ms)
    limits = _limits(fleet, programme, at_ms)
    found = [Left(period, one, limits.get(period, usage.NOTHING)) for period, one in used.items()]
    return sorted(found, key=lambda one: len(one.period), reverse=True)


def _limits(fleet: sa.Connection, programme: str, at_ms: int) -> Mapping[str, Used]:
    book = RULEBOOKS.get(programme)
    if book is None or book.allowance is None:
        return {}
    try:
        return book.allowance(at_ms, rules.load(fleet, programme))
    except RuleTableRefused:
        return {}
