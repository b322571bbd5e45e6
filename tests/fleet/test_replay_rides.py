"""A month of rides under another table, and a member's year of them on paper."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fleet import replay_rides, statement
from fleet.replay import Replayed, Sums
from fleet.schema import ride
from fleet.store import Store
from programmes import taxi
from tests.fleet.ridden_kit import Ridden, add_rides, add_taxis
from tests.web.town import empty_town
from wire.roster import RuleTable

JUNE = datetime.date(2026, 6, 1)


def table(version: str = "taxi/2026-04", **parameters: Any) -> RuleTable:
    return RuleTable(version, datetime.date(2026, 4, 1), parameters)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Store]:
    opened = empty_town(tmp_path).fleet()
    with opened.write() as connection:
        add_taxis(connection)
    yield opened
    opened.close()


def under(
    fleet: Store, new: RuleTable, *some: Ridden, members: dict[str, int] | None = None
) -> Replayed:
    with fleet.write() as connection:
        add_rides(connection, some)
    with fleet.read() as connection:
        return replay_rides.replay(
            connection, taxi.RULEBOOK, JUNE, new, [table()], members or {}, lambda share: None
        )


def day(number: int, month: int = 6) -> datetime.date:
    return datetime.date(2026, month, number)


def test_under_the_table_that_stood_nothing_is_another(fleet: Store) -> None:
    found = under(
        fleet,
        table("again"),
        Ridden(day(1)),
        Ridden(day(2), ("c1", "c2"), fare=2_000, subsidy=1_000),
    )
    assert found.was == found.would_be == Sums(3, 0, 750 + 1_000, 750 + 1_000)
    assert (found.members, found.affected, found.unlike) == (2, 0, 0)


def test_a_smaller_share_is_reckoned_and_who_it_touches(fleet: Store) -> None:
    found = under(
        fleet,
        table("new", solo_percent=40),
        Ridden(day(1)),
        Ridden(day(2), ("c2", "c3"), fare=2_000, subsidy=1_000),
    )
    assert found.would_be == Sums(3, 0, 900 + 1_000, 600 + 1_000)
    assert (found.members, found.affected, found.unlike) == (3, 1, 0)


def test_a_limit_counts_from_the_years_beginning_over_all_cards_of_a_member(fleet: Store) -> None:
    first = Ridden(day(5, month=4))
    second = Ridden(day(6, month=5), ("c2",))
    third = Ridden(day(7))
    members = {"c1".rjust(32, "0"): 7, "c2".rjust(32, "0"): 7}
    found = under(fleet, table("two", rides_per_year=2), first, second, third, members=members)
    assert found.was == Sums(1, 0, 750, 750)
    assert found.would_be == Sums(0, 1, 1_500, 0)
    assert (found.members, found.affected) == (1, 1)


def test_what_was_taken_back_and_what_was_refused_is_played_so(fleet: Store) -> None:
    area = ["36.450,138.980", "36.450,139.180", "36.310,139.180", "36.310,138.980"]
    found = under(
        fleet,
        table("here", area=area),
        Ridden(day(1), back=True),
        Ridden(day(2), on="35.000,139.000", off="35.001,139.000"),
        Ridden(day(3), ("c2",), on="36.389,139.060", off="35.001,139.000"),
    )
    assert found.was == Sums(2, 0, 1_500, 1_500)
    assert found.would_be == Sums(1, 1, 750 + 1_500, 750)


def test_a_ledger_that_differs_from_its_own_tables_is_said(fleet: Store) -> None:
    found = under(fleet, table("again"), Ridden(day(1), subsidy=700))
    assert found.unlike == 1


def test_a_members_year_counts_his_part_and_nothing_that_was_taken_back(fleet: Store) -> None:
    with fleet.write() as connection:
        add_rides(
            connection,
            [
                Ridden(day(1)),
                Ridden(day(2), ("c2", "c1"), fare=2_000, subsidy=1_000),
                Ridden(day(3), back=True),
                Ridden(day(4, month=5)),
            ],
        )
        now_ms = connection.scalar(sa.select(sa.func.max(ride.c.booked_at_ms)))
        cards = ["c1".rjust(32, "0")]
        told = statement.of_year(connection, taxi.NAME, cards, 2026, int(now_ms or 0))
    months = {month.month: (sums.times, sums.city_yen) for month, sums in told.months}
    assert months == {4: (0, 0), 5: (1, 750), 6: (2, 1_250)}
    assert (told.total.times, told.total.rider_yen, told.total.city_yen) == (3, None, 2_000)
