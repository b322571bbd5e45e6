"""What holds for every programme, whatever the facts."""

import datetime
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from programmes import attendance, senior_pass
from programmes.register import RULEBOOKS, UnknownProgramme, rulebook
from programmes.rulebook import (
    PERHAPS_NOT_SHOWN_WINDOW_S,
    Booked,
    Decision,
    Direction,
    Example,
    Facts,
    NoRuleInForce,
    Place,
    Rulebook,
    RuleTableRefused,
    check_table,
    is_repeat,
    rule_in_force,
)
from programmes.texts import LANGUAGES, say
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.entries import Tap, Used, decode, encode
from wire.limits import AT_MS_MAX
from wire.roster import RosterRow, RuleTable

FIRST_DAY = datetime.date(2020, 4, 1)
NOON_MS = 1_780_455_600_000
"""2026-06-03 12:00 in Japan."""
KINDS: tuple[Literal["bus", "school"], ...] = ("bus", "school")

CATEGORIES = st.sampled_from(["all", "town", "teacher", ""])
INSTANTS = st.one_of(
    st.integers(0, AT_MS_MAX),
    st.integers(NOON_MS - 400 * 86_400_000, NOON_MS + 400 * 86_400_000),
)
DATES = st.dates(datetime.date(2000, 1, 2), datetime.date(2179, 6, 5))
MEMBERS = st.builds(
    RosterRow,
    st.just(Credential("ab" * 16)),
    CATEGORIES,
    st.none() | DATES,
    st.none() | DATES,
    st.none() | st.integers(0, 4_000_000_000),
)
DIRECTIONS: st.SearchStrategy[Direction] = st.sampled_from(("", "in", "out", "away", "back"))
PARAMETERS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "senior-pass": st.fixed_dictionaries(
        {"rider_pays_yen": st.integers(0, 2_000)},
        optional={
            "from_time": st.just("07:00:00"),
            "to_time": st.sampled_from(["07:00:00", "20:00:00", "23:59:59"]),
            "lines_of_category": st.dictionaries(CATEGORIES, st.lists(st.sampled_from("12"))),
            "repeat_window_s": st.integers(5, 1800),
            "stale_after_h": st.integers(1, 720),
            "refuse_when_stale": st.booleans(),
            "accept_with_unknown_clock": st.booleans(),
            "rides_per_year": st.none() | st.integers(1, 1_000),
            "without_usage": st.sampled_from(["accept", "accept-within-cap", "refuse"]),
            "usage_stale_after_h": st.integers(1, 144),
            "rides_without_usage": st.integers(1, 1_000),
        },
    ),
    "taxi": st.fixed_dictionaries(
        {},
        optional={
            "rides_per_day": st.none() | st.integers(1, 3),
            "rides_per_year": st.none() | st.integers(1, 1_000),
            "yen_per_year": st.integers(10, 10**6),
            "part_year": st.sampled_from(["whole", "by-month"]),
            "from_time": st.just("07:00:00"),
            "to_time": st.sampled_from(["07:00:00", "20:00:00", "23:59:59"]),
            "refuse_when_stale": st.booleans(),
            "accept_with_unknown_clock": st.booleans(),
            "without_usage": st.sampled_from(["accept", "accept-within-cap", "refuse"]),
            "rides_without_usage": st.integers(1, 1_000),
        },
    ),
    "attendance": st.fixed_dictionaries(
        {},
        optional={
            "day_starts_at_hour": st.integers(0, 12),
            "day_starts_at_place": st.dictionaries(
                st.sampled_from(["place-1", "place-2"]), st.integers(0, 12), min_size=1
            ),
            "repeat_window_s": st.integers(5, 1800),
        },
    ),
}


PERIODS = st.sampled_from(["2026", "2025", "2026-06-03"])
USED = st.builds(Used, st.integers(0, 2_000), st.integers(0, 10**6), st.integers(0, 20))


@st.composite
def facts(draw: st.DrawFn, name: str) -> Facts:
    """Any facts with valid tables, one of which is in force on any day of a clock that is right."""
    known = draw(st.booleans())
    days = [
        FIRST_DAY if not known else datetime.date(1970, 1, 1),
        *draw(st.lists(DATES, max_size=3)),
    ]
    tables = [
        RuleTable(version=f"{name}/{number}", valid_from=day, parameters=draw(PARAMETERS[name]))
        for number, day in enumerate(days)
    ]
    at_ms = draw(INSTANTS)
    ago = draw(st.lists(st.integers(-(10**7), 10**9), max_size=4))
    booked = [
        Booked(at_ms - age_ms, draw(DIRECTIONS), draw(st.booleans()), draw(DIRECTIONS))
        for age_ms in sorted(ago, reverse=True)
    ]
    return Facts(
        at_ms=at_ms,
        place=Place("place-1", draw(st.sampled_from(KINDS)), draw(st.sampled_from(["", "1", "8"]))),
        member=draw(st.none() | MEMBERS),
        rules=draw(st.permutations(tables)),
        roster_age_s=draw(st.integers(0, 10**9)),
        clock_known=known,
        declared=draw(DIRECTIONS),
        booked=booked,
        used=draw(st.dictionaries(PERIODS, USED, max_size=2)),
        usage_age_s=draw(st.none() | st.integers(0, 10**6)),
    )


ANY = st.sampled_from(sorted(RULEBOOKS)).flatmap(
    lambda name: st.tuples(st.just(RULEBOOKS[name]), facts(name))
)


@given(ANY)
def test_a_decision_is_made_for_any_facts_and_can_be_written_down_and_said(
    case: tuple[Rulebook, Facts],
) -> None:
    book, given_facts = case
    made = book.decide(given_facts)
    assert (made.outcome is Outcome.ACCEPTED) == (made.code is Code.OK)
    assert (made.outcome is Outcome.REPEAT) == (made.code is Code.REPEAT)
    assert made.rule in {table.version for table in given_facts.rules}
    for language in LANGUAGES:
        assert "{" not in say(made.shown, language, **made.arguments)
    tap = Tap(
        v=1,
        n=1,
        at_ms=given_facts.at_ms,
        mono_ms=0,
        clock=ClockState.SYNCHRONISED,
        programme=book.name,
        outcome=made.outcome,
        code=made.code,
        shown=made.shown,
        rule=made.rule,
        rider_pays_yen=made.rider_pays_yen,
        used=dict(given_facts.used),
        usage_age_s=given_facts.usage_age_s,
    )
    assert decode(encode(tap)) == tap


@given(ANY)
def test_the_same_facts_give_the_same_decision_in_any_order_of_the_tables(
    case: tuple[Rulebook, Facts],
) -> None:
    book, given_facts = case
    turned = msgspec.structs.replace(given_facts, rules=list(reversed(given_facts.rules)))
    assert book.decide(given_facts) == book.decide(given_facts) == book.decide(turned)


@given(ANY)
def test_only_an_accepted_presentation_costs_anything(case: tuple[Rulebook, Facts]) -> None:
    book, given_facts = case
    made = book.decide(given_facts)
    assert made.outcome is Outcome.ACCEPTED or made.rider_pays_yen is None


@given(ANY)
def test_a_card_that_no_roster_knows_is_refused(case: tuple[Rulebook, Facts]) -> None:
    book, given_facts = case
    made = book.decide(msgspec.structs.replace(given_facts, member=None))
    assert (made.outcome, made.code) == (Outcome.REFUSED, Code.UNKNOWN)


@given(ANY, MEMBERS, st.integers(0, 10**9))
def test_a_stopped_card_is_never_accepted(
    case: tuple[Rulebook, Facts], member: RosterRow, before_s: int
) -> None:
    book, given_facts = case
    stopped = member._replace(stopped_from_s=given_facts.at_ms // 1000 - before_s)
    made = book.decide(msgspec.structs.replace(given_facts, member=stopped))
    assert (made.outcome, made.code) == (Outcome.REFUSED, Code.STOP_LISTED)


@given(ANY, MEMBERS, st.integers(0, 2**33))
def test_a_reader_that_has_lost_the_time_accepts_no_card_that_has_a_stop(
    case: tuple[Rulebook, Facts], member: RosterRow, stopped_from_s: int
) -> None:
    book, given_facts = case
    stopped = member._replace(stopped_from_s=stopped_from_s)
    lost = msgspec.structs.replace(given_facts, member=stopped, clock_known=False, at_ms=0)
    assert book.decide(lost).code is Code.STOP_LISTED


@given(ANY, st.integers(0, 4_999), st.booleans())
def test_an_accepted_card_that_is_held_again_at_once_books_nothing(
    case: tuple[Rulebook, Facts], later_ms: int, back: bool
) -> None:
    book, given_facts = case
    first = book.decide(given_facts)
    if first.outcome is not Outcome.ACCEPTED:
        return
    booked = [*given_facts.booked, Booked(given_facts.at_ms, given_facts.declared)]
    at_ms = max(0, given_facts.at_ms - later_ms) if back else given_facts.at_ms + later_ms
    at_ms = min(at_ms, AT_MS_MAX)
    held = {"booked": booked} if book.rides is None else {"riding": True}
    again = book.decide(msgspec.structs.replace(given_facts, at_ms=at_ms, **held))
    assert again.outcome is not Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("book", "example"),
    [(book, example) for book in RULEBOOKS.values() for example in book.examples],
    ids=lambda value: value.story if isinstance(value, Example) else value.name,
)
def test_the_golden_examples_hold(book: Rulebook, example: Example) -> None:
    made = book.decide(example.facts)
    assert (made.outcome, made.code) == (example.outcome, example.code)
    if example.rider_pays_yen is not None:
        assert made.rider_pays_yen == example.rider_pays_yen


def test_the_golden_examples_show_every_outcome_and_each_story_stands_once() -> None:
    for book in RULEBOOKS.values():
        stories = [example.story for example in book.examples]
        assert len(set(stories)) == len(stories)
        assert {example.outcome for example in book.examples} == set(Outcome)


# --- dated tables ---------------------------------------------------------------------------------


def table(version: str, day: str, **parameters: object) -> RuleTable:
    return RuleTable(version, datetime.date.fromisoformat(day), parameters)


def test_the_table_with_the_latest_start_is_in_force() -> None:
    tables = [table("b", "2027-04-01"), table("a", "2026-04-01"), table("c", "2028-04-01")]
    for day, version in (("2027-03-31", "a"), ("2027-04-01", "b"), ("2030-01-01", "c")):
        assert rule_in_force(tables, datetime.date.fromisoformat(day)).version == version
    with pytest.raises(NoRuleInForce, match="2026-03-31"):
        rule_in_force(tables, datetime.date(2026, 3, 31))


def test_of_two_tables_of_one_day_the_later_version_is_in_force() -> None:
    tables = [table("2026-04.2", "2026-04-01"), table("2026-04.1", "2026-04-01")]
    for order in (tables, tables[::-1]):
        assert rule_in_force(order, datetime.date(2026, 4, 1)).version == "2026-04.2"


@pytest.mark.parametrize(
    ("name", "parameters", "named"),
    [
        ("senior-pass", {}, "rider_pays_yen"),
        ("senior-pass", {"rider_pays_yen": -1}, "rider_pays_yen"),
        ("senior-pass", {"rider_pays_yen": 50.5}, "rider_pays_yen"),
        ("senior-pass", {"rider_pays_yen": 50, "colour": "red"}, "colour"),
        ("senior-pass", {"rider_pays_yen": 50, "from_time": "07:00:00+09:00"}, "from_time"),
        (
            "senior-pass",
            {"rider_pays_yen": 50, "from_time": "22:00:00", "to_time": "02:00:00"},
            "midnight",
        ),
        ("senior-pass", {"rider_pays_yen": 50, "repeat_window_s": 0}, "repeat_window_s"),
        ("attendance", {"day_starts_at_hour": 13}, "day_starts_at_hour"),
    ],
)
def test_a_table_that_a_programme_cannot_work_with_is_refused_and_named(
    name: str, parameters: dict[str, object], named: str
) -> None:
    with pytest.raises(RuleTableRefused, match=named):
        check_table(rulebook(name), "v", "2026-04-01", parameters)


@pytest.mark.parametrize("day", ["2026-02-29", "1 April", "20260401", ""])
def test_a_table_needs_a_day_of_the_calendar(day: str) -> None:
    with pytest.raises(RuleTableRefused, match="2026-04-01"):
        check_table(rulebook("attendance"), "v", day, {})


def test_a_table_needs_a_version_that_an_entry_can_carry() -> None:
    with pytest.raises(RuleTableRefused):
        check_table(rulebook("attendance"), "v" * 65, "2026-04-01", {})


def test_a_checked_table_is_the_table() -> None:
    parameters = {"day_starts_at_hour": 5}
    checked = check_table(rulebook("attendance"), "v", "2026-04-01", parameters)
    assert checked == table("v", "2026-04-01", **parameters)


def test_a_programme_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(UnknownProgramme, match=r"spa.*attendance.*senior-pass.*taxi"):
        rulebook("spa")


# --- the repeat window ----------------------------------------------------------------------------


def last_booked(ago_s: int, perhaps_not_shown: bool = False) -> Facts:
    booked = (Booked(NOON_MS - ago_s * 1000, "", perhaps_not_shown),)
    return Facts(NOON_MS, Place("bus-1", "bus"), None, (), 0, booked=booked)


@pytest.mark.parametrize(
    ("ago_s", "perhaps_not_shown", "repeat"),
    [
        (0, False, True),
        (119, False, True),
        (120, False, False),
        (-3600, False, True),
        (PERHAPS_NOT_SHOWN_WINDOW_S - 1, True, True),
        (PERHAPS_NOT_SHOWN_WINDOW_S, True, False),
    ],
)
def test_the_repeat_window_ends_on_the_second(
    ago_s: int, perhaps_not_shown: bool, repeat: bool
) -> None:
    assert is_repeat(last_booked(ago_s, perhaps_not_shown), 120) is repeat


def test_a_longer_window_of_the_table_is_not_cut_by_a_power_cut() -> None:
    assert is_repeat(last_booked(1_000, perhaps_not_shown=True), 1_800)


# --- senior pass ----------------------------------------------------------------------------------


def ride(**changes: object) -> Decision:
    member = RosterRow(Credential("00" * 16), "town", None, None, None)
    rules = (
        table(
            "now",
            "2026-04-01",
            rider_pays_yen=1_050,
            from_time="07:00:00",
            to_time="20:00:00",
            lines_of_category={"town": ["1"]},
            refuse_when_stale=True,
        ),
    )
    base = Facts(NOON_MS, Place("bus-1", "bus", "1"), member, rules, 0)
    return senior_pass.decide(msgspec.structs.replace(base, **changes))


def test_the_fare_is_said_with_its_thousands() -> None:
    made = ride()
    assert (made.rider_pays_yen, made.arguments) == (1_050, {"yen": "1,050"})


@pytest.mark.parametrize(
    ("hour", "minute", "second", "code"),
    [
        (6, 59, 59, Code.NOT_NOW),
        (7, 0, 0, Code.OK),
        (20, 0, 59, Code.OK),
        (20, 1, 0, Code.NOT_NOW),
    ],
)
def test_the_hours_of_service_hold_to_the_end_of_the_minute_they_name(
    hour: int, minute: int, second: int, code: Code
) -> None:
    at_ms = NOON_MS + ((hour - 12) * 3600 + minute * 60 + second) * 1000
    assert ride(at_ms=at_ms).code is code


def test_a_list_is_stale_after_the_hour_that_the_table_names_and_not_before() -> None:
    assert ride(roster_age_s=72 * 3600).code is Code.OK
    assert ride(roster_age_s=72 * 3600 + 1).code is Code.STALE


def test_a_bus_that_does_not_know_its_line_lets_a_pass_ride() -> None:
    assert ride(place=Place("bus-1", "bus", "")).code is Code.OK
    assert ride(place=Place("bus-1", "bus", "8")).code is Code.WRONG_PLACE


def test_a_bus_that_has_lost_the_time_lets_a_pass_ride_on_its_own_lines() -> None:
    assert ride(clock_known=False, at_ms=0).code is Code.OK
    elsewhere = Place("bus-1", "bus", "8")
    assert ride(clock_known=False, at_ms=0, place=elsewhere).code is Code.WRONG_PLACE


def test_where_the_city_says_so_a_bus_that_has_lost_the_time_refuses() -> None:
    strict = (table("s", "2026-04-01", rider_pays_yen=1, accept_with_unknown_clock=False),)
    assert ride(clock_known=False, rules=strict).code is Code.CLOCK_UNKNOWN


def test_a_pass_is_good_on_its_first_and_on_its_last_day() -> None:
    today = datetime.date(2026, 6, 3)
    day = datetime.timedelta(days=1)
    base = RosterRow(Credential("00" * 16), "all", today, today, None)
    assert ride(member=base).code is Code.OK
    assert ride(member=base._replace(valid_from=today + day)).code is Code.NOT_YET
    assert ride(member=base._replace(valid_from=None, valid_to=today - day)).code is Code.EXPIRED


# --- attendance -----------------------------------------------------------------------------------


def at_school(month: int, day: int, hour: int, minute: int = 0) -> int:
    zone = datetime.timezone(datetime.timedelta(hours=9))
    at = datetime.datetime(2026, month, day, hour, minute, tzinfo=zone)
    return int(at.timestamp() * 1000)


def hold(at_ms: int, *booked: Booked, **changes: object) -> Decision:
    member = RosterRow(Credential("00" * 16), "teacher", None, None, None)
    rules = (table("2025", "2025-04-01"), table("2026", "2026-04-01", day_starts_at_hour=5))
    base = Facts(at_ms, Place("school-1", "school"), member, rules, 10**8, booked=booked)
    return attendance.decide(msgspec.structs.replace(base, **changes))


@pytest.mark.parametrize(
    ("at", "version"),
    [
        ((3, 31, 23, 59), "2025"),
        ((4, 1, 0, 30), "2025"),
        # Four o'clock ends the night by the old table, five by the new one: the old day rules.
        ((4, 1, 4, 30), "2025"),
        ((4, 1, 5, 0), "2026"),
    ],
)
def test_the_last_night_of_a_year_belongs_to_the_old_table(
    at: tuple[int, int, int, int], version: str
) -> None:
    assert hold(at_school(*at)).rule == version


def test_the_first_table_of_all_also_serves_the_night_before_it() -> None:
    only = (table("2026", "2026-04-01"),)
    assert hold(at_school(4, 1, 0, 30), rules=only).rule == "2026"


def test_a_person_whose_last_day_was_yesterday_can_still_leave_after_midnight() -> None:
    member = RosterRow(Credential("00" * 16), "teacher", None, datetime.date(2026, 3, 31), None)
    assert hold(at_school(4, 1, 0, 30), member=member).code is Code.OK
    assert hold(at_school(4, 1, 7, 30), member=member).code is Code.EXPIRED


def test_working_time_is_not_refused_for_an_old_list_or_a_lost_clock() -> None:
    assert hold(at_school(6, 3, 7, 42), roster_age_s=10**9).code is Code.OK
    assert hold(0, clock_known=False).code is Code.OK
