"""The programmes that exist, by name. A new one is a new module and one line here."""

from typing import Final

from programmes import attendance, senior_pass, taxi
from programmes.rulebook import Rulebook

RULEBOOKS: Final[dict[str, Rulebook]] = {
    rulebook.name: rulebook
    for rulebook in (senior_pass.RULEBOOK, taxi.RULEBOOK, attendance.RULEBOOK)
}


class UnknownProgramme(ValueError):
    """No rulebook has this name: this program is older than the roster, or the name is wrong."""


def rulebook(name: str) -> Rulebook:
    """Return the rulebook of a programme. Raises UnknownProgramme."""
    try:
        return RULEBOOKS[name]
    except KeyError:
        known = ", ".join(sorted(RULEBOOKS))
        raise UnknownProgramme(f"no programme is called {name!r}; there are: {known}") from None
