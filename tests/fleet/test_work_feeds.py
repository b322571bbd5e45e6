"""Secret addresses of calendars, on both databases."""

import threading
from collections.abc import Iterator

import pytest

from fleet import schema, work_calendar, work_entries, work_feeds, work_objections
from fleet.accounts import Account
from fleet.config import Databases
from fleet.rights import Rights, parse
from fleet.work_acts import WorkRefused
from fleet.work_entries import NewEntry
from tests.fleet.work_kit import NORTH, NOW_MS, RULES, SOUTH, Schools, at, open_schools

VICE = Account("vice", "clerk", Rights([parse(f"attendance:school:{NORTH}")]))


@pytest.fixture
def town(databases: Databases) -> Iterator[Schools]:
    with open_schools(databases) as made:
        yield made


def make(town: Schools, who: Account = VICE, organisation: str = NORTH) -> str:
    with town.office.write() as people:
        return work_feeds.make(people, who, organisation, "ja", NOW_MS)


def test_a_new_address_ends_the_old_one_and_none_is_kept_in_clear(town: Schools) -> None:
    first, second = make(town), make(town)
    with town.office.read() as people:
        assert work_feeds.by_token(people, first) is None
        found = work_feeds.by_token(people, second)
    assert found is not None
    assert (found.account, found.organisation, found.member_id) == ("vice", NORTH, None)
    (row,) = town.ask(schema.work_feed.select())
    assert row.token_sha256 == work_feeds.digest(second)
    assert town.audited("work.feed-made") == [("attendance", NORTH)] * 2
    assert town.audited("work.feed-ended") == [("attendance", NORTH)]


def test_what_an_account_may_not_see_gets_no_address(town: Schools) -> None:
    for organisation in (SOUTH, ""):
        with pytest.raises(WorkRefused):
            make(town, VICE, organisation)
    assert town.ask(schema.work_feed.select()) == []


def test_of_two_that_are_made_at_once_one_opens(town: Schools) -> None:
    made: list[str] = []
    start = threading.Barrier(4)

    def press() -> None:
        start.wait()
        try:
            made.append(make(town))
        except WorkRefused as refused:
            assert refused.reason == "feed-meanwhile"  # noqa: PT017

    threads = [threading.Thread(target=press) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    (row,) = town.ask(schema.work_feed.select())
    assert row.token_sha256 in {work_feeds.digest(token) for token in made}


def test_an_address_is_its_owners_while_he_may(town: Schools) -> None:
    make(town)
    with town.office.read() as people:
        (one,) = work_feeds.of_account(people, "vice")
    assert work_feeds.is_allowed(one, VICE)
    assert not work_feeds.is_allowed(one, None)
    assert not work_feeds.is_allowed(one, VICE._replace(rights=Rights()))
    member_id = town.teacher("T-1")
    own = Account("mori", "clerk", member_id=member_id)
    make(town, own, "")
    with town.office.read() as people:
        (mine,) = work_feeds.of_account(people, "mori")
    assert work_feeds.is_allowed(mine, own)
    assert not work_feeds.is_allowed(mine, own._replace(member_id=member_id + 1))


def test_a_schools_calendar_counts_objections_to_entries_too(town: Schools) -> None:
    mori = town.teacher("T-1")
    trip = NewEntry("trip", at(10, "08:00"), at(12, "17:00"))
    with town.office.write() as people:
        entry = work_entries.declare(people, town.act(mori), trip, RULES)
        work_objections.contest(people, town.act(mori, "行っていない", "mori"), entry)
    make(town)
    with town.office_fleet.read() as fleet, town.office.read() as people:
        (feed,) = work_feeds.of_account(people, "vice")
        found = work_calendar.events(fleet, people, feed, NOW_MS)
    assert "答えていない異議 1件" in {one.summary for one in found or ()}
