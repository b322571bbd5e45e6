"""Reads a reader's whole journal again and says what is there and what is missing.

Rules: nothing is changed · a number between two readable entries that cannot be read is missing ·
so is the end of a journal when the next one names a later last number · an entry whose former hash
is not the hash of the entry before was changed by somebody, and is called so.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from edge.journal import Follower, JournalFile, Kept, journals
from wire.entries import Former, JournalId, Start


class Found(NamedTuple):
    """One readable entry in its place."""

    journal: JournalId
    kept: Kept

    def as_dict(self) -> dict[str, Any]:
        """Return it for people and programs: `hash` is the tip after the entry, in hex."""
        return {
            "journal": self.journal,
            "n": self.kept.n,
            "hash": self.kept.tip.hex(),
            "body": msgspec.json.decode(self.kept.body),
        }


class Missing(NamedTuple):
    """Numbers `first` to `last` of a journal, which cannot be trusted or read."""

    journal: JournalId
    first: int
    last: int
    why: str

    def as_dict(self) -> dict[str, Any]:
        """Return it for people and programs."""
        return {"journal": self.journal, "missing": [self.first, self.last], "why": self.why}


def verify(folder: Path, reader: str) -> Iterator[Found | Missing]:
    """Yield everything, oldest journal first. Raises OSError."""
    files = journals(folder)
    ends = dict(_ends(files, reader))
    for file in files:
        last: Kept | None = None
        with Follower(file, reader) as follower:
            for kept in follower:
                yield from _before(file.journal, last, kept)
                yield Found(file.journal, kept)
                last = kept
        yield from _end(file.journal, last, ends.get(file.journal))


def _ends(files: list[JournalFile], reader: str) -> Iterator[tuple[str, Former]]:
    """Yield what the first entry of each journal says of the one before."""
    for file in files:
        with Follower(file, reader) as follower:
            for kept in itertools.islice(follower, 1):
                if isinstance(kept.entry, Start) and kept.entry.former:
                    yield kept.entry.former.journal, kept.entry.former


def _before(journal: JournalId, last: Kept | None, kept: Kept) -> Iterator[Missing]:
    expected = last.n + 1 if last else 1
    if kept.n > expected:
        yield Missing(journal, expected, kept.n - 1, "damaged: no readable entry")
    elif kept.contradicts:
        yield Missing(journal, kept.n, kept.n, "changed: it does not follow from the entry before")


def _end(journal: JournalId, last: Kept | None, end: Former | None) -> Iterator[Missing]:
    n = last.n if last else 0
    if end and end.n > n:
        yield Missing(journal, n + 1, end.n, "damaged: the next journal knows of these")
    elif end and last and end.n == n and end.tip != last.tip:
        yield Missing(journal, n, n, "changed: the next journal names another tip")
