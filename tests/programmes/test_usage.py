"""A limit of rides in a fiscal year: when it refuses, when it does not know, and what it says."""

import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from programmes import senior_pass
from programmes.calendar import fiscal_year_of
from programmes.register import RULEBOOKS
from programmes.rulebook import (
    Booked,
    Decision,
    Facts,
    NoRuleInForce,
    Place,
    RuleTableRefused,
    check_table,
    counted,
    rides_between_feeds,
)
from programmes.senior_pass import FEW_LEFT, near, periods
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.entries import Tap, Used
from wire.limits import AT_MS_MAX, PERIODS_MAX
from wire.roster import RosterRow, RuleTable

NOON_MS = 1_780_455_600_000
"""2026-06-03 12:00 in Japan."""
NEW_YEAR_MS = 1_806_505_200_000
"""2027-04-01 00:00 in Japan."""
MEMBER = RosterRow(Credential("ab" * 16), "all", None, None, None)
HOUR_S = 3600


def table(**parameters: object) -> RuleTable:
    return RuleTable(
        "t", datetime.date(2026, 4, 1), {"rider_pays_yen": 50, "rides_per_year": 730} | parameters
    )


def ride(times: int, own: int = 0, age_s: int | None = 60, **changes: object) -> Decision:
    """Ride with this policy after so many rides; `policy` are parameters of the table."""
    policy = changes.pop("policy", {})
    assert isinstance(policy, dict)
    facts = Facts(
        NOON_MS, Place("bus-1", "bus"), MEMBER, (table(**policy),), 0,
        used={"2026": Used(times, own=own)}, usage_age_s=age_s,
    )  # fmt: skip
    return senior_pass.decide(msgspec.structs.replace(facts, **changes))


def test_the_last_ride_of_the_year_is_accepted_and_the_next_one_is_not() -> None:
    assert ride(729).code is Code.OK
    assert ride(730).code is Code.USED_UP
    assert ride(2_000).code is Code.USED_UP


def test_a_second_tap_after_the_last_ride_is_that_ride_and_no_refusal() -> None:
    assert ride(730, booked=(Booked(NOON_MS - 30_000),)).outcome is Outcome.REPEAT


def test_what_was_ridden_in_another_year_does_not_count() -> None:
    assert ride(730, at_ms=NEW_YEAR_MS - 1).code is Code.USED_UP
    assert ride(730, at_ms=NEW_YEAR_MS).code is Code.OK


def test_without_a_limit_nobody_is_refused_and_nothing_is_said_of_what_remains() -> None:
    made = ride(10**6, policy={"rides_per_year": None, "without_usage": "refuse"}, age_s=None)
    assert (made.code, made.shown) == (Code.OK, "senior-pass.accepted")


@pytest.mark.parametrize(
    ("before", "shown"),
    [
        (0, "senior-pass.accepted"),
        (730 - FEW_LEFT - 2, "senior-pass.accepted"),
        (730 - FEW_LEFT - 1, "senior-pass.accepted-few"),
        (728, "senior-pass.accepted-few"),
        (729, "senior-pass.accepted-last"),
    ],
)
def test_what_remains_is_said_when_it_is_little(before: int, shown: str) -> None:
    made = ride(before)
    assert made.shown == shown
    if shown.endswith("few"):
        assert made.arguments["left"] == str(729 - before)
    free = ride(before, policy={"rider_pays_yen": 0})
    assert free.shown == shown.replace("accepted", "accepted-free")


def test_what_remains_is_not_said_when_nobody_knows_it() -> None:
    for made in (ride(725, age_s=None), ride(725, age_s=25 * HOUR_S)):
        assert (made.code, made.shown) == (Code.OK, "senior-pass.accepted")


@pytest.mark.parametrize("age_s", [None, 24 * HOUR_S + 1])
def test_a_reader_that_knows_too_little_does_as_the_city_says(age_s: int | None) -> None:
    assert ride(700, 700, age_s).code is Code.OK
    assert ride(700, 700, age_s, policy={"without_usage": "refuse"}).code is Code.STALE
    capped = {"without_usage": "accept-within-cap", "rides_without_usage": 3}
    assert ride(700, 2, age_s, policy=capped).code is Code.OK
    assert ride(700, 3, age_s, policy=capped).code is Code.STALE
    assert ride(700, 3, 24 * HOUR_S, policy=capped).code is Code.OK


def test_what_is_known_to_be_used_up_is_so_in_an_old_file_too() -> None:
    assert ride(730, age_s=10**6).code is Code.USED_UP


def test_a_reader_that_has_lost_the_time_refuses_nobody_for_the_year() -> None:
    made = ride(730, clock_known=False)
    assert (made.code, made.shown) == (Code.OK, "senior-pass.accepted")


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"rides_per_year": 0}, "rides_per_year"),
        ({"usage_stale_after_h": 145}, "usage_stale_after_h"),
        ({"without_usage": "perhaps"}, "without_usage"),
        ({"rides_without_usage": 0}, "rides_without_usage"),
    ],
)
def test_a_table_with_a_limit_that_cannot_be_is_refused(
    parameters: dict[str, object], named: str
) -> None:
    with pytest.raises(RuleTableRefused, match=named):
        check_table(senior_pass.RULEBOOK, "v", "2026-04-01", {"rider_pays_yen": 50} | parameters)


# --- who must be known to readers -----------------------------------------------------------------


def test_readers_know_of_a_member_before_what_could_be_ridden_meanwhile_is_all_that_is_left() -> (
    None
):
    assert rides_between_feeds(120) == 9
    assert near(NOON_MS, [table()]) == {"2026": Used(730 - 10 - FEW_LEFT)}
    assert near(NOON_MS, [table(repeat_window_s=5)]) == {"2026": Used(730 - 205 - FEW_LEFT)}
    assert near(NOON_MS, [table(rides_per_year=3)]) == {"2026": Used(0)}
    assert near(NOON_MS, [table(rides_per_year=None)]) == {}
    with pytest.raises(NoRuleInForce):
        near(NOON_MS - 400 * 86_400_000, [table()])


@given(st.integers(1, 800), st.integers(5, 1800), st.integers(0, 900), st.integers(0, 400))
def test_what_is_said_to_remain_is_true_also_of_those_whom_the_file_leaves_out(
    limit: int, window_s: int, before: int, own: int
) -> None:
    """Who has no row was counted from zero: then nothing is said, or it is exactly right."""
    rules = [table(rides_per_year=limit, repeat_window_s=window_s)]
    threshold = near(NOON_MS, rules)["2026"].times
    own = min(own, rides_between_feeds(window_s))
    listed = before > 0 and before >= threshold
    used = Used((before if listed else 0) + own, own=own)
    facts = Facts(
        NOON_MS, Place("bus-1", "bus"), MEMBER, rules, 0, used={"2026": used}, usage_age_s=900
    )
    made = senior_pass.decide(facts)
    assert (made.code is Code.USED_UP) == (before + own >= limit)
    left = limit - before - own - 1
    if made.shown.endswith("-few"):
        assert made.arguments["left"] == str(left)
    elif made.code is Code.OK:
        assert left == 0 if made.shown.endswith("-last") else left > FEW_LEFT


# --- what counts where ----------------------------------------------------------------------------


@given(st.integers(0, AT_MS_MAX))
def test_every_instant_lies_in_few_periods_that_an_entry_can_carry(at_ms: int) -> None:
    for book in RULEBOOKS.values():
        named = book.periods(at_ms) if book.periods else ()
        assert len(set(named)) == len(named) <= PERIODS_MAX


def test_the_year_turns_at_midnight_in_japan() -> None:
    assert periods(NEW_YEAR_MS - 1) == ("2026",)
    assert periods(NEW_YEAR_MS) == ("2027",)
    assert fiscal_year_of(NOON_MS) == 2026


def test_a_ride_counts_once_and_what_was_paid() -> None:
    tap = Tap(
        v=1, n=1, at_ms=NOON_MS, mono_ms=0, clock=ClockState.SYNCHRONISED,
        programme="senior-pass", outcome=Outcome.ACCEPTED, code=Code.OK, shown="x",
        rider_pays_yen=50,
    )  # fmt: skip
    assert counted(tap) == Used(1, 50)
