"""How marks fall into days of work: the hour at which a day begins, and trips that join days.

Rules: a day begins at the hour of the place where the mark was made (04:00 unless told otherwise:
an out at 00:30 is of the day before) · a trip over night joins its days, and what was spent on it
is no presence. Places at which one person works in the same night have the same hour.
"""

import datetime
from collections.abc import Iterator, Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from programmes.calendar import local_day, start_of_day_ms
from programmes.rulebook import REPEAT_WINDOW_S_MAX
from programmes.spans import Span, without

Days = tuple[datetime.date, datetime.date]
"""First and last."""
_ONE_DAY: Final = datetime.timedelta(days=1)


class Trip(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A trip over night (宿泊を伴う行事): from the departure to the return."""

    from_ms: int
    to_ms: int


class DayRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How marks of one person fall into days."""

    starts_at_hour: Annotated[int, Meta(ge=0, le=12)] = 4
    """An hour at which nobody works, as in the programme's rule table."""
    by_place: Mapping[str, Annotated[int, Meta(ge=0, le=12)]] = {}
    """Places whose day begins at another hour, such as a night school."""
    repeat_window_s: Annotated[int, Meta(ge=5, le=REPEAT_WINDOW_S_MAX)] = 120
    trips: tuple[Trip, ...] = ()

    def day_of(self, at_ms: int, place: str = "") -> datetime.date:
        """Return the day of work that an instant belongs to."""
        return local_day(at_ms, self.hour_at(place))

    def hour_at(self, place: str) -> int:
        """Return the hour at which the days of a place begin."""
        return self.by_place.get(place, self.starts_at_hour)

    def joined_days(self) -> list[Days]:
        """Return first and last day of what trips join, in order."""
        found: list[Days] = []
        for trip in sorted(self.trips, key=lambda one: (one.from_ms, one.to_ms)):
            first, last = self.day_of(trip.from_ms), self.day_of(trip.to_ms)
            if found and first <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], last))
            else:
                found.append((first, last))
        return found

    def joined_at(self, day: datetime.date) -> Days:
        """Return first and last of the days that are one with a day: itself, but for trips."""
        return next((days for days in self.joined_days() if days[0] <= day <= days[1]), (day, day))

    def departures(self, days: Days) -> tuple[int, ...]:
        """Return when trips of these days begin, in order."""
        begun = (trip.from_ms for trip in self.trips)
        return tuple(sorted(ms for ms in begun if days[0] <= self.day_of(ms) <= days[1]))

    def parts(self, span: Span, place: str) -> Iterator[tuple[datetime.date, Span]]:
        """Cut a presence that began at a place at the trips in it and where days begin."""
        hour = self.hour_at(place)
        for first, end in without([span], [(trip.from_ms, trip.to_ms) for trip in self.trips]):
            while first < end:
                day = local_day(first, hour)
                stop = min(end, start_of_day_ms(day + _ONE_DAY, hour))
                yield day, (first, stop)
                first = stop
