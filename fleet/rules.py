"""The dated rule tables of each programme, as a clerk sets them.

A table comes from the office, where a second person has approved it (fleet.proposals), or by the
owner's hand from a file (TOML or JSON) with `version`, `valid_from` and `parameters`. It is checked
by the programme's own module; a version that stands is never changed, since decisions name it: a
correction is a new version.
"""

import datetime
import json
import tomllib
from pathlib import Path
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, registry
from fleet.schema import rule
from programmes.register import UnknownProgramme, rulebook
from programmes.rulebook import RuleTableRefused, check_table
from wire.roster import RuleTable

FILE_BYTES_MAX: Final = 64 * 1024
"""A table of a few dozen parameters; rosters carry all tables in a header of 256 kB."""
_KEYS: Final = frozenset({"version", "valid_from", "parameters"})


class RulesRefused(ValueError):
    """This table cannot be used; nothing was changed. The sentence says what to correct."""


def read_table(programme: str, path: Path) -> RuleTable:
    """Return the checked table in a file. Raises RulesRefused."""
    try:
        book = rulebook(programme)
        data = _read(path)
        if set(data) != _KEYS:
            raise RulesRefused(f"{path}: a table has exactly the keys {', '.join(sorted(_KEYS))}")
        day = data["valid_from"]
        text = day.isoformat() if isinstance(day, datetime.date) else str(day)
        parameters = json.loads(json.dumps(data["parameters"], default=_plain))
        return check_table(book, str(data["version"]), text, parameters)
    except (
        OSError,
        ValueError,
        RecursionError,
        UnknownProgramme,
        RuleTableRefused,
    ) as error:
        raise error if isinstance(error, RulesRefused) else RulesRefused(f"{error}") from error


def _read(path: Path) -> dict[str, Any]:
    if path.stat().st_size > FILE_BYTES_MAX:
        raise RulesRefused(f"{path} is larger than {FILE_BYTES_MAX} bytes")
    text = path.read_text("utf-8-sig")
    data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    if not isinstance(data, dict):
        raise RulesRefused(f"{path}: a table is an object with named keys")
    return data


def _plain(value: object) -> str:
    """Write TOML's own dates and times as the text that travels in a roster."""
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    raise RulesRefused(f"{value!r} cannot stand in a rule table")


def add(
    connection: sa.Connection,
    programme: str,
    table: RuleTable,
    who: str,
    at_ms: int,
    *,
    approved_by: str = "",
    why: str = "",
) -> bool:
    """Add one table; False when exactly this one stands already. Raises RulesRefused.

    `approved_by`: the second person (fleet.proposals); empty for the owner at the command line.
    """
    for known in load(connection, programme):
        if known == table:
            return False
        if known.version == table.version:
            raise RulesRefused(
                f"{table.version} stands already with other contents: decisions name it, "
                f"so give the corrected table a new version"
            )
    connection.execute(
        rule.insert(),
        {
            "programme": programme,
            "version": table.version,
            "valid_from": table.valid_from,
            "parameters": table.parameters,
            "added_at_ms": at_ms,
            "added_by": who,
            "approved_by": approved_by,
            "why": why,
        },
    )
    registry.bump(connection, "rules")
    audit.note(connection, at_ms, who, "rules.added", table.version, programme)
    return True


class Added(NamedTuple):
    """A table that stands, and who added it."""

    table: RuleTable
    at_ms: int
    by: str
    approved_by: str
    """The second person; empty for a table from the command line."""
    why: str


def history(connection: sa.Connection, programme: str) -> list[Added]:
    """Return a programme's tables, the one that begins last first."""
    rows = connection.execute(
        sa.select(rule)
        .where(rule.c.programme == programme)
        .order_by(rule.c.valid_from.desc(), rule.c.version.desc())
    )
    return [
        Added(
            RuleTable(row.version, row.valid_from, row.parameters),
            row.added_at_ms,
            row.added_by,
            row.approved_by,
            row.why,
        )
        for row in rows
    ]


def load(connection: sa.Connection, programme: str) -> list[RuleTable]:
    """Return a programme's tables, in the order in which they come into force."""
    rows = connection.execute(
        sa.select(rule)
        .where(rule.c.programme == programme)
        .order_by(rule.c.valid_from, rule.c.version)
    )
    return [
        RuleTable(version=row.version, valid_from=row.valid_from, parameters=row.parameters)
        for row in rows
    ]
