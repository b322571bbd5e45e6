"""By which schemes a programme's cards may be known, from when until when.

Rules: a scheme that nobody has stated is not in use; statements are added up, so that one for next
year takes nothing away from this year's; an end cuts all that was stated before it; while members
move to another scheme, cards of the one they leave are good until the deadline and no longer, and
so are the former credentials of those who have moved. What is kept is written by `fleet.schemes`
and `fleet.campaigns`.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import sqlalchemy as sa

from fleet.schema import campaign, scheme_statement
from wire.credential import Scheme
from wire.roster import Moving

OPEN_START: Final = datetime.date.min
OPEN_END: Final = datetime.date.max

Period = tuple[datetime.date, datetime.date]
"""First and last day, both included."""


class SchemeRefused(ValueError):
    """Cards cannot be used by this scheme, or moved to it; the sentence says why and what to do.

    `reason` is a stable word: of enrolling not-stated, not-yet, ended or moving; of a campaign
    also same, deadline, running, not-running or nobody; of a text why or statement.
    """

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason: Final = reason


class Campaign(NamedTuple):
    """Members of a programme move from one scheme to another."""

    programme: str
    is_running: bool
    """False when it was stopped; it stays running behind its deadline."""
    from_scheme: Scheme
    to_scheme: Scheme
    until: datetime.date
    """The last day on which cards of `from_scheme` are good."""


class Terms(NamedTuple):
    """What holds for one programme on one day; equal as long as its rosters need no change."""

    ends: tuple[tuple[Scheme, datetime.date], ...] = ()
    """The schemes whose cards are good, each with its last day (OPEN_END: no end)."""
    enrolling: tuple[Scheme, ...] = ()
    """Those by which new cards may be taken in."""
    left: tuple[Scheme, datetime.date] | None = None
    """The scheme whose former credentials are still good, and until when."""
    moving: Moving | None = None


@dataclass(frozen=True, slots=True)
class Stated:
    """All that was stated of one programme's schemes."""

    periods: Mapping[Scheme, tuple[Period, ...]]
    campaign: Campaign | None = None

    def is_in_force(self, scheme: Scheme, day: datetime.date) -> bool:
        """Say whether a statement holds for a scheme on a day."""
        return any(first <= day <= last for first, last in self.periods.get(scheme, ()))

    def end(self, scheme: Scheme, *, left: bool = False) -> datetime.date | None:
        """Return the last day of a scheme's cards; None when nobody ever stated it.

        `left`: of those that are known by another scheme by now.
        """
        stated = self.periods.get(scheme)
        if not stated:
            return None
        last = max(last for _, last in stated)
        moving = self.campaign
        if moving and moving.from_scheme is scheme and (left or moving.is_running):
            return min(last, moving.until)
        return last

    def on(self, day: datetime.date) -> Terms:
        """Return what holds on a day."""
        ends = {one: self.end(one) for one in Scheme if self.is_in_force(one, day)}
        good = {one: end for one, end in ends.items() if end is not None and day <= end}
        moving = self.campaign
        if moving is None:
            return Terms(tuple(good.items()), tuple(good))
        leaving = moving.from_scheme if moving.is_running else None
        left = self.end(moving.from_scheme, left=True)
        is_left = self.is_in_force(moving.from_scheme, day) and left is not None and day <= left
        return Terms(
            tuple(good.items()),
            tuple(one for one in good if one is not leaving),
            (moving.from_scheme, left) if is_left and left else None,
            Moving(moving.from_scheme, moving.to_scheme)
            if leaving in good and moving.to_scheme in good
            else None,
        )


NOTHING: Final = Stated({})
"""Of a programme of which nobody has stated anything."""


def load(connection: sa.Connection) -> dict[str, Stated]:
    """Return what was stated, by programme."""
    periods: dict[str, dict[Scheme, tuple[Period, ...]]] = {}
    for programme, name, kind, valid_from, valid_to in connection.execute(_STATED):
        scheme = Scheme(name)
        of_programme = periods.setdefault(programme, {})
        former = of_programme.get(scheme, ())
        last = valid_to or OPEN_END
        if kind == "ended":
            of_programme[scheme] = tuple(
                (first, min(end, last)) for first, end in former if first <= last
            )
        else:
            of_programme[scheme] = (*former, (valid_from or OPEN_START, last))
    campaigns = latest(connection)
    return {
        name: Stated(periods.get(name, {}), campaigns.get(name))
        for name in periods.keys() | campaigns.keys()
    }


_STATED: Final = sa.select(
    scheme_statement.c.programme,
    scheme_statement.c.scheme,
    scheme_statement.c.kind,
    scheme_statement.c.valid_from,
    scheme_statement.c.valid_to,
).order_by(scheme_statement.c.id)
_CAMPAIGNS: Final = sa.select(
    campaign.c.programme,
    campaign.c.kind,
    campaign.c.from_scheme,
    campaign.c.to_scheme,
    campaign.c.until,
).order_by(campaign.c.id)


def latest(connection: sa.Connection) -> dict[str, Campaign]:
    """Return the newest campaign of each programme, be it running, stopped or over."""
    return {
        programme: Campaign(programme, kind == "started", Scheme(leaves), Scheme(joins), until)
        for programme, kind, leaves, joins, until in connection.execute(_CAMPAIGNS)
    }


def of(connection: sa.Connection, programme: str) -> Stated:
    """Return what was stated of one programme's schemes."""
    return load(connection).get(programme, NOTHING)


def require_enrolling(stated: Stated, programme: str, scheme: Scheme, day: datetime.date) -> None:
    """Raise SchemeRefused unless new cards may be taken in by a scheme on a day."""
    if scheme in stated.on(day).enrolling:
        return
    periods = stated.periods.get(scheme, ())
    moving = stated.campaign
    if moving and moving.is_running and moving.from_scheme is scheme:
        raise SchemeRefused(
            "moving",
            f"{programme} moves from {scheme} to {moving.to_scheme} until {moving.until}: "
            f"enrol by {moving.to_scheme}",
        )
    state = f"`kazasu-fleet schemes state {programme} {scheme}`"
    if not periods:
        raise SchemeRefused(
            "not-stated",
            f"{scheme} is not switched on for {programme}: state its ground first, {state}",
        )
    if coming := [first for first, _ in periods if first > day]:
        raise SchemeRefused("not-yet", f"{scheme} begins for {programme} on {min(coming)}")
    raise SchemeRefused(
        "ended",
        f"the statement for {scheme} in {programme} ended on {stated.end(scheme)}: "
        f"state it anew, {state}",
    )
