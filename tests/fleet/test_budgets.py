"""A budget is kept with who and why, and a forecast says by which method it was made."""

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from fleet import budgets, schema
from fleet.budgets import BudgetRefused, forecast
from fleet.config import Databases
from fleet.grants import Role
from fleet.store import migrate, open_fleet
from tests.fleet.virtual import NOON_MS
from wire.individual_number import IndividualNumberRefused

PASS = "senior-pass"


def test_the_newest_amount_holds_and_what_was_set_before_stays(databases: Databases) -> None:
    migrate(databases)
    store = open_fleet(databases, Role.OFFICE)
    for yen, why in ((1_000_000, ""), (1_200_000, "補正予算第1号")):
        with store.write() as connection:
            budgets.set_yen(connection, PASS, 2026, yen, why, "hana", NOON_MS)
    for yen, why, reason in ((1_200_000, "x", "same"), (5, " ", "why"), (-1, "x", "amount")):
        with store.write() as connection, pytest.raises(BudgetRefused) as refused:
            budgets.set_yen(connection, PASS, 2026, yen, why, "hana", NOON_MS)
        assert refused.value.reason == reason
    with store.write() as connection, pytest.raises(IndividualNumberRefused):
        budgets.set_yen(connection, PASS, 2026, 5, "123456789018", "hana", NOON_MS)
    with store.read() as connection:
        found = budgets.history(connection, PASS, 2026)
        noted = connection.execute(sa.select(schema.audit.c.what, schema.audit.c.detail)).all()
    assert [(one.yen, one.why) for one in found] == [(1_200_000, "補正予算第1号"), (1_000_000, "")]
    assert [tuple(row) for row in noted] == [
        ("budget.set", "2026 1000000"),
        ("budget.set", "2026 1200000"),
    ]
    with pytest.raises(sa.exc.DatabaseError), store.write() as connection:
        connection.execute(schema.budget.update().values(yen=1))
    store.close()


def test_a_year_that_is_over_is_what_it_was() -> None:
    found = forecast([10] * 12, 12, [5] * 12)
    assert (found.method, found.total, found.by_month[-1]) == ("finished", 120, 120)


def test_last_years_months_say_how_much_of_a_year_is_still_to_come() -> None:
    last = [100, 100, 100, 100, 100, 100, 100, 100, 50, 50, 50, 50]
    found = forecast([120, 120, 30], 2, last)
    assert (found.method, found.spent, found.total) == ("last-year", 270, 1_200)
    assert found.by_month[:3] == (120, 240, 360)


def test_without_a_whole_year_before_the_last_three_months_count() -> None:
    found = forecast([1_000, 10, 20, 30, 5], 4, [0] * 12)
    assert (found.method, found.total) == ("mean", 1_060 + 8 * 20)
    assert found.by_month[3:5] == (1_060, 1_080)


def test_a_running_month_is_not_forecast_below_what_it_has_cost() -> None:
    assert forecast([10, 500], 1, []).by_month[1] == 510


def test_without_a_whole_month_there_is_no_forecast() -> None:
    found = forecast([70], 0, [1] * 12)
    assert (found.method, found.total, found.by_month[:2]) == ("none", None, (70, None))
    assert found.passes(69)
    assert not found.passes(70)


@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=12),
    st.lists(st.integers(0, 10**9), min_size=12, max_size=12),
)
def test_a_forecast_never_falls_and_is_never_below_what_was_spent(
    spent: list[int], last: list[int]
) -> None:
    found = forecast(spent, max(0, len(spent) - 1), last)
    known = [yen for yen in found.by_month if yen is not None]
    assert known == sorted(known)
    if found.total is not None:
        assert found.total >= found.spent
