"""The taxi subsidy: what is paid for any ride under any table, and what remains."""

import datetime
import itertools
import math
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from programmes import area, taxi
from programmes.calendar import start_of_day_ms
from programmes.enrolment import Applicant
from programmes.rides import RideFacts, RiderFacts
from programmes.rulebook import (
    Facts,
    NotTogether,
    Place,
    RuleTableRefused,
    check_table,
    read_parameters,
)
from programmes.taxi import Left, Parameters
from programmes.taxi_examples import EXAMPLES, IN_TOWN, RIDES
from programmes.texts import LANGUAGES, say
from tests.wire.samples import SPOTS
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.entries import Used
from wire.limits import RIDERS_MAX
from wire.roster import RosterRow, RuleTable

D = datetime.date
APRIL = D(2026, 4, 1)
MONTHS = [D(2026 + (month < 4), month, 15) for month in (*range(4, 13), 1, 2, 3)]
"""A day in each month of the fiscal year 2026, from April on."""
CORNERS = SPOTS.filter(bool)
MEMBER = RosterRow(Credential("00" * 16), "", None, None, None)


@pytest.mark.parametrize("story", EXAMPLES, ids=lambda one: one.story)
def test_a_golden_tap_is_decided_so(story: Any) -> None:
    made = taxi.decide(story.facts)
    assert (made.outcome, made.code) == (story.outcome, story.code)


@pytest.mark.parametrize("story", RIDES, ids=lambda one: one.story)
def test_a_golden_ride_is_settled_so_and_said(story: Any) -> None:
    made = taxi.settle(story.facts)
    assert (made.outcome, made.code) == (story.outcome, story.code)
    assert (made.subsidy_yen, made.riders_pay_yen) == (story.subsidy_yen, story.riders_pay_yen)
    for language in LANGUAGES:
        said = say(made.shown, language, **made.arguments)
        assert f"{story.riders_pay_yen:,}" in said


# --- any ride under any table ---------------------------------------------------------------------

YEN = st.integers(0, 100_000)


@st.composite
def tables(draw: st.DrawFn, /, with_yen: bool = False, **fixed: Any) -> RuleTable:
    """Any table that the programme takes; `with_yen`: that limits the year's yen."""
    step = draw(st.sampled_from([1, 10, 100, 500, 680]) | st.integers(1, 10_000))
    credited = draw(st.sampled_from(["by-year", "by-month"]))
    balance = st.integers(step, 1_000_000)
    parameters = {
        "solo_percent": draw(st.integers(0, 100)),
        "solo_cap_yen": draw(YEN) // step * step,
        "shared_each_yen": draw(YEN) // step * step,
        "step_yen": step,
        "rounding": draw(st.sampled_from(["down", "up", "nearest"])),
        "rides_per_day": draw(st.none() | st.integers(1, 5)),
        "rides_per_year": draw(st.none() | st.integers(1, 200)),
        "yen_per_year": draw(
            balance if with_yen or credited == "by-month" else st.none() | balance
        ),
        "credited": credited,
        "part_year": draw(st.sampled_from(["whole", "by-month"])),
        "discounts": draw(st.dictionaries(st.sampled_from("ab"), st.integers(1, 100))),
        "discount_first": draw(st.booleans()),
        "area": draw(st.just([]) | st.lists(CORNERS, min_size=3, max_size=6)),
    }
    return check_table(taxi.RULEBOOK, "v", "2020-04-01", parameters | fixed)


def days() -> st.SearchStrategy[D | None]:
    return st.none() | st.dates(D(2024, 4, 1), D(2028, 3, 31))


@st.composite
def rides(draw: st.DrawFn, table: RuleTable) -> RideFacts:
    """Any ride under a table."""
    at_ms = start_of_day_ms(draw(st.dates(D(2025, 4, 1), D(2027, 3, 31)))) + 43_200_000
    used = st.fixed_dictionaries(
        {}, optional=dict.fromkeys(taxi.periods(at_ms), st.builds(Used, st.integers(0, 300), YEN))
    )
    member = st.builds(RosterRow, st.just(MEMBER.credential), st.just(""), days(), days())
    riders = st.builds(RiderFacts, st.none() | member, used)
    return RideFacts(
        at_ms + 900_000,
        at_ms,
        tuple(draw(st.lists(riders, min_size=1, max_size=RIDERS_MAX))),
        draw(st.integers(0, 20_000) | st.integers(0, 1_000_000)),
        (table,),
        clock_known=draw(st.booleans()),
        discount=draw(st.sampled_from(["", "a", "b", "of another company"])),
        on=draw(SPOTS),
        off=draw(SPOTS),
    )


ANY = tables().flatmap(lambda table: st.tuples(st.just(table), rides(table)))


@given(ANY)
def test_of_any_ride_nothing_is_lost_and_the_city_pays_no_more_than_its_words(
    case: tuple[RuleTable, RideFacts],
) -> None:
    table, facts = case
    rules, made = read_parameters(table, Parameters), taxi.settle(facts)
    assert made.subsidy_yen + made.discount_yen + made.riders_pay_yen == facts.fare_yen
    assert min(*made.subsidies_yen, made.discount_yen, made.riders_pay_yen) >= 0
    is_alone = len(facts.riders) == 1
    cap = rules.solo_cap_yen if is_alone else rules.shared_each_yen
    assert all(part <= cap and part % rules.step_yen == 0 for part in made.subsidies_yen)
    if is_alone and rules.rounding == "down":
        assert made.subsidy_yen * 100 <= facts.fare_yen * rules.solo_percent
    if made.outcome is Outcome.REFUSED:
        assert (made.code, made.subsidy_yen) == (Code.WRONG_PLACE, 0)


@given(tables(with_yen=True).flatmap(lambda one: st.tuples(st.just(one), rides(one))))
def test_nobody_gets_more_in_a_year_than_its_yen(case: tuple[RuleTable, RideFacts]) -> None:
    table, facts = case
    facts = msgspec.structs.replace(facts, clock_known=True)
    limit = read_parameters(table, Parameters).yen_per_year
    year = taxi.periods(facts.boarded_at_ms)[1]
    for rider, part in zip(facts.riders, taxi.settle(facts).subsidies_yen, strict=True):
        had = rider.used.get(year, Used()).yen
        assert limit is not None
        assert part == 0 or rider.member is None or had + part <= limit


@given(tables(), st.integers(2, RIDERS_MAX), st.integers(0, 50_000))
def test_riders_who_are_alike_get_alike_but_for_a_step(
    table: RuleTable, riders: int, fare: int
) -> None:
    at_ms = start_of_day_ms(APRIL)
    some = (RiderFacts(MEMBER),) * riders
    made = taxi.settle(RideFacts(at_ms, at_ms, some, fare, (table,)))
    step = read_parameters(table, Parameters).step_yen
    assert max(made.subsidies_yen) - min(made.subsidies_yen) <= step


@given(tables(yen_per_year=None, credited="by-year"), st.integers(2, RIDERS_MAX), YEN)
def test_together_the_city_pays_all_it_promised_or_the_whole_of_the_fares_steps(
    table: RuleTable, riders: int, fare: int
) -> None:
    rules, at_ms = read_parameters(table, Parameters), start_of_day_ms(APRIL)
    made = taxi.settle(RideFacts(at_ms, at_ms, (RiderFacts(MEMBER),) * riders, fare, (table,)))
    steps = fare // rules.step_yen * rules.step_yen
    assert made.subsidy_yen == min(riders * rules.shared_each_yen, steps)


def test_who_has_little_left_leaves_the_rest_to_the_others() -> None:
    table = RuleTable("v", D(2020, 4, 1), {"yen_per_year": 1_000, "rides_per_year": None})
    at_ms = start_of_day_ms(APRIL)
    year = taxi.periods(at_ms)[1]
    some = tuple(RiderFacts(MEMBER, {year: Used(1, yen)}) for yen in (500, 990, 1_200))
    made = taxi.settle(RideFacts(at_ms, at_ms, some, 600, (table,)))
    assert (made.subsidies_yen, made.riders_pay_yen) == ((500, 10, 0), 90)


@pytest.mark.parametrize(
    ("rounding", "fare", "subsidy"),
    [
        ("down", 719, 350),
        ("up", 701, 360),
        ("up", 700, 350),
        ("nearest", 709, 350),
        ("nearest", 710, 360),
        ("nearest", 1_999, 1_000),
    ],
)
def test_half_a_fare_is_rounded_to_a_step_as_the_table_says(
    rounding: str, fare: int, subsidy: int
) -> None:
    table = RuleTable("v", D(2020, 4, 1), {"rounding": rounding})
    at_ms = start_of_day_ms(APRIL)
    assert taxi.settle(
        RideFacts(at_ms, at_ms, (RiderFacts(MEMBER),), fare, (table,))
    ).subsidies_yen == (subsidy,)


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"solo_cap_yen": 1_005}, "solo_cap_yen"),
        ({"shared_each_yen": 499}, "shared_each_yen"),
        ({"step_yen": 300}, "solo_cap_yen"),
        ({"yen_per_year": 9}, "yen_per_year"),
        ({"credited": "by-month"}, "credited"),
        ({"from_time": "18:00:01"}, "to_time"),
        ({"area": ["36.0,139.0"] * 3}, "area"),
        ({"area": ["36.000,139.000"] * 2}, "area"),
        ({"area": ["91.000,139.000"] * 3}, "area"),
    ],
)
def test_a_table_that_promises_what_it_cannot_pay_is_refused_beside_its_field(
    parameters: dict[str, Any], field: str
) -> None:
    with pytest.raises(RuleTableRefused) as caught:
        check_table(taxi.RULEBOOK, "v", "2026-04-01", parameters)
    cause = caught.value.__cause__.__cause__ if caught.value.__cause__ else None
    assert isinstance(cause, NotTogether)
    assert cause.field == field
    assert all(say(f"rule.taxi.{field}.not-together", language) for language in LANGUAGES)


def test_there_are_no_more_discounts_than_a_driver_can_choose_from() -> None:
    with pytest.raises(RuleTableRefused, match="discounts"):
        check_table(
            taxi.RULEBOOK, "v", "2026-04-01", {"discounts": {f"a{n}": 5 for n in range(21)}}
        )


# --- what remains ---------------------------------------------------------------------------------


def left(parameters: dict[str, Any], day: D, member: RosterRow, **used: Used) -> Left:
    rules = read_parameters(RuleTable("v", D(2020, 4, 1), parameters), Parameters)
    at_ms = start_of_day_ms(day)
    today, year = taxi.periods(at_ms)
    by = {today: used.get("day", Used()), year: used.get("year", Used())}
    return Left.of(rules, member, at_ms, by)


@pytest.mark.parametrize("first", range(12), ids=lambda month: str(MONTHS[month]))
@pytest.mark.parametrize("last", [*range(12), None], ids=str)
def test_a_part_of_the_year_is_a_twelfth_for_each_month_that_it_touches(
    first: int, last: int | None
) -> None:
    if last is not None and last < first:
        return
    member = MEMBER._replace(
        valid_from=MONTHS[first], valid_to=None if last is None else MONTHS[last]
    )
    months = (11 if last is None else last) - first + 1
    parameters = {"part_year": "by-month", "rides_per_year": 70, "yen_per_year": 24_000}
    found = left(parameters, MONTHS[first], member)
    assert found.year == math.ceil(70 * months / 12)
    assert found.yen == 2_000 * months
    whole = left(parameters | {"part_year": "whole"}, MONTHS[first], member)
    assert (whole.year, whole.yen) == (70, 24_000)


def test_the_year_after_is_whole_again() -> None:
    member = MEMBER._replace(valid_from=D(2025, 12, 1), valid_to=D(2027, 5, 31))
    parameters = {"part_year": "by-month", "rides_per_year": 70}
    assert left(parameters, D(2025, 12, 1), member).year == math.ceil(70 * 4 / 12)
    assert left(parameters, D(2026, 6, 1), member).year == 70
    assert left(parameters, D(2027, 5, 1), member).year == math.ceil(70 * 2 / 12)


@given(st.integers(12, 1_000_000), st.none() | st.sampled_from(range(12)))
def test_what_comes_by_the_month_never_grows_less_and_ends_at_the_whole(
    yen: int, first: int | None
) -> None:
    parameters = {"yen_per_year": yen, "credited": "by-month", "part_year": "by-month"}
    member = MEMBER if first is None else MEMBER._replace(valid_from=MONTHS[first])
    there = [left(parameters, day, member).yen or 0 for day in MONTHS[first or 0 :]]
    assert there == sorted(there)
    assert there[0] >= yen / 12
    assert there[-1] == math.ceil(yen * len(there) / 12)


@given(st.integers(1, 5), st.integers(1, 200), st.integers(0, 5), st.integers(0, 200))
@example(2, 70, 1, 69)
def test_a_ride_is_accepted_while_one_is_left_today_and_this_year(
    per_day: int, per_year: int, today: int, year: int
) -> None:
    table = RuleTable("v", APRIL, {"rides_per_day": per_day, "rides_per_year": per_year})
    at_ms = start_of_day_ms(APRIL) + 43_200_000
    used = dict(zip(taxi.periods(at_ms), (Used(today), Used(year)), strict=True))
    place = Place("taxi-1", "taxi")
    made = taxi.decide(Facts(at_ms, place, MEMBER, (table,), 0, used=used, usage_age_s=0))
    if today < per_day and year < per_year:
        assert made.arguments == {"day": f"{per_day - today - 1}", "year": f"{per_year - year - 1}"}
    else:
        spent = "day" if today >= per_day else "year"
        assert (made.code, made.shown) == (Code.USED_UP, f"taxi.used-up-{spent}")


def test_whatever_is_limited_has_its_sentence() -> None:
    limits = {"rides_per_day": 2, "rides_per_year": 70, "yen_per_year": 36_000}
    at_ms = start_of_day_ms(APRIL) + 43_200_000
    for some in itertools.chain(*(itertools.combinations(limits, n) for n in range(4))):
        parameters = {name: limits[name] if name in some else None for name in limits}
        facts = Facts(
            at_ms,
            Place("taxi-1", "taxi"),
            MEMBER,
            (RuleTable("v", APRIL, parameters),),
            0,
            usage_age_s=0,
        )
        made = taxi.decide(facts)
        assert made.outcome is Outcome.ACCEPTED
        assert len(made.arguments) == len(some)
        for language in LANGUAGES:
            said = say(made.shown, language, **made.arguments)
            assert all(value in said for value in made.arguments.values())


# --- where a ride is ------------------------------------------------------------------------------


def winding(corners: list[area.Corner], north: int, east: int) -> int:
    """Return how often an outline goes around a point, by adding up the angles."""
    turned = 0.0
    for (a_north, a_east), (b_north, b_east) in itertools.pairwise((*corners, corners[0])):
        a = math.atan2(a_north - north, a_east - east)
        b = math.atan2(b_north - north, b_east - east)
        turned += (b - a + math.pi) % (2 * math.pi) - math.pi
    return round(turned / (2 * math.pi))


def is_on(corners: list[area.Corner], north: int, east: int) -> bool:
    """True when a point lies on an edge: the two ways to it are as long as the edge."""
    return any(
        (b[0] - a[0]) * (east - a[1]) == (b[1] - a[1]) * (north - a[0])
        and min(a[0], b[0]) <= north <= max(a[0], b[0])
        and min(a[1], b[1]) <= east <= max(a[1], b[1])
        for a, b in itertools.pairwise((*corners, corners[0]))
    )


def spot(north: int, east: int) -> str:
    return f"{north / 1000:.3f},{east / 1000:.3f}"


Points = st.tuples(st.integers(-12, 12), st.integers(-12, 12))


@given(st.lists(Points, min_size=3, max_size=9), Points)
@example([(0, 0), (0, 4), (4, 4), (4, 0)], (2, 2))
@example([(0, 0), (0, 4), (4, 4), (4, 0)], (4, 2))
@example([(0, 0), (2, 2), (4, 0), (4, 4), (0, 4)], (2, 1))
def test_a_place_is_inside_where_an_outline_goes_around_it(
    corners: list[area.Corner], point: area.Corner
) -> None:
    found = area.holds(tuple(corners), spot(*point))
    if is_on(corners, *point):
        assert found
    else:
        assert found == (winding(corners, *point) % 2 == 1)


@given(st.lists(Points, min_size=3, max_size=9), Points, st.integers(0, 8), st.booleans())
def test_it_does_not_matter_where_an_outline_begins_nor_which_way_it_goes(
    corners: list[area.Corner], point: area.Corner, turn: int, back: bool
) -> None:
    turned = corners[turn % len(corners) :] + corners[: turn % len(corners)]
    other = turned[::-1] if back else turned
    assert area.holds(tuple(corners), spot(*point)) == area.holds(tuple(other), spot(*point))


@given(CORNERS)
def test_every_place_that_an_entry_can_carry_is_read(text: str) -> None:
    north, east = area.read_corner(text)
    assert (abs(north) <= 90_000, abs(east) <= 180_000) == (True, True)
    assert [float(one) for one in text.split(",")] == [north / 1000, east / 1000]


def test_a_ride_is_of_the_town_when_one_of_its_ends_is() -> None:
    inside, outside, edge = "36.389,139.060", "36.322,138.950", "36.310,139.000"
    at_ms = start_of_day_ms(APRIL)
    for on, off, is_paid in (
        (inside, outside, True),
        (outside, inside, True),
        (outside, edge, True),
        (outside, outside, False),
        (outside, "", True),
        ("", "", True),
    ):
        facts = RideFacts(at_ms, at_ms, (RiderFacts(MEMBER),), 1_000, (IN_TOWN,), on=on, off=off)
        assert (taxi.settle(facts).outcome is Outcome.ACCEPTED) == is_paid, (on, off)


# --- who is enrolled ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "born", "has_ground", "said"),
    [
        ({}, D(1950, 1, 1), False, "enrol.age-met.day"),
        ({}, D(1950, 1, 1), True, "enrol.age-met.day"),
        ({}, D(1960, 1, 1), False, "enrol.age-not-met.day"),
        ({}, D(1960, 1, 1), True, "enrol.ground-met"),
        ({}, None, False, "enrol.ground-or-age"),
        ({}, None, True, "enrol.ground-met"),
        ({"age_or_ground": False}, D(1960, 1, 1), True, "enrol.age-not-met.day"),
        ({"age_or_ground": False}, None, True, "enrol.age-unknown"),
    ],
)
def test_another_ground_than_age_counts_where_the_table_knows_it_and_age_does_not_do(
    change: dict[str, Any], born: D | None, has_ground: bool, said: str
) -> None:
    table = RuleTable("v", APRIL, change)
    found = taxi.conditions(table, Applicant(born, True, has_ground), APRIL)
    assert found[0].said == said
    assert (found[0].ground == "does") == (said == "enrol.ground-met")
    assert (found[0].ground == "none") == (not change.get("age_or_ground", True))
