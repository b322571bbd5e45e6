"""Rule tables as clerks read them: every parameter has its words, every example holds."""

import dataclasses
import datetime
import string
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from fleet import golden
from fleet.rule_words import (
    EMPTY,
    WHOLE,
    Item,
    NotRead,
    items,
    lines,
    parameters_of,
    read,
    typed,
    values,
)
from programmes.register import RULEBOOKS
from programmes.rulebook import (
    Example,
    NotTogether,
    Parameter,
    Rulebook,
    RuleTableRefused,
    check_table,
)
from programmes.texts import LANGUAGES, catalogue
from wire.roster import RuleTable

BOOKS = list(RULEBOOKS.values())
NAMES = [book.name for book in BOOKS]
ITEMS = [item for book in BOOKS for item in items(book)]
NEXT_YEAR = datetime.date(2027, 4, 1)
TIMES = st.builds(datetime.time, st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
WORDS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=6)

CORNERS = st.builds(
    lambda north, east: f"{north / 1000:.3f},{east / 1000:.3f}",
    st.integers(-90_000, 90_000),
    st.integers(-180_000, 180_000),
)


def value_of(item: Item) -> st.SearchStrategy[Any]:
    """Return all values that a parameter may have, as a table holds them."""
    whole = st.integers(item.low, item.high)
    kinds: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(WHOLE, whole) | {
        "time": TIMES.map(datetime.time.isoformat),
        "yes-no": st.booleans(),
        "choice": st.sampled_from(item.words or ("",)),
        "lines": st.dictionaries(WORDS, st.lists(WORDS, min_size=1, max_size=4), max_size=4),
        "percents": st.dictionaries(WORDS, whole, max_size=4),
        "place-hours": st.dictionaries(WORDS, whole, min_size=1, max_size=4),
        "area": st.just([]) | st.lists(CORNERS, min_size=item.low, max_size=12),
    }
    return kinds[item.kind] | st.none() if item.is_optional else kinds[item.kind]


def fitting(found: dict[str, Any]) -> dict[str, Any]:
    """Return values that go together where few of those drawn would."""
    if step := found.get("step_yen"):
        for name in ("solo_cap_yen", "shared_each_yen"):
            found[name] -= found[name] % step
    if found.get("from_time", "") > found.get("to_time", ""):
        found["from_time"], found["to_time"] = found["to_time"], found["from_time"]
    return found


def table_of(book: Rulebook) -> st.SearchStrategy[RuleTable]:
    """Return all tables that a programme takes."""

    @st.composite
    def made(draw: Callable[[st.SearchStrategy[Any]], Any]) -> RuleTable | None:
        found = fitting({item.name: draw(value_of(item)) for item in items(book)})
        try:
            return check_table(book, "v", "2027-04-01", parameters_of(book, found))
        except RuleTableRefused:
            return None

    return cast(st.SearchStrategy[RuleTable], made().filter(lambda one: one is not None))


@pytest.mark.parametrize("book", BOOKS, ids=NAMES)
def test_every_parameter_is_described_once_and_nothing_else_is(book: Rulebook) -> None:
    told = cast(inspect.StructType, inspect.type_info(book.parameters))
    described = [one.name for one in book.described]
    assert sorted(described) == sorted(one.encode_name for one in told.fields)
    assert {"version", "valid_from", "why", "csrf"}.isdisjoint(described)


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: f"{item.programme}.{item.name}")
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_parameter_has_all_its_words(item: Item, language: str) -> None:
    wanted = {"", ".help"} | {f".{word}" for word in item.words}
    wanted |= {".yes", ".no"} if item.kind == "yes-no" else set()
    wanted |= {".none"} if item.is_optional or item.kind in EMPTY else set()
    if item.kind not in ("yes-no", "choice"):
        wanted.add(".is")
    if item.kind in WHOLE:
        assert item.low < item.high, "a number has bounds"
    known = {"ja": catalogue("ja"), "en": catalogue("en")}[language]
    assert {f"rule.{item.programme}.{item.name}{end}" for end in wanted} <= set(known)


@pytest.mark.parametrize("book", BOOKS, ids=NAMES)
def test_every_example_is_answered_as_it_says(book: Rulebook) -> None:
    for example in book.examples:
        assert golden.holds(example, book.decide(example.facts)), example.story
    for ride in book.rides.examples if book.rides else ():
        assert book.rides
        assert golden.ride_holds(ride, book.rides.settle(ride.facts)), ride.story


@pytest.mark.parametrize("book", BOOKS, ids=NAMES)
def test_what_a_tables_words_promise_at_its_limits_is_decided_whatever_the_table(
    book: Rulebook,
) -> None:
    @given(table_of(book))
    def holds(table: RuleTable) -> None:
        assert golden.broken(book, table) == []

    holds()


@pytest.mark.parametrize("book", BOOKS, ids=NAMES)
def test_every_example_is_told_in_both_languages(book: Rulebook) -> None:
    parameters: dict[str, Any] = {"lines_of_category": {"a": ["1"], "b": ["2"]}}
    known = {item.name for item in items(book)}
    chosen = {name: value for name, value in parameters.items() if name in known}
    first = {"rider_pays_yen": 50, "rides_per_year": 70} if "rider_pays_yen" in known else {}
    table = RuleTable("v", NEXT_YEAR, first | chosen)
    for language in LANGUAGES:
        for one in golden.told(book, table, table, language):
            assert one.story
            assert "{" not in one.story + one.before + one.after
            assert not one.is_changed
        stories = {one.story for one in golden.told(book, table, None, language)}
        assert len(stories) >= len(book.examples) + len(book.rides.examples if book.rides else ())


def test_the_first_ride_too_many_is_refused_in_a_sentence_that_can_be_signed() -> None:
    book = RULEBOOKS["senior-pass"]
    base = RuleTable("a", datetime.date(2026, 4, 1), {"rider_pays_yen": 50})
    new = RuleTable("b", NEXT_YEAR, {"rider_pays_yen": 50, "rides_per_year": 70})
    told = {one.story: one for one in golden.told(book, new, base, "ja")}
    assert told["今年度の70回目に乗る"].is_changed is False
    last = told["今年度の71回目に乗る"]
    assert (last.before, last.after) == (
        "受け付ける（本人が払う額 50円）",
        "断る（回数を使い切り）",
    )


def test_an_example_that_is_answered_otherwise_is_named() -> None:
    book = RULEBOOKS["attendance"]
    wrong = msgspec.structs.replace(book.examples[0].facts, member=None)
    one = Example("first-at-7-42", wrong, book.examples[0].outcome, book.examples[0].code)
    table = RuleTable("v", NEXT_YEAR, {})
    assert golden.broken(_with(book, (one,)), table) == [one]


def test_a_ride_that_is_settled_otherwise_is_named() -> None:
    book = RULEBOOKS["taxi"]
    assert book.rides
    wrong = dataclasses.replace(book.rides.examples[0], subsidy_yen=751, riders_pay_yen=749)
    rides = dataclasses.replace(book.rides, examples=(wrong,))
    table = RuleTable("v", NEXT_YEAR, {})
    assert golden.broken(dataclasses.replace(book, rides=rides), table) == [wrong]


def test_a_ride_under_two_tables_is_told_in_a_sentence_that_can_be_signed() -> None:
    base = RuleTable("a", datetime.date(2026, 4, 1), {})
    new = RuleTable("b", NEXT_YEAR, {"solo_cap_yen": 800})
    told = {one.story: one for one in golden.told(RULEBOOKS["taxi"], new, base, "ja")}
    ride = told["1人で乗り、運賃が2,600円"]
    assert (ride.before, ride.after) == (
        "市が払う額 1,000円、乗る人が払う額 1,600円",
        "市が払う額 800円、乗る人が払う額 1,800円",
    )
    assert not told["1人で乗り、運賃が1,500円"].is_changed


def _with(book: Rulebook, examples: tuple[Example, ...]) -> Rulebook:
    return Rulebook(book.name, book.decide, book.parameters, book.described, examples, book.edges)


# --- typed and written ----------------------------------------------------------------------------


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: f"{item.programme}.{item.name}")
def test_what_is_shown_in_the_form_is_read_back_unchanged(item: Item) -> None:
    @given(value_of(item))
    def same(value: Any) -> None:
        assert read(item, typed(item, value), value, "ja") == value

    same()


@pytest.mark.parametrize("book", BOOKS, ids=NAMES)
def test_a_table_beside_itself_changes_nothing(book: Rulebook) -> None:
    @given(table_of(book))
    def stays(table: RuleTable) -> None:
        again = check_table(book, "w", "2027-04-01", parameters_of(book, values(book, table)))
        assert not any(line.is_changed for line in lines(book, again, table, "ja"))
        assert all(line.said and "{" not in line.said for line in lines(book, table, None, "en"))

    stays()


@pytest.mark.parametrize("book", BOOKS, ids=NAMES)
def test_no_value_is_a_value_and_does_not_become_what_holds_by_default(book: Rulebook) -> None:
    @given(st.fixed_dictionaries({item.name: value_of(item) for item in items(book)}).map(fitting))
    def kept(found: dict[str, Any]) -> None:
        try:
            table = check_table(book, "v", "2027-04-01", parameters_of(book, found))
        except RuleTableRefused:
            return
        assert values(book, table) == found

    kept()


def test_another_outline_of_as_many_corners_is_a_change_and_has_its_picture() -> None:
    corners = ["36.000,139.000", "36.000,139.100", "36.100,139.100"]
    other = [*corners[:2], "36.101,139.100"]
    old, new = (RuleTable("v", NEXT_YEAR, {"area": some}) for some in (corners, other))
    line = next(one for one in lines(RULEBOOKS["taxi"], new, old, "ja") if one.name == "area")
    assert line.is_changed
    assert line.said.startswith("3個の角で囲む 約50km²"), line.said
    assert line.picture
    assert line.picture_before
    assert (line.picture.south, line.picture.north) == ("36.000", "36.101")
    assert line.picture_before.points == "0.0,100.0 80.9,100.0 80.9,0.0"


def item(name: str, programme: str = "") -> Item:
    return next(one for one in ITEMS if one.name == name and one.programme.startswith(programme))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rider_pays_yen", "１，２００円", 1200),
        ("rides_per_year", " 70 回", 70),
        ("rides_per_year", "", None),
        ("from_age", "満70歳", 70),
        ("from_time", "8時", "08:00:00"),
        ("from_time", "8：05", "08:05:00"),
        ("to_time", "24:00", "23:59:00"),
        ("refuse_when_stale", "no", False),
        ("without_usage", "refuse", "refuse"),
        ("lines_of_category", "town： 1、2\n\n rural:8", {"town": ["1", "2"], "rural": ["8"]}),
        ("lines_of_category", "", {}),
        ("solo_percent", "50％", 50),
        (
            "discounts",
            "障害者割引： １０％\n\n免許返納割引:5",
            {"障害者割引": 10, "免許返納割引": 5},
        ),
        ("discounts", "a:b: 5", {"a:b": 5}),
        ("discounts", "", {}),
        ("area", "", []),
        (
            "area",
            "36.389,139.060\n36.38913, 139.06047\r\n\n-36.5、-139.0",
            ["36.389,139.060", "36.389,139.060", "-36.500,-139.000"],
        ),
    ],
)
def test_a_value_is_read_as_clerks_write_it(name: str, text: str, value: Any) -> None:
    assert read(item(name), text, None, "ja") == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rider_pays_yen", ""),
        ("rider_pays_yen", "50.5"),
        ("rider_pays_yen", "-1"),
        ("rider_pays_yen", "2001"),
        ("rider_pays_yen", "9" * 12),
        ("rides_per_year", "0"),
        ("from_time", "24:01"),
        ("from_time", "noon"),
        ("without_usage", "perhaps"),
        ("lines_of_category", "town"),
        ("lines_of_category", "town:"),
        ("lines_of_category", "town: 1\ntown: 2"),
        ("lines_of_category", "town: " + "1" * 41),
        ("solo_percent", "101"),
        ("discounts", "10"),
        ("discounts", ": 10"),
        ("discounts", "a: 0"),
        ("discounts", "a: 101"),
        ("discounts", "a: ten"),
        ("discounts", "a: 5\na: 6"),
        ("discounts", "a" * 41 + ": 5"),
        ("discounts", "\n".join(f"{n}a: 5" for n in range(21))),
        ("area", "36.389,139.060\n36.389,139.060"),
        ("area", "\n".join(["36.389,139.060"] * 201)),
        ("area", "\n".join(["90.001,139.060"] * 3)),
        ("area", "\n".join(["36.389,180.001"] * 3)),
        ("area", "\n".join(["36389,139.060"] * 3)),
        ("area", "\n".join(["nan,139.060"] * 3)),
    ],
)
def test_what_cannot_be_read_is_refused(name: str, text: str) -> None:
    with pytest.raises(NotRead):
        read(item(name), text, None, "ja")


def test_a_day_is_a_kind_of_parameter_too() -> None:
    class Dated(msgspec.Struct, frozen=True):
        until: datetime.date

    book = RULEBOOKS["attendance"]
    dated = Rulebook("x", book.decide, Dated, (Parameter("until", "day"),), (), book.edges)
    one = items(dated)[0]
    assert read(one, "令和9年4月1日", None, "ja") == "2027-04-01"
    assert typed(one, "2027-04-01") == "2027-04-01"


def test_values_that_do_not_go_together_name_the_field_to_correct() -> None:
    parameters = {"rider_pays_yen": 50, "from_time": "20:00:00", "to_time": "08:00:00"}
    with pytest.raises(RuleTableRefused) as caught:
        check_table(RULEBOOKS["senior-pass"], "v", "2027-04-01", parameters)
    cause = caught.value.__cause__
    assert cause is not None
    assert isinstance(cause.__cause__, NotTogether)
    assert cause.__cause__.field == "to_time"
