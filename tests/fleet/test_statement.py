"""The yearly sheet says what the ledger has of one member, on all his cards, and names no place."""

import datetime
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from weasyprint import HTML

from fleet import schema, statement
from fleet.config import Databases
from fleet.paper import to_html
from fleet.statement import Statement
from fleet.web.report_words import Words
from programmes.calendar import start_of_day_ms
from programmes.texts import Language
from tests.fleet.report_kit import PASS, Use, World, add_member, make_world

NOW_MS = start_of_day_ms(datetime.date(2026, 6, 3)) + 9 * 3_600_000


@pytest.fixture
def world(databases: Databases) -> Iterator[World]:
    made = make_world(databases)
    yield made
    made.close()


def day(number: int, month: int, year: int = 2026) -> datetime.date:
    return datetime.date(year, month, number)


def made(world: World, member: int, year: int) -> tuple[statement.Whose, Statement]:
    with world.office_people.write() as connection:
        found = statement.see(connection, member, "hana", NOW_MS)
    assert found is not None
    whose, cards = found
    with world.office.read() as connection:
        return whose, statement.of_year(connection, PASS, cards, year, NOW_MS)


def test_each_month_has_what_was_used_on_every_card_of_the_member(world: World) -> None:
    with world.people.write() as connection:
        member = add_member(connection, "P-1", ["lost", "new"], "佐藤")
        add_member(connection, "P-2", ["other"])
    world.write(
        Use(day(31, 3), card="lost"),
        Use(day(1, 4), card="lost"),
        Use(day(2, 5), card="new"),
        Use(day(3, 5), card="new", late_ms=9 * 86_400_000),
        Use(day(4, 5), card="new", code="expired"),
        Use(day(5, 5), card="other"),
        Use(day(2, 6), card="new", clock="unknown"),
    )
    whose, of = made(world, member, 2026)
    assert (whose.registration_number, whose.name) == ("P-1", "佐藤 P-1")
    assert [(month.month, one.times, one.rider_yen) for month, one in of.months] == [
        (4, 1, 50),
        (5, 2, 100),
        (6, 1, 50),
    ]
    assert (of.total.times, of.total.city_yen, of.running) == (4, 600, True)
    _, before = made(world, member, 2025)
    assert (before.total.times, len(before.months), before.running) == (1, 12, False)


def test_that_it_was_printed_stands_in_the_audit_and_nobody_erased_gets_one(world: World) -> None:
    with world.people.write() as connection:
        member = add_member(connection, "P-1", ["a"])
    made(world, member, 2026)
    with world.people.write() as connection:
        noted = connection.execute(sa.select(schema.person_audit)).all()
        connection.execute(schema.member.update().values(erased_at_ms=1))
        assert statement.see(connection, member, "hana", NOW_MS) is None
        assert statement.see(connection, 99, "hana", NOW_MS) is None
    assert [(row.who, row.what, row.subject) for row in noted] == [
        ("hana", "statement.printed", f"{PASS} P-1")
    ]


@pytest.mark.parametrize(("language", "said"), [("ja", "佐藤 様"), ("en", "佐藤")])
def test_the_sheet_is_one_page_in_both_languages_and_names_no_place(
    language: Language, said: str
) -> None:
    sums = tuple(
        (datetime.date(2026 + (month < 4), month, 1), statement.Sum(60, 3_000, 9_000))
        for month in (4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 2, 3)
    )
    context = {
        "whose": statement.Whose(1, PASS, "P-1", "佐藤"),
        "of": Statement(2026, sums, statement.Sum(720, 36_000, 108_000), True, day(1, 3, 2027)),
        "left": [],
        "words": Words(language, {}),
        "number": lambda value: f"{value:,}",
    }
    text = to_html("report_statement.html", language, **context)
    assert said in text
    assert "36,000" in text
    assert len(HTML(string=text).render().pages) == 1
