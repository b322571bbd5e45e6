"""Who may be enrolled: golden examples, and days as people write them."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from programmes.calendar import age_on, age_reached, era_date, fiscal_year_end, read_day
from programmes.enrolment import Applicant, EnrolmentExample
from programmes.register import RULEBOOKS
from programmes.rulebook import check_table

D = datetime.date
EXAMPLES = [
    pytest.param(book.name, one, id=one.story)
    for book in RULEBOOKS.values()
    if book.enrolment
    for one in book.enrolment.examples
]


@pytest.mark.parametrize(("programme", "example"), EXAMPLES)
def test_every_golden_example_of_an_enrolment_is_judged_so(
    programme: str, example: EnrolmentExample
) -> None:
    book, table = RULEBOOKS[programme], example.table
    check_table(book, table.version, table.valid_from.isoformat(), dict(table.parameters))
    assert book.enrolment
    found = book.enrolment.conditions(table, example.applicant, example.day)
    assert all(one.is_met for one in found) is example.is_allowed, found


def test_who_is_too_young_is_told_the_first_day() -> None:
    book = RULEBOOKS["senior-pass"].enrolment
    assert book
    table = book.examples[0].table
    first = book.conditions(table, Applicant(D(1960, 5, 1), True), D(2026, 6, 3))[0]
    assert (first.said, first.arguments["first"]) == ("enrol.age-not-met.day", D(2030, 4, 30))
    assert book.ends(table, D(2027, 3, 31)) == D(2027, 3, 31)
    assert book.ends(table, D(2027, 4, 1)) == D(2028, 3, 31)


@given(st.dates(D(1900, 1, 1), D(2026, 12, 31)), st.integers(1, 120), st.integers(-800, 800))
def test_the_day_an_age_is_reached_is_the_first_of_that_age(
    born: datetime.date, age: int, off: int
) -> None:
    first = age_reached(born, age)
    day = first + datetime.timedelta(off)
    assert (age_on(born, day) >= age) is (day >= first)


@pytest.mark.parametrize(
    "text",
    [
        "1940-04-01",
        "1940/4/1",
        "1940.4.1",
        "1940年4月1日",
        "19400401",
        "S15.4.1",
        "s15-4-1",
        "Ｓ１５．４．１",
        "S150401",
        "昭和15年4月1日",
        "昭15.4.1",
        "昭和 １５年 ４月 １日",
    ],
)
def test_a_day_is_read_as_people_write_it(text: str) -> None:
    assert read_day(text) == D(1940, 4, 1)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("平成元年1月8日", D(1989, 1, 8)),
        ("昭和64年1月7日", D(1989, 1, 7)),
        ("R1.5.1", D(2019, 5, 1)),
        ("H31.4.30", D(2019, 4, 30)),
        ("大正15年12月25日", D(1926, 12, 25)),
        ("昭和元年12月25日", D(1926, 12, 25)),
        ("明治45年7月30日", D(1912, 7, 30)),
        ("S35.2.29", D(1960, 2, 29)),
    ],
)
def test_eras_are_counted_as_the_law_counts_them(text: str, day: datetime.date) -> None:
    assert read_day(text) == day


@pytest.mark.parametrize(
    "text",
    [
        "",
        "昭和64年1月8日",
        "H31.5.1",
        "S36.2.29",
        "1940-13-01",
        "15.4.1",
        "X15.4.1",
        "令和0年5月1日",
    ],
)
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_day(text)


@given(st.dates(D(1873, 1, 1), D(2099, 12, 31)))
def test_a_day_that_was_written_is_read_again(day: datetime.date) -> None:
    assert read_day(era_date(day)) == read_day(day.isoformat()) == day
    assert day <= fiscal_year_end(day) < day + datetime.timedelta(366)
