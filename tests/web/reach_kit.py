"""Programme B's people and things, by which it is seen whether somebody of A gets anything of it.

A is `attendance`, B is `senior-pass`. Every text of B carries a mark that stands nowhere else.
"""

import datetime
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from aiohttp import web

from fleet import accounts, members, schema
from fleet.accounts import AccountRole
from fleet.rights import parse
from tests.web.town import NOW_MS, PASSWORD, Town
from tests.web.visitor import Answer

A: Final = "attendance"
B: Final = "senior-pass"
OF_A: Final = "1"
"""A member of A (tests.web.town)."""
NUMBER: Final = "SECRET-B-1"
NAME: Final = "別府 ひみつ"
WHY: Final = "himitsu"
CLERK: Final = "geheim-clerk"
CLIENT: Final = "geheim-client"
MARKS: Final = ("ひみつ", "ヒミツ", WHY, NUMBER, CLERK, CLIENT)
"""What nobody of A may ever be sent: names, kana, reasons, numbers, accounts."""
OURS: Final = ("/api/", "/calendar/", "/login", "/logout", "/oidc", "/healthz", "/static")
"""What has no programme, or a test of its own."""
DAY: Final = datetime.date(2026, 6, 1)
_PARAMETER: Final = re.compile(r"\{(\w+)(?::([^{}]*(?:\{[^{}]*\}[^{}]*)*))?\}")


@dataclass
class Secret:
    """The numbers of B's rows, by the name of the parameter that takes them."""

    rows: dict[str, list[str]] = field(default_factory=dict)

    def add(self, parameter: str, value: object) -> int:
        self.rows.setdefault(parameter, []).append(str(value))
        return int(value) if isinstance(value, int) else 0


def _row(connection: sa.Connection, table: sa.Table, **values: Any) -> Any:
    """Add a row; what it must have beside these values is filled in, marked where it is text."""
    for column in table.columns:
        given = column.name in values or column.nullable or column.server_default is not None
        if not given and not column.primary_key:
            values[column.name] = _FILLED.get(type(column.type), NOW_MS)
    added = connection.execute(table.insert().values(**values))
    assert added.inserted_primary_key is not None
    return added.inserted_primary_key[0]


_FILLED: Final[dict[type, Any]] = {
    sa.Text: WHY,
    sa.JSON: [],
    sa.LargeBinary: b"b",
    sa.Date: DAY,
    sa.Boolean: False,
}


def hide(town: Town) -> Secret:
    """Put people and things of B into the town."""
    secret = Secret()
    opened = town.persons()
    with opened.write() as connection:
        _hide_persons(connection, secret)
    opened.close()
    opened = town.fleet()
    with opened.write() as connection:
        _hide_fleet(connection, secret)
    opened.close()
    secret.add("programme", B)
    secret.add("scheme", "common-ap")
    secret.add("number", NUMBER)
    secret.add("month", "2026-06")
    secret.add("day", "2026-06-01")
    for name in ("entry", "asked", "correction", "browser"):
        secret.add(name, 1)
    return secret


def _hide_persons(connection: sa.Connection, secret: Secret) -> None:
    new = members.NewMember(NUMBER, NAME, "ベップ ヒミツ", category=WHY)
    members.enrol(connection, B, new, "test", NOW_MS)
    of_b = sa.select(schema.member.c.id).where(schema.member.c.registration_number == NUMBER)
    member_id = secret.add("member", connection.execute(of_b).scalar_one())
    card = {"programme": B, "scheme": "common-ap", "key_epoch": 1}
    assigned = {"assigned_at_ms": NOW_MS, "assigned_by": WHY, "stopped_why": WHY}
    held = _row(
        connection, schema.card, member_id=member_id, credential="b1" * 16, **card, **assigned
    )
    secret.add("card", held)
    seen = {"reader": "kazasu-shi/bus-1", "place": "bus-1", "journal": "cd" * 16, "n": 7}
    times = {"at_ms": NOW_MS, "received_at_ms": NOW_MS}
    secret.add(
        "card", _row(connection, schema.triage, credential="b2" * 16, **card, **seen, **times)
    )
    event = {"member_id": member_id, "at_ms": NOW_MS, "who": WHY, "kind": "member.stopped"}
    changed: list[Any] = [["person", 1, "name", NAME, NAME]]
    secret.add("event", _row(connection, schema.member_event, changed=changed, why=WHY, **event))
    consent = {"member_id": member_id, "programme": B, "kind": "given", "at_ms": NOW_MS}
    _row(connection, schema.consent, who=WHY, why=WHY, **consent)
    job = {"programme": B, "file_name": f"{WHY}.csv", "state": "looked", "begun_at_ms": NOW_MS}
    body = f"氏名\n{NAME}".encode()
    secret.add("job", _row(connection, schema.import_job, who=WHY, body=body, **job))
    hook = {"programme": B, "url": f"https://{WHY}.example/", "added_at_ms": NOW_MS}
    secret.add("webhook", _row(connection, schema.webhook, secret=b"s", added_by=WHY, **hook))
    wait = {"id": "b" * 32, "reader": "kazasu-shi/desk-1", "programme": B, "purpose": "find"}
    until = {"state": "waiting", "begun_at_ms": NOW_MS, "ends_at_ms": NOW_MS + 60_000, "found": []}
    _row(connection, schema.desk_wait, account=WHY, **wait, **until)
    secret.add("wait", wait["id"])


def _hide_fleet(connection: sa.Connection, secret: Secret) -> None:
    proposal = {"programme": B, "version": WHY, "valid_from": DAY, "parameters": {}, "base": ""}
    waiting = {"why": WHY, "state": "waiting", "proposed_at_ms": NOW_MS, "proposed_by": WHY}
    secret.add("proposal", _row(connection, schema.rule_proposal, **proposal, **waiting))
    claimed = {"programme": B, "organisation": WHY, "month": "2026-05", "state": "made"}
    secret.add("claim", _row(connection, schema.claim, made_by=CLERK, **claimed))
    rule = {"programme": B, "version": f"{WHY}-1", "valid_from": DAY, "parameters": {}, "why": WHY}
    _row(connection, schema.rule, added_at_ms=NOW_MS, **rule)
    budget = {"programme": B, "fiscal_year": 2026, "yen": 424_242, "at_ms": NOW_MS}
    _row(connection, schema.budget, who=WHY, why=WHY, **budget)
    client = {"programme": B, "scopes": [], "added_at_ms": NOW_MS, "added_by": WHY}
    named = {"name": CLIENT, "token_sha256": b"t" * 32}
    _row(connection, schema.api_client, **named, **client)
    secret.add("name", named["name"])
    may = [parse(f"{B}:clerk")]
    accounts.add(connection, CLERK, AccountRole.CLERK, PASSWORD, "test", 1, may)
    secret.add("name", CLERK)
    factor = {"account": CLERK, "kind": "totp", "label": WHY, "secret": b"s"}
    times = {"added_at_ms": NOW_MS, "confirmed_at_ms": NOW_MS}
    secret.add("factor", _row(connection, schema.second_factor, **factor, **times))
    ride = {"kind": "ride", "programme": B, "organisation": "bus-1", "place": WHY, "ticket": WHY}
    secret.add("ride", _row(connection, schema.ride, driver=WHY, who=WHY, why=WHY, **ride))
    secret.add("vehicle", "bus-1")
    secret.add("lost", 1)


def kept(town: Town) -> dict[str, list[Any]]:
    """Return all of B's rows: nobody of A may change one."""
    persons = ("member", "card", "triage", "consent", "import_job", "webhook", "desk_wait")
    found = {
        name: town.ask(table.select().where(table.c.programme == B), persons=True)
        for name, table in schema.persons.tables.items()
        if name in (*persons, "consent_basis", "scheme_statement", "campaign")
    }
    found["person"] = town.ask(
        schema.person.select().where(schema.person.c.name == NAME), persons=True
    )
    for name in ("rule", "rule_proposal", "budget", "api_client", "account_right", "ride", "claim"):
        table = schema.fleet.tables[name]
        found[name] = town.ask(table.select().where(table.c.programme == B))
    clerk = schema.account.c.name == CLERK
    found["account"] = town.ask(schema.account.select().where(clerk))
    factors = schema.second_factor.select().where(schema.second_factor.c.account == CLERK)
    found["second_factor"] = town.ask(factors)
    return found


@dataclass(frozen=True)
class Call:
    """One request that a route takes, with B's numbers in its address."""

    method: str
    route: str
    path: str
    mixed: bool = False
    """One of A's members, with something of B behind it."""

    @property
    def names_b(self) -> bool:
        return "{" in self.route


def routes_of(app: web.Application) -> list[tuple[str, str, str]]:
    """Return method, canonical address and pattern of every route of an application."""
    found = []
    for route in app.router.routes():
        resource = route.resource
        assert resource is not None
        info = resource.get_info()
        pattern = str(info.get("formatter") or info.get("path") or resource.canonical)
        if route.method != "HEAD":
            found.append((route.method, resource.canonical, str(info.get("pattern", pattern))))
    return found


def calls_of(app: web.Application, secret: Secret) -> Iterator[Call]:
    """Yield every request of every route, for each of B's rows that its parameters can mean.

    Raises KeyError for a parameter that `hide` has no row for: say there what of B it is.
    """
    for method, route, pattern in routes_of(app):
        if not route.startswith(OURS):
            for path in _paths(route, pattern, secret):
                yield Call(method, route, path)
            if route.count("{") > 1 and "{member}" in route:
                for path in _paths(route.replace("{member}", OF_A), pattern, secret):
                    yield Call(method, route, path, mixed=True)


def _paths(route: str, pattern: str, secret: Secret) -> list[str]:
    paths = [route]
    for name, _ in _PARAMETER.findall(route):
        values = secret.rows.get(name) or _alternatives(pattern, name)
        paths = [path.replace(f"{{{name}}}", value) for path in paths for value in values]
    return paths


def _alternatives(pattern: str, name: str) -> list[str]:
    """Return the words that a parameter may be, such as those of {way:stop|unstop}."""
    found = re.search(rf"\(\?P<{name}>([\w|-]+)\)", pattern)
    if found is None:
        raise KeyError(f"{name} in {pattern}: no row of B stands for it (reach_kit.hide)")
    return found[1].split("|")


def betrayed(answer: Answer, sent: str = "") -> list[str]:
    """Return the marks that an answer holds and that did not stand in what was sent."""
    text = b"\n".join((_unpacked(answer.body), answer.location.encode()))
    return [mark for mark in MARKS if mark not in sent and mark.encode() in text]


def _unpacked(body: bytes) -> bytes:
    """Return what stands in a workbook (a zip), or the body as it is, also when Shift_JIS."""
    if body.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(body)) as book:
            return b"\n".join(book.read(name) for name in book.namelist())
    return body + b"\n" + body.decode("cp932", "ignore").encode()
