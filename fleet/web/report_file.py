"""The report's page as a file: every table and column that is shown, in its order and its words.

One table stands below the other, each under a line with its name and stretch and a line of
headings: so a workbook has one sheet and CSV one file, and both are read like the page. Figures
are numbers, to be added up; what is withheld on the page is withheld here by the same word.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fleet import budgets
from fleet.budgets import Budget, Forecast
from fleet.reports import Compared, Line, Report, Table
from fleet.tables import Cell
from fleet.web.report_words import Words
from programmes.texts import Language, say

Row = list[Cell]


class Step(NamedTuple):
    """One month of the curve, in yen added up from April on."""

    month: str
    spent: int | None
    expected: int | None


class Spending(NamedTuple):
    """What the page says of the budget. budget None: none is set; forecast None: nobody pays."""

    budget: int | None = None
    history: Sequence[Budget] = ()
    forecast: Forecast | None = None
    burn: Sequence[Step] = ()


class Shown(NamedTuple):
    """All that stands on the page of a programme and period."""

    report: Report
    enrolled: int
    spending: Spending


def rows_of(shown: Shown, words: Words, language: Language) -> Iterator[Row]:
    """Yield the lines of the file below its first one; an empty line parts the tables."""
    report = shown.report
    year, apart = words.year(report.period.year), words.stretch(report.apart_months)
    yield from _figures(shown, words, language)
    yield from _titled(say("web.report.chart", language), year)
    yield from _lines(report.months, words, language, report.before)
    if shown.spending.forecast:
        yield from _titled(say("web.report.budget", language), year)
        yield from _budget(shown.spending, shown.spending.forecast, words, language)
    for table in report.apart:
        yield from _titled(say(f"web.report.table.{table.name}", language), apart)
        if table.lines:
            yield from _lines(table, words, language)
        else:
            yield [say("web.report.nothing-apart", language)]


def compared(
    some: Sequence[Compared], column: str, language: Language, words: Words
) -> Iterator[str]:
    """Yield how much more or less a figure is than those that it is compared with."""
    for one in some:
        now, before = one.now.get(column), one.before.get(column)
        if column != "share" and now is not None and before is not None:
            step = "same" if now == before else "more" if now > before else "less"
            n = words.number(abs(now - before))
            yield say(f"web.report.{step}.{one.kind}", language, n=n)


def _titled(*title: str) -> Iterator[Row]:
    yield []
    yield [*title]


def _figures(shown: Shown, words: Words, language: Language) -> Iterator[Row]:
    report = shown.report
    yield from _titled(say("web.report.figures", language), words.period(report.period))
    for column in report.months.columns:
        value = _cell(report.total, column, words)
        beside = compared(report.compared, column, language, words)
        yield [say(f"web.report.column.{column}", language), value, *beside]
    yield [say("web.report.enrolled", language), shown.enrolled]


def _lines(
    table: Table, words: Words, language: Language, before: Sequence[Line] = ()
) -> Iterator[Row]:
    heads: Row = [say(f"web.report.head.{table.name}", language)]
    heads += [say(f"web.report.column.{name}", language) for name in table.columns]
    yield heads + [say("web.report.last-year-uses", language)] * bool(before)
    for place, line in enumerate(table.lines):
        running = [say("web.report.under-way", language)] * line.running
        label = " ".join([words.key(table.name, line.key), *running])
        cells = [_cell(line, name, words) for name in table.columns]
        yield [label, *cells, *(one.values["uses"] for one in before[place : place + 1])]
    if table.hides:
        yield [say("web.report.hides", language)]


def _cell(line: Line, column: str, words: Words) -> Cell:
    """Return a figure: a number as a number; a share, and one that is not shown, as its words."""
    value = line.values.get(column)
    return words.cell(line, column) if value is None or column == "share" else value


def _budget(
    spending: Spending, forecast: Forecast, words: Words, language: Language
) -> Iterator[Row]:
    for name, figure in budgets.figures(spending.budget, forecast).items():
        shown = f"{figure:.1f}%" if isinstance(figure, float) else figure
        yield [say(f"web.report.budget.{name}", language), shown]
    yield from _titled(say("web.report.budget.table", language))
    has_budget = spending.budget is not None
    names = ["spent", "forecast", *["budget"] * has_budget]
    heads = [say(f"web.report.budget.column.{name}", language) for name in names]
    yield [say("web.report.head.months", language), *heads]
    none = say("web.none", language)
    for step in spending.burn:
        figures = [step.spent, step.expected, *[spending.budget] * has_budget]
        yield [words.month(step.month), *(none if one is None else one for one in figures)]
    if spending.history:
        yield from _titled(say("web.report.budget.history", language))
        names = ["at", "yen", "who", "why"]
        yield [say(f"web.report.budget.history.{name}", language) for name in names]
        for one in spending.history:
            yield [words.instant(one.at_ms), one.yen, one.who, one.why]
