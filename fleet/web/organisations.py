"""What transport companies and schools are called, in the language of the page."""

from collections.abc import Mapping

from aiohttp import web

from fleet.registry import load_organisations
from fleet.web.data import FLEET, read
from fleet.web.words import language_of


async def company_names(request: web.Request) -> dict[str, str]:
    """Return the names of the organisations that have one, by what the registry knows them by."""
    english = language_of(request) == "en"
    found = await read(request.app[FLEET], load_organisations)
    return {one.name: (one.label_en if english else "") or one.label_ja for one in found}


def whole_name(code: str, names: Mapping[str, str]) -> str:
    """Return name and code in one line, for files; the code alone where there is no name."""
    return f"{names[code]}（{code}）" if code in names else code
