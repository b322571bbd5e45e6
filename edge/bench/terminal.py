"""How the bench speaks, in the language of $LANG, and how it opens the front end that is named."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge.config import CardAp, read_config
from edge.frontends import FrontEnd, FrontEndFault
from edge.frontends.opening import open_front_end
from edge.schemes import register
from edge.schemes.allowlist import CardScheme
from programmes.texts import Language, say

FELICA_SYSTEM: Final = "0003"
FAULT: Final = 1
REFUSED: Final = 2
INTERRUPTED: Final = 130
"""Exit statuses: a reader or card that does not work; something that cannot be asked for; Ctrl-C,
as shells say it."""


def language() -> Language:
    """Return English where the locale says so; Japanese otherwise."""
    spoken = os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
    return "en" if spoken.startswith("en") else "ja"


def text(message: str, **arguments: str | int) -> str:
    """Return one sentence of the bench; `message` is its id without `bench.`."""
    return say(f"bench.{message}", language(), **arguments)


def bear_any_terminal() -> None:
    """Write `?` for what the locale's character set lacks, such as ✓ in EUC-JP."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def complain(message: str, **arguments: str | int) -> None:
    """Write one sentence to the standard error."""
    sys.stderr.write(text(message, **arguments) + "\n")


def tell(line: str = "") -> None:
    """Write a line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def named(name: str) -> tuple[str, str, CardAp | None]:
    """Return path, FeliCa system and card application of what was named. Raises ConfigRefused."""
    if not name.endswith(".toml"):
        return name, FELICA_SYSTEM, None
    config = read_config(Path(name))
    return config.front_end, config.felica_system, config.card_ap


@contextlib.contextmanager
def opened(name: str) -> Iterator[tuple[FrontEnd, list[CardScheme]]]:
    """Open what was named, with the schemes that it reads; complain and exit when that fails."""
    try:
        path, felica_system, card_ap = named(name)
        schemes = list(register(card_ap).values())
        front_end = open_front_end(path, felica_system)
    except (ValueError, FrontEndFault) as error:  # what is refused, and a closed application
        complain("fault", error=str(error))
        raise SystemExit(REFUSED) from error
    try:
        yield front_end, schemes
    except FrontEndFault as error:
        complain("fault", error=str(error))
        raise SystemExit(FAULT) from error
    finally:
        front_end.close()
