"""What a programme came to in a fiscal year or a month of it: figures, tables, and their entries.

Rules: what is shown, printed and exported are the same tables; a figure by place, hour, category
or reason behind which fewer than five people stand is not shown, nor what would tell it
(`suppression`), and fewer than five users are never counted out; a month that still runs is marked
and compared with nothing; every figure names the entries that it is the sum of.
"""

import datetime
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from fleet.months import next_month
from fleet.report_counts import ALL, Month, Sums, Year
from fleet.suppression import Cell, hidden, is_few
from programmes.register import rulebook

YEAR: Final = "year"
"""In the place of a month: the whole fiscal year."""
Values = Mapping[str, int | None]
"""Figures by column; None: not shown, since few people stand behind it; missing: there is none."""
COLUMNS: Final = ("users", "uses", "card", "without", "share", "refused", "rider_yen", "city_yen")
"""share: of uses with a card, in tenths of a percent; it is missing where nothing was used."""
_OF_TABLE: Final = {
    "place": ("users", "uses", "card", "without", "share", "rider_yen", "city_yen"),
    "hour": ("users", "uses", "card", "without"),
    "category": ("users", "card"),
    "press": ("without",),
    "code": ("users", "refused"),
}
"""What each table apart shows; of a card that nobody knows, nothing says whose it is."""


class Period(NamedTuple):
    """A fiscal year, or one month of it (`2026-06`)."""

    year: int
    month: str = ""

    @property
    def months(self) -> tuple[datetime.date, ...]:
        """First days of the months in it."""
        return months_of(self.year) if not self.month else (first_day(self.month),)

    @property
    def column(self) -> str:
        """Return under which name the tables apart have it."""
        return self.month or YEAR


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table."""

    key: str
    """A month, place, hour, category, button or code."""
    values: Values
    running: bool = False
    """The month is not over."""
    for_others: bool = False
    """Enough people stand behind it; it is not shown lest it tell of a line of few."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table, as it is shown, printed and exported."""

    name: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def hides(self) -> bool:
        """True when anything of it is not shown."""
        return any(value is None for line in self.lines for value in line.values.values())


@dataclass(frozen=True, slots=True)
class Compared:
    """A stretch beside an earlier one, both whole. kind: `month-before` or `year-before`."""

    kind: str
    now: Values
    before: Values
    months: tuple[str, ...]
    """Those that are compared, of now."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page of one programme and period shows."""

    programme: str
    period: Period
    total: Line
    months: Table
    before: tuple[Line, ...]
    """The months of the year before, for the chart."""
    apart: tuple[Table, ...]
    apart_months: tuple[str, ...]
    """Those that `apart` is of."""
    compared: tuple[Compared, ...]
    unpriced: int
    as_of_ms: int

    def tells(self, columns: Collection[str], **line: str) -> bool:
        """True when entries of a line (place="bus-1"; none named: of all) tell of nobody.

        That is: enough people stand behind it, and the page shows one of these columns of it. A
        line that the page has not, and two lines at once, which no table has, tell too much.
        """
        if len(line) > 1:
            return False
        of = [self.total]
        for by, key in line.items():
            lines = [one for table in self.apart if table.name == by for one in table.lines]
            of = [one for one in lines if one.key == key]
        return any(
            None not in one.values.values() and not one.values.keys().isdisjoint(columns)
            for one in of
        )

    @property
    def is_empty(self) -> bool:
        """True when nothing was used or refused in the period."""
        return not any(self.total.values.get(name) != 0 for name in ("uses", "refused"))


def apart_of(period: Period, today: datetime.date) -> tuple[str, ...]:
    """Return the months that figures by place and so on are of: of a year those that are over.

    So a month that has just begun, of few people still, hides nothing of those before it. While
    none is over it is the running one.
    """
    if period.month:
        return (period.month,)
    begun = [month for month in period.months if month <= today]
    over = [month for month in begun if next_month(month) <= today]
    return tuple(name_of(month) for month in over or begun)


def first_day(month: str) -> datetime.date:
    """Return the first day of `2026-06`. Raises ValueError."""
    return datetime.datetime.strptime(month, "%Y-%m").replace(tzinfo=datetime.UTC).date()


def months_of(year: int) -> tuple[datetime.date, ...]:
    """Return the first days of the twelve months of a fiscal year, from April on."""
    found = [datetime.date(year, 4, 1)]
    while len(found) < 12:
        found.append(next_month(found[-1]))
    return tuple(found)


def name_of(month: datetime.date) -> str:
    """Return a month as `2026-06`."""
    return f"{month:%Y-%m}"


def columns_of(programme: str) -> tuple[str, ...]:
    """Return the columns of a programme; where no money moves, none of yen."""
    book = rulebook(programme)
    without = {"rider_yen"} if book.fare is None else set()
    without |= {"city_yen"} if book.city_pays is None else set()
    return tuple(name for name in COLUMNS if name not in without)


def build(now: Year, before: Year, programme: str, period: Period, today: datetime.date) -> Report:
    """Return the report of a period of `now`'s fiscal year; `before` is the year before."""
    columns = columns_of(programme)
    present = [month for month in months_of(period.year) if month <= today]
    months = {name_of(month): now.month(programme, name_of(month)) for month in present}
    former = {
        name_of(month): before.month(programme, name_of(month))
        for month in months_of(period.year - 1)
    }
    chosen = [of for name, of in months.items() if period.month in ("", name)]
    running = {name_of(month) for month in present if next_month(month) > today}
    apart = apart_of(period, today)
    beside = {name: of for name, of in months.items() if (name in running) == (apart[0] in running)}
    return Report(
        programme=programme,
        period=period,
        total=Line(
            period.column,
            _values(chosen, columns),
            running=not running.isdisjoint([period.month] if period.month else months),
        ),
        months=Table(
            "months", columns, (*_lines(months, columns, running), *_ahead(period.year, today))
        ),
        before=_lines(former, columns, set()),
        apart=tuple(_apart(beside, apart, by, columns) for by in _OF_TABLE),
        apart_months=apart,
        compared=tuple(_compare(months, former, running, period, columns)),
        unpriced=sum(of.of(ALL).unpriced for of in chosen) if "city_yen" in columns else 0,
        as_of_ms=min(now.as_of_ms, before.as_of_ms),
    )


def _lines(
    months: Mapping[str, Month], columns: Sequence[str], running: set[str]
) -> tuple[Line, ...]:
    return tuple(
        Line(name, _values([of], columns), running=name in running) for name, of in months.items()
    )


def _ahead(year: int, today: datetime.date) -> Iterator[Line]:
    """Yield the months of a fiscal year that have not begun: lines without a figure."""
    yield from (Line(name_of(month), {}) for month in months_of(year) if month > today)


def _values(months: Iterable[Month], columns: Sequence[str]) -> Values:
    """Return the figures of some months together, of all places and hours."""
    some = list(months)
    everything = _merged([of.of(ALL) for of in some])
    codes = [sums for of in some for key, sums in of.sums.items() if key.by == "code"]
    values = _figures(everything) | {"refused": sum(sums.refused for sums in codes)}
    if is_few(len(everything.people)):
        values["users"] = None
    return {name: values[name] for name in columns if name in values}


def _figures(sums: Sums) -> dict[str, int | None]:
    figures: dict[str, int | None] = {
        "users": len(sums.people),
        "uses": sums.uses,
        "card": sums.taps,
        "without": sums.presses,
        "refused": sums.refused,
        "rider_yen": sums.rider_yen,
        "city_yen": sums.city_yen,
    }
    if sums.uses:
        figures["share"] = (sums.taps * 2_000 + sums.uses) // (sums.uses * 2)
    return figures


def _merged(some: Sequence[Sums]) -> Sums:
    if len(some) == 1:
        return some[0]
    return Sums(
        taps=sum(one.taps for one in some),
        presses=sum(one.presses for one in some),
        refused=sum(one.refused for one in some),
        rider_yen=sum(one.rider_yen for one in some),
        city_yen=sum(one.city_yen for one in some),
        unpriced=sum(one.unpriced for one in some),
        people=set().union(*(one.people for one in some)),
    )


def _apart(
    months: Mapping[str, Month], chosen: Sequence[str], by: str, columns: Sequence[str]
) -> Table:
    """Return the figures by place, hour and so on of the chosen months, together.

    `months`: all in which what is chosen may be looked at one by one; what few stand behind in any
    of them is not shown, nor in the sum what would tell it.
    """
    keys = sorted({key for of in months.values() for key in of.sums if key.by == by})
    cells = {
        (key.value, name): of.sums[key]
        for key in keys
        for name, of in months.items()
        if key in of.sums
    }
    for key in keys:
        every = [of.sums[key] for of in months.values() if key in of.sums]
        cells[key.value, YEAR] = _merged(every)
    few = hidden({cell: len(sums.people) for cell, sums in cells.items()})
    wanted = tuple(name for name in _OF_TABLE[by] if name in (*columns, "users"))
    column = YEAR if len(chosen) > 1 else chosen[0]
    here = [(key.value, column) for key in keys if (key.value, column) in cells]
    return Table(by, wanted, tuple(_line(cell, cells[cell], cell in few, wanted) for cell in here))


def _line(cell: Cell, sums: Sums, is_hidden: bool, wanted: Sequence[str]) -> Line:
    figures = _figures(sums)
    shown = {name: None if is_hidden else figures[name] for name in wanted if name in figures}
    return Line(cell[0], shown, for_others=is_hidden and not is_few(len(sums.people)))


def _compare(
    months: Mapping[str, Month],
    former: Mapping[str, Month],
    running: set[str],
    period: Period,
    columns: Sequence[str],
) -> Iterable[Compared]:
    """Yield what whole months can be compared with; nothing where the ledger has nothing."""
    whole = [name for name in months if name not in running and period.month in ("", name)]
    if not whole:
        return
    every = {**former, **months}
    steps = {"year-before": [name_of(a_year_before(first_day(name))) for name in whole]}
    if period.month:
        steps = {"month-before": [name_of(a_month_before(first_day(period.month)))], **steps}
    for kind, names in steps.items():
        if any(every[name].sums for name in names):
            now, before = ([every[name] for name in some] for some in (whole, names))
            values = _values(now, columns), _values(before, columns)
            yield Compared(kind, *values, tuple(whole))


def a_year_before(month: datetime.date) -> datetime.date:
    """Return the same month of the year before."""
    return month.replace(year=month.year - 1)


def a_month_before(month: datetime.date) -> datetime.date:
    """Return the month before."""
    return (month - datetime.timedelta(days=1)).replace(day=1)
