"""The golden months as one page of tables, Japanese first, for a teacher to check."""

from collections.abc import Iterable, Iterator
from typing import Final

from programmes.texts import LANGUAGES, Language, say
from programmes.work_months import EXAMPLES, Example

_COLUMNS: Final = ("story", "working", "worked", "outside", "missing")


def page() -> str:
    """Return docs/school-months.md."""
    return "\n".join(line for language in LANGUAGES for line in _section(language))


def _section(language: Language) -> Iterator[str]:
    level = "#" if language == LANGUAGES[0] else "##"
    yield f"{level} {say('work.month.title', language)}"
    yield ""
    yield say("work.month.help", language)
    yield ""
    yield _row(("", *(say(f"work.month.column.{name}", language) for name in _COLUMNS)))
    yield _row(("---:", "---", "---", "---:", "---:", "---"))
    for number, example in enumerate(EXAMPLES, 1):
        yield _row((str(number), *_cells(example, language)))
    yield ""


def _cells(example: Example, language: Language) -> tuple[str, ...]:
    story = f"work.month.{example.story}"
    missing = ", ".join(f"{example.month.month}/{day}" for day in example.missing)
    words = say(story, language), say(f"{story}.working", language)
    return (*words, example.worked, example.outside, missing)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
