"""What is said to people: every sentence once, in `locale/`, Japanese first and English beside it.

A message id is stable and language-free (`refused.unknown`); the catalogues are gettext files
whose msgid is that id. Nothing is put together from pieces: a sentence names its arguments.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from babel.messages.pofile import read_po

Language = Literal["ja", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("ja", "en")


class NoSuchText(KeyError):
    """The catalogue of this language has no such message id."""


def _catalogue_file(language: Language) -> Path:
    """Beside the packages in a checkout, inside this package when installed."""
    here = Path(__file__).parent
    for folder in (here.parent / "locale", here / "locale"):
        if (path := folder / f"{language}.po").exists():
            return path
    raise FileNotFoundError(f"the catalogue locale/{language}.po is missing: install again")


class ArgumentMissing(KeyError):
    """The sentence names something that was not given."""


@functools.cache
def catalogue(language: Language) -> Mapping[str, str]:
    """Return all sentences of a language by message id."""
    with _catalogue_file(language).open("rb") as file:
        entries = read_po(file, locale=language)
    return {str(entry.id): str(entry.string) for entry in entries if entry.id and entry.string}


def say(message: str, language: Language = "ja", **arguments: str | int) -> str:
    """Return one sentence, with its arguments written in. Raises NoSuchText, ArgumentMissing."""
    try:
        sentence = catalogue(language)[message]
    except KeyError:
        raise NoSuchText(f"{message!r} is not in locale/{language}.po") from None
    try:
        return sentence.format_map(arguments)
    except KeyError as error:
        raise ArgumentMissing(f"{message!r} in {language} names {error}: give it") from None
