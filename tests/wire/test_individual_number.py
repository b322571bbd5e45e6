"""The guard against 12-digit individual numbers, against the ordinance's own formula."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.clock import ClockState
from wire.entries import Start, encode
from wire.individual_number import (
    IndividualNumberRefused,
    looks_like_individual_number,
    refuse_individual_number,
)

ELEVEN = st.text(alphabet="0123456789", min_size=11, max_size=11)
SEPARATORS = [
    " ",
    "\u3000",
    "\t",
    "-",
    "‐",
    "‑",
    "‒",
    "–",
    "—",
    "―",
    "−",
    "ー",
    "－",
    "ｰ",
    "\u00ad",
]


def check_digit(eleven: str) -> int:
    """総務省令第八十五号 (2014), article 5: P(n) is the n-th digit from the right, without the
    check digit; Q(n) is n + 1 for n from 1 to 6 and n - 5 for n from 7 to 11.
    """
    total = 0
    for n in range(1, 12):
        p = int(eleven[11 - n])
        q = n + 1 if n <= 6 else n - 5
        total += p * q
    remainder = total % 11
    return 0 if remainder <= 1 else 11 - remainder


@given(ELEVEN)
def test_exactly_one_check_digit_is_right(eleven: str) -> None:
    right = [digit for digit in "0123456789" if looks_like_individual_number(eleven + digit)]
    assert right == [str(check_digit(eleven))]


@pytest.mark.parametrize("number", ["123456789018", "000000000000", "111111111118"])
def test_numbers_worked_out_by_hand_are_seen(number: str) -> None:
    assert looks_like_individual_number(number)
    assert int(number[-1]) == check_digit(number[:11])


@given(ELEVEN, st.lists(st.sampled_from(SEPARATORS), min_size=13, max_size=13), st.booleans())
def test_it_is_seen_through_blanks_hyphens_and_full_width_digits(
    eleven: str, separators: list[str], wide: bool
) -> None:
    number = eleven + str(check_digit(eleven))
    if wide:
        number = number.translate({ord("0") + n: ord("０") + n for n in range(10)})
    dressed = "".join(a + b for a, b in zip(separators, number, strict=False)) + separators[12]
    assert looks_like_individual_number(dressed)


@given(ELEVEN)
def test_only_the_whole_value_is_looked_at(eleven: str) -> None:
    number = eleven + str(check_digit(eleven))
    for longer in (f"{number}0", f"A{number}", f"{number}.", f"番号{number}", f"{number},{number}"):
        assert not looks_like_individual_number(longer)
    assert not looks_like_individual_number(number[:11])


@pytest.mark.parametrize(
    "value", ["", "common-ap", "2026-04-01", "123456789012345", "１２３", "①②③④⑤⑥⑦⑧⑨⓪①⑧x"]
)
def test_other_values_are_let_through_unchanged(value: str) -> None:
    assert refuse_individual_number("member", value) == value


@given(st.text(max_size=30))
def test_any_text_can_be_looked_at(value: str) -> None:
    assert looks_like_individual_number(value) in (True, False)


def test_the_refusal_names_the_field_says_why_and_never_the_value() -> None:
    with pytest.raises(IndividualNumberRefused) as error:
        refuse_individual_number("備考", "1234-5678-9018")
    said = str(error.value)
    assert error.value.field == "備考"
    assert "備考" in said
    assert "個人番号" in said
    assert "individual number" in said
    assert "9018" not in said
    assert error.value.message_id == "refused.individual-number"


def test_about_one_random_number_in_ten_is_refused_which_is_why_ours_are_not_looked_at() -> None:
    draw = random.Random(1)
    seen = sum(
        looks_like_individual_number(f"{draw.randrange(10**12):012d}") for _ in range(20_000)
    )
    assert 0.08 < seen / 20_000 < 0.12


def test_a_number_of_our_own_messages_may_look_like_one() -> None:
    # An uptime of 34 hours in µs has twelve digits; nobody looks at it.
    body = encode(
        Start(
            v=1, n=1, at_ms=0, mono_ms=123_456_789_018, clock=ClockState.UNKNOWN, boot="", agent=""
        )
    )
    assert b"123456789018" in body
