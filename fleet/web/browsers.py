"""Which browser somebody uses, in a word that he recognises his own by: «Firefox · Windows»."""

from typing import Final

from aiohttp import web

_BROWSERS: Final = (
    ("Edg/", "Edge"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
"""By what stands in User-Agent, in this order: each names those after it too."""
_SYSTEMS: Final = (
    ("Windows", "Windows"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


def agent_of(request: web.Request) -> str:
    """Return which browser this is; empty when it does not say."""
    said = request.headers.get("User-Agent", "")
    names = (
        next((name for word, name in kind if word in said), "") for kind in (_BROWSERS, _SYSTEMS)
    )
    return " · ".join(name for name in names if name)
