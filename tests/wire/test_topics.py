"""Names and topics: what is safe in a topic, a certificate, a file name and a URL alike."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import ValidationError, convert

from wire.entries import Name
from wire.topics import (
    DOWN,
    UP,
    Leaf,
    ReaderName,
    every_reader,
    parse_name,
    parse_reader,
    parse_topic,
    topic,
)

INNER = string.ascii_lowercase + string.digits + "-"
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,29}[a-z0-9])?", fullmatch=True)
READERS = st.builds(ReaderName, NAMES, NAMES)


@given(READERS, st.sampled_from(Leaf))
def test_a_topic_is_read_as_it_was_written(reader: ReaderName, leaf: Leaf) -> None:
    assert parse_topic(topic(reader, leaf)) == (reader, leaf)
    assert parse_reader(str(reader)) == reader


@given(READERS, st.sampled_from(Leaf))
def test_the_fleets_subscription_covers_each_readers_leaf_and_no_other(
    reader: ReaderName, leaf: Leaf
) -> None:
    covered = re.compile(every_reader(leaf).replace("+", "[^/]+") + r"\Z")
    assert [other for other in Leaf if covered.match(topic(reader, other))] == [leaf]


@given(st.text(max_size=40))
def test_a_name_is_small_letters_digits_and_inner_hyphens(text: str) -> None:
    good = (
        1 <= len(text) <= 32
        and all(one in INNER for one in text)
        and not text.startswith("-")
        and not text.endswith("-")
    )
    if good:
        assert parse_name(text) == text
    else:
        with pytest.raises(ValueError, match="no name"):
            parse_name(text)


@pytest.mark.parametrize(
    "text", ["", "-a", "a-", "A", "a_b", "a.b", "a/b", "a b", "a\n", "ａ", "+", "#", "..", "a" * 33]
)
def test_what_is_no_name_in_a_topic_is_none_in_a_message(text: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        parse_name(text)
    with pytest.raises(ValidationError):
        convert(text, Name)


@given(NAMES)
def test_what_is_a_name_in_a_topic_is_one_in_a_message(name: str) -> None:
    assert convert(name, Name) == parse_name(name)


@pytest.mark.parametrize(
    "text", ["bus-1", "a/b/c", "a/", "/b", "a//b", "", "a/+", "#/b", f"{'a' * 32}/{'b' * 32}"]
)
def test_a_reader_has_two_levels_and_a_name_that_a_certificate_can_carry(text: str) -> None:
    with pytest.raises(ValueError, match=r"reader|name"):
        parse_reader(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kazasu/1/t/r",
        "kazasu/1/t/r/other",
        "kazasu/1/t/r/twin",
        "kazasu/1/t/r/entries/more",
        "kazasu/2/t/r/entries",
        "other/1/t/r/entries",
        "/kazasu/1/t/r/entries",
        "kazasu/1/T/r/entries",
        "kazasu/1/t/+/entries",
        "kazasu/1/twin/reported",
        "kazasu/1/r/twin/reported",
    ],
)
def test_another_topic_is_none_of_ours(text: str) -> None:
    with pytest.raises(ValueError, match=r"topic|name|Leaf"):
        parse_topic(text)


def test_every_leaf_has_exactly_one_side_that_writes_it() -> None:
    assert sorted([*UP, *DOWN]) == sorted(Leaf)
