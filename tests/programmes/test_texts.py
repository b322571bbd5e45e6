"""Every sentence exists in both languages, names the same things, and fits where it is shown."""

import string
import unicodedata

import pytest

from programmes.register import RULEBOOKS
from programmes.texts import LANGUAGES, ArgumentMissing, NoSuchText, catalogue, say
from wire.codes import Code

SCREEN_CELLS_MAX = 100
"""A small reader's screen is 800 px wide and the text 32 px high: 25 full-width characters or 50
cells a line, and a sentence takes at most two lines."""
AT_THE_READER = ("idle.", "refused.", "press.", "desk.", *(f"{name}." for name in RULEBOOKS))


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


def cells(sentence: str) -> int:
    return sum(2 if unicodedata.east_asian_width(one) in "WFA" else 1 for one in sentence)


def test_both_catalogues_have_the_same_sentences() -> None:
    assert set(catalogue("ja")) == set(catalogue("en"))


def test_a_sentence_names_the_same_things_in_both_languages() -> None:
    for message, sentence in catalogue("ja").items():
        assert placeholders(sentence) == placeholders(say_raw(message)), message


def say_raw(message: str) -> str:
    return catalogue("en")[message]


@pytest.mark.parametrize(
    "code", [code for code in Code if code not in (Code.OK, Code.REPEAT, Code.DESK)]
)
def test_every_refusal_has_its_sentence(code: Code) -> None:
    for language in LANGUAGES:
        assert say(f"refused.{code}", language)


def test_every_decision_of_the_examples_has_its_sentence() -> None:
    for book in RULEBOOKS.values():
        for example in book.examples:
            made = book.decide(example.facts)
            for language in LANGUAGES:
                sentence = say(made.shown, language, **made.arguments)
                assert "{" not in sentence
                assert placeholders(catalogue(language)[made.shown]) == set(made.arguments)


def test_what_is_shown_at_a_reader_fits_its_screen() -> None:
    for language in LANGUAGES:
        for message, sentence in catalogue(language).items():
            if message.startswith(AT_THE_READER):
                assert cells(sentence) <= SCREEN_CELLS_MAX, message
                assert "\n" not in sentence, message


def test_a_stop_listed_card_is_not_told_why() -> None:
    assert say("refused.stop-listed", "ja") == "使えません。係へ"


def test_japanese_sentences_are_japanese_and_english_ones_are_not() -> None:
    def japanese(sentence: str) -> bool:
        return any(unicodedata.east_asian_width(one) == "W" for one in sentence)

    for message in catalogue("ja"):
        if message.startswith(AT_THE_READER):
            assert japanese(catalogue("ja")[message]), message
            assert not japanese(catalogue("en")[message]), message


def test_a_sentence_that_is_not_there_is_an_error() -> None:
    with pytest.raises(NoSuchText, match="no-such"):
        say("no-such")


@pytest.mark.parametrize("arguments", [{}, {"times": "07:42"}])
def test_a_sentence_is_never_said_with_a_hole_in_it(arguments: dict[str, str]) -> None:
    with pytest.raises(ArgumentMissing, match="time"):
        say("attendance.in", "ja", **arguments)
