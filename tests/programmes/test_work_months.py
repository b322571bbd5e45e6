"""The golden months: what was worked out by hand is what the programme gives and the page says."""

import re
from pathlib import Path
from typing import get_args

import pytest

from programmes import work_day, work_hours, work_limits
from programmes.calendar import fiscal_year
from programmes.texts import LANGUAGES, catalogue
from programmes.work_limits import limits_in_force, year_standing
from programmes.work_months import EXAMPLES, Example, minutes
from programmes.work_months_page import page

PAGE = Path(__file__).parents[2] / "docs" / "school-months.md"
WORDS = {
    "term": work_hours.TermName,
    "kind": work_hours.Kind,
    "lack": work_hours.Lack,
    "became": work_day.Became,
    "standing": work_limits.Standing,
    "broken": work_limits.RuleName,
}

each = pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.story)


@each
def test_a_month_comes_to_what_was_worked_out_by_hand(example: Example) -> None:
    hours = example.hours
    assert (hours.worked_min, hours.outside_min) == (
        minutes(example.worked),
        minutes(example.outside),
    )
    days = {one.day.day: (one.worked_min, one.outside_min) for one in hours.days}
    for day, (worked, outside) in example.days.items():
        assert days[day] == (minutes(worked), minutes(outside)), day
    assert tuple(one.day.day for one in hours.incomplete) == example.missing
    assert all(one.day.month == example.month.month for one in hours.days)


@each
def test_a_month_stands_where_the_words_say(example: Example) -> None:
    limits = limits_in_force(example.staff, example.month)
    found = year_standing(example.figures, limits)
    assert found.standings[-1] == example.standing
    broken = tuple((one.rule, one.figure) for one in found.broken)
    assert broken == tuple((rule, minutes(text)) for rule, text in example.broken)


@each
def test_days_are_contested_while_nobody_has_answered(example: Example) -> None:
    days = work_day.derive_days(example.marks, example.corrections, example.rules).days
    assert tuple(one.day.day for one in days if one.is_contested) == example.contested


@each
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_working_names_every_figure_that_was_expected(example: Example, language: str) -> None:
    texts = {"ja": catalogue("ja"), "en": catalogue("en")}[language]
    assert texts[f"work.month.{example.story}"]
    working = texts[f"work.month.{example.story}.working"]
    special = (text for day in example.days.values() for text in day)
    figures = (example.worked, example.outside, *special, *(text for _, text in example.broken))
    named = set(re.findall(r"\d+:\d\d", working))
    assert set(figures) - named == set()


def test_march_ends_with_the_night_of_its_last_day() -> None:
    example = next(one for one in EXAMPLES if one.story == "year-end")
    days = work_day.derive_days(example.marks, example.corrections, example.rules).days
    assert [(one.day.month, fiscal_year(one.day)) for one in days[-2:]] == [(3, 2025), (4, 2026)]


def test_every_story_is_told_once() -> None:
    stories = {one.story for one in EXAMPLES}
    assert len(stories) == len(EXAMPLES) >= 20
    told = {name.split(".")[2] for name in catalogue("ja") if name.startswith("work.month.")}
    assert told - stories == {"title", "help", "column"}


@pytest.mark.parametrize("part", WORDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_of_the_core_can_be_said(part: str, language: str) -> None:
    texts = {"ja": catalogue("ja"), "en": catalogue("en")}[language]
    said = {name for name in texts if name.startswith(f"work.{part}.")}
    assert said == {f"work.{part}.{word}" for word in get_args(WORDS[part])}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_doubt_can_be_said(language: str) -> None:
    texts = {"ja": catalogue("ja"), "en": catalogue("en")}[language]
    doubts = [doubt for doubt in get_args(work_day.Doubt) if doubt]
    assert {f"work.doubt.{doubt}" for doubt in doubts} <= set(texts)


def test_the_page_is_what_the_examples_say() -> None:
    hint = "run python -m tests.programmes and look at what changed"
    assert PAGE.read_text("utf-8") == page(), hint
    for example in EXAMPLES:
        for language in LANGUAGES:
            assert catalogue(language)[f"work.month.{example.story}.working"] in page()
