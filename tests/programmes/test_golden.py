"""Rule tables as clerks read them: every parameter has its words, every example holds."""

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
from fleet.rule_words import WHOLE, Item, NotRead, items, lines, parameters_of, read, typed, values
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


def value_of(item: Item) -> st.SearchStrategy[Any]:
    """Return all values that a parameter may have, as a table holds them."""
    whole = st.integers(item.low, item.high)
    kinds: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(WHOLE, whole) | {
        "time": TIMES.map(datetime.time.isoformat),
        "yes-no": st.booleans(),
        "choice": st.sampled_from(item.words or ("",)),
        "lines": st.dictionaries(WORDS, st.lists(WORDS, min_size=1, max_size=4), max_size=4),
    }
    return kinds[item.kind] | st.none() if item.is_optional else kinds[item.kind]


def table_of(book: Rulebook) -> st.SearchStrategy[RuleTable]:
    """Return all tables that a programme takes."""

    @st.composite
    def made(draw: Callable[[st.SearchStrategy[Any]], Any]) -> RuleTable | None:
        found = {item.name: draw(value_of(item)) for item in items(book)}
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
    wanted |= {".none"} if item.is_optional or item.kind == "lines" else set()
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
        assert len(stories) >= len(book.examples)


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


def item(name: str) -> Item:
    return next(one for one in ITEMS if one.name == name)


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
