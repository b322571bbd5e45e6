"""Nothing of another programme comes back: every route of the office, called as everyone.

The routes are those that the application has, so a page that is added later is called too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web

from fleet import api_clients, store
from fleet.api_clients import Scope
from fleet.grants import Role
from fleet.web import office as office_process
from tests.web.conftest import Sites, serving
from tests.web.reach_kit import (
    NUMBER,
    OURS,
    A,
    B,
    Call,
    Secret,
    betrayed,
    calls_of,
    hide,
    kept,
    routes_of,
)
from tests.web.visitor import Answer, Visitor, visitor

OF_A = {
    "clerk": f"{A}:clerk",
    "approver": f"{A}:approver",
    "auditor": f"{A}:auditor",
    "admin": f"{A}:admin",
    "company": f"{A}:company:bus-1",
    "school": f"{A}:school:school-1",
}
REFUSED = {303, 401, 403, 404}
EVERYONES = {"/", "/security", "/second", "/held"}
"""Pages for everybody who is signed in: one's own, and where the day begins."""
OWN_DAYS = {"/own"}
"""For whoever's account is bound to a member: tests/web/test_own_pages.py."""
WISHES = {
    "programme": B,
    "search": "",
    "month": "2026-06",
    "from": "2026-05-30",
    "to": "2026-06-30",
    "show": "everything",
    "missing": "yes",
    "all": "yes",
}
FILES = ("csv", "xlsx", "csv-sjis")
FIELDS = {
    "programme": B,
    "registration_number": NUMBER,
    "number": NUMBER,
    "search": NUMBER,
    "why": "x",
    "sure": "yes",
    "right": f"{B}:clerk",
    "role": "clerk",
    "to_scheme": "staff-token",
    "from_scheme": "common-ap",
    "until": "2026-12-31",
}


@dataclass
class Office:
    """The office with B's secrets in it."""

    sites: Sites
    app: web.Application
    address: str
    secret: Secret

    def calls(self) -> list[Call]:
        return list(calls_of(self.app, self.secret))


@pytest.fixture
def office(sites: Sites) -> Iterator[Office]:
    secret = hide(sites.town)
    databases = sites.town.config.databases
    fleet = store.open_fleet(databases, Role.OFFICE)
    persons = store.open_persons(databases, Role.OFFICE)
    app = office_process.application(sites.town.config, fleet, persons, sites.town.clock)
    with serving(app) as (address,):
        yield Office(sites, app, address, secret)
    fleet.close()
    persons.close()


def changed_in(office: Office, before: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return B's rows that are not as they were, by table."""
    after = kept(office.sites.town)
    return {name: after[name] for name, rows in before.items() if after[name] != rows}


def sent_by(call: Call) -> str:
    """Return what the request itself holds: a form shows again what was typed."""
    return call.path + (str(FIELDS) if call.method == "POST" else "")


def asked(who: Visitor, call: Call, token: str) -> Iterator[Answer]:
    """Ask for it plainly, and with all that a person may wish for."""
    if call.path.endswith("/live"):
        yield who.peek(call.path)
    elif call.method == "GET":
        plain = who.get(call.path)
        yield plain
        yield who.get(f"{call.path}?{urlencode(WISHES)}")
        for kind in FILES if plain.status == 200 else ():
            yield who.get(f"{call.path}?{urlencode({**WISHES, 'format': kind, 'as': kind})}")
    else:
        for fields in ({}, FIELDS):
            data = urlencode({"csrf": token, **fields}).encode()
            yield who.send(call.path, data, call.method)
        yield who.send(call.path, _upload(token), call.method, **{"Content-Type": UPLOAD})


UPLOAD = "multipart/form-data; boundary=end-of-part"


def _upload(token: str) -> bytes:
    """A form with a file of members, as a browser hands it in."""
    head = 'Content-Disposition: form-data; name="{}"'
    parts = [f"{head.format('csrf')}\r\n\r\n{token}"]
    of_file = f'{head.format("file")}; filename="m.csv"\r\nContent-Type: text/csv'
    parts.append(f"{of_file}\r\n\r\n登録番号,氏名\r\nX-1,誰か")
    return "".join(f"--end-of-part\r\n{part}\r\n" for part in (*parts,)).encode() + (
        b"--end-of-part--\r\n"
    )


@pytest.mark.parametrize("role", OF_A)
def test_nobody_of_one_programme_gets_or_changes_anything_of_another(
    office: Office, role: str
) -> None:
    who = visitor(office.address, office.sites.town, "ami", OF_A[role])
    before, token = kept(office.sites.town), who.token()
    for call in office.calls():
        for answer in asked(who, call, token):
            assert betrayed(answer, sent_by(call)) == [], (role, call, answer.status)
            assert answer.status < 500, (role, call)
            if call.names_b:
                allowed = REFUSED | {400, 409} | ({422} if call.mixed else set())
                assert answer.status in allowed, (role, call, answer.status)
    assert changed_in(office, before) == {}


def test_nobody_without_a_right_or_a_sign_in_gets_in_anywhere(office: Office) -> None:
    guest = Visitor(office.address)
    idle = visitor(office.address, office.sites.town, "idle")
    before = kept(office.sites.town)
    for who in (guest, idle):
        token = who.token()
        for call in office.calls():
            first = "/" + call.path.split("/")[1]
            for answer in asked(who, call, token):
                assert betrayed(answer, sent_by(call)) == [], call
                if who is guest or first not in EVERYONES:
                    assert answer.status in REFUSED | {400}, (call, answer.status)
    assert changed_in(office, before) == {}


def test_a_clerk_of_the_other_programme_does_get_it(office: Office) -> None:
    """So the marks are found where they are shown: the tests above can fail."""
    who = visitor(office.address, office.sites.town, "bea", f"{B}:clerk", f"{B}:auditor")
    (member,) = office.secret.rows["member"]
    for path in ("/members", f"/members/{member}", "/looks", "/looks/export"):
        assert betrayed(who.get(f"{path}?{urlencode(WISHES)}")) != [], path


def test_every_page_says_who_may_open_it(office: Office) -> None:
    needs = office_process.SITE.needs
    assert needs is not None
    for _, route, _ in routes_of(office.app):
        if not route.startswith(OURS):
            assert "/" + route.split("/")[1] in needs, f"{route} is not in SITE.needs"
    open_to_all = {path for path, roles in needs.items() if not roles} - {"/logout"}
    assert open_to_all == EVERYONES | OWN_DAYS
    assert office_process.SITE.own in OWN_DAYS
    assert {"/" + page.path.split("/")[1] for page in office_process.SITE.pages} <= set(needs)


def test_a_client_of_one_programme_gets_nothing_of_another(office: Office) -> None:
    town = office.sites.town
    opened = town.fleet()
    with opened.write() as connection:
        token = api_clients.add(connection, "ami-system", A, list(Scope), "test", 1)
    opened.close()
    system, before, called = Visitor(office.address), kept(town), 0
    for method, route, _ in routes_of(office.app):
        if not route.startswith("/api/") or route.endswith("openapi.json"):
            continue
        path = route.replace("{number}", NUMBER).replace("{month}", "2026-06")
        path = path.replace("{webhook}", office.secret.rows["webhook"][0])
        for query in ("", f"?programme={B}&limit=100"):
            head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            body = b"{}" if method in ("PUT", "POST") else None
            answer = system.send(path + query, body, method, **head)
            assert betrayed(answer, path) == [], (method, path)
            if "{number}" in route or "{webhook}" in route:
                assert answer.status in (400, 404, 422), (method, path, answer.status)
            called += 1
            assert Visitor(office.address).send(path, body, method).status == 401
    assert called >= 20
    assert changed_in(office, before) == {}
    assert system.get("/members", Authorization=f"Bearer {token}").status == 303


def test_a_calendars_address_opens_one_calendar_and_nothing_else(office: Office) -> None:
    who = visitor(office.address, office.sites.town, "ami", OF_A["school"])
    made = who.post("/security/calendar/make", organisation="school-1")
    address = made.text.split('readonly value="')[1].split('"')[0]
    token = address.rpartition("/")[2].removesuffix(".ics")
    system, before = Visitor(office.address), kept(office.sites.town)
    for path in (f"/calendar/{token}.ics", f"/calendar/{token}.ics?{urlencode(WISHES)}"):
        answer = system.get(path)
        assert answer.status == 200
        assert betrayed(answer) == []
        assert "Set-Cookie" not in answer.headers
    for call in office.calls():
        if call.method == "GET":
            path = f"{call.path}?{urlencode({'token': token})}"
            answer = system.get(path, Authorization=f"Bearer {token}")
            assert answer.status in REFUSED | {400}, call
    for path in ("/calendar/", f"/calendar/{token}", f"/calendar/{token}.ics/members"):
        assert system.get(path).status == 404
    assert changed_in(office, before) == {}
