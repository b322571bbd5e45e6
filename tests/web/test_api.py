"""The HTTP API for other systems: what it promises, and its own document against it."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fleet import api_clients, consent, openapi, schema
from fleet.api_clients import Scope
from fleet.schema import person_audit, webhook_delivery
from fleet.web import api
from fleet.web.api_base import BASE, CODES
from fleet.web.pages import CLOCK
from programmes.texts import LANGUAGES, say
from tests.real_postgres import Postgres
from tests.web.conftest import Sites, open_sites
from tests.web.town import CONSENT, DAY, NOW_MS, PASSWORD, StoppedClock, Town, build_town, town_in

NUMBER = "123456789018"
"""Twelve digits with a right check digit, as in the government's own examples."""
NOWHERE = "https://192.0.2.1/kazasu"
"""Never routed (RFC 5737)."""
ROOT = Path(__file__).parents[2]
DOCUMENT = openapi.document(api.OPERATIONS)


@dataclass
class Api:
    """One client of the API, and the town behind it."""

    town: Town
    site: str
    token: str = ""
    http: requests.Session = field(default_factory=requests.Session)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.request(
            method, f"{self.site}{BASE}{path}", json=body, headers=sent, timeout=10
        )

    def seen(self) -> list[tuple[str, str, str]]:
        """Return what the audit of persons has of other systems."""
        rows = self.town.ask(person_audit.select(), persons=True)
        return [(row.what, row.subject, row.detail) for row in rows if row.who.startswith("api:")]


def client(town: Town, name: str, *scopes: Scope, programme: str = "attendance") -> str:
    opened = town.fleet()
    with opened.write() as connection:
        token = api_clients.add(connection, name, programme, scopes or list(Scope), "umi", NOW_MS)
    opened.close()
    return token


@pytest.fixture
def sites(towns: Path, tmp_path: Path) -> Iterator[Sites]:
    shutil.copytree(towns / "whole", tmp_path / "state")
    with open_sites(town_in(tmp_path / "state")) as opened:
        yield opened


@pytest.fixture
def library(sites: Sites) -> Iterator[Api]:
    """A client of the attendance programme with every scope."""
    made = Api(sites.town, sites.office, client(sites.town, "library-1"))
    made.http.trust_env = False
    yield made
    made.http.close()


NEW = {
    "name": "渡辺　舞",
    "kana": "わたなべ まい",
    "birth_date": "1990-04-01",
    "category": "teacher",
    "valid_from": "2026-06-03",
    "consent": {"medium": "paper"},
    "is_resident": True,
}


# --- who is let in -------------------------------------------------------------------------------


def test_nobody_is_told_anything_without_a_token_in_use(library: Api) -> None:
    ended = client(library.town, "ended-1")
    opened = library.town.fleet()
    with opened.write() as connection:
        api_clients.end(connection, "ended-1", "umi", NOW_MS)
    opened.close()
    for token in ("", "kzs_", "x" * 200, "日本", ended, library.token[:-1]):
        for path in ("/members", "/members/T-001", "/nothing", ""):
            sent = {"Authorization": f"Bearer {token}".encode()} if token else {}
            answer = library.http.get(f"{library.site}{BASE}{path}", headers=sent, timeout=10)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
            assert "T-001" not in answer.text
    assert library.seen() == []


def test_a_session_of_a_browser_opens_no_api_and_a_token_opens_no_page(library: Api) -> None:
    http, login = library.http, f"{library.site}/login"
    token = re.search(r'name="csrf" value="([^"]+)"', http.get(login, timeout=10).text)
    assert token
    form = {"account": "hana", "password": PASSWORD, "csrf": token[1]}
    assert http.post(login, data=form, timeout=10).url == f"{library.site}/"
    answer = http.get(f"{library.site}{BASE}/members", timeout=10)
    assert answer.status_code == 401
    http.cookies.clear()
    bearer = {"Authorization": f"Bearer {library.token}"}
    for path in ("/", "/members", "/members/1", "/schemes", "/links"):
        page = http.get(f"{library.site}{path}", headers=bearer, timeout=10, allow_redirects=False)
        assert (page.status_code, page.headers["Location"][:6]) == (303, "/login")


def test_the_api_reads_and_sets_no_cookie(library: Api) -> None:
    answer = library("GET", "/members/T-001?lang=en", Cookie="kazasu_office=x; kazasu_language=en")
    assert answer.status_code == 422
    answer = library("GET", "/members/T-001", Cookie="kazasu_office=x")
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("operation", api.OPERATIONS, ids=lambda one: one.name)
def test_a_scope_opens_what_it_names_and_nothing_else(sites: Sites, operation: Any) -> None:
    others = [scope for scope in Scope if scope is not operation.scope]
    asked = Api(sites.town, sites.office, client(sites.town, "other-1", *others))
    path = (
        operation.path.format_map({"number": "T-001", "month": "2026-06", "webhook": "1"})
        if "{" in operation.path
        else operation.path
    )
    answer = asked(operation.method, path, {})
    assert (answer.status_code, answer.json()["code"]) == (403, "scope")
    assert answer.json()["field"] == operation.scope.value
    asked.http.close()


def test_a_client_of_one_programme_finds_nothing_of_another(sites: Sites) -> None:
    bus = Api(sites.town, sites.office, client(sites.town, "bus-1", programme="senior-pass"))
    assert bus("GET", "/members").json() == {"members": [], "next": None}
    for path in ("", "/cards", "/uses", "/consent"):
        answer = bus("GET", f"/members/T-001{path}")
        assert answer.status_code == 404
        assert "佐藤" not in answer.text
    assert (
        bus("PUT", "/members/T-001/end", {"kind": "other", "last_day": "2026-06-30"}).status_code
        == 404
    )
    assert bus.seen() == []
    bus.http.close()


def test_who_asks_too_often_is_told_when_to_ask_again(library: Api) -> None:
    answers = [library("GET", "/webhooks").status_code for _ in range(api.REQUESTS_BURST + 1)]
    assert set(answers[:-1]) == {200}
    assert answers[-1] == 429
    refused = library("GET", "/webhooks")
    assert (refused.json()["code"], refused.headers["Retry-After"]) == ("too-many", "1")
    other = Api(library.town, library.site, client(library.town, "other-1"))
    assert other("GET", "/webhooks").status_code == 200
    library.town.clock.at_ns += 1_000_000_000
    other.http.close()


# --- members -------------------------------------------------------------------------------------


def test_members_are_listed_by_number_page_by_page_and_the_looks_are_on_record(
    library: Api,
) -> None:
    first = library("GET", "/members?limit=3").json()
    assert [one["registration_number"] for one in first["members"]] == ["T-001", "T-002", "T-003"]
    rest = library("GET", f"/members?limit=3&after={first['next']}").json()
    assert [one["name"] for one in rest["members"]] == ["田中 健一"]
    assert rest["next"] is None
    assert library.seen() == [
        ("members.listed", "attendance", "T-001 T-002 T-003"),
        ("members.listed", "attendance", "T-004"),
    ]


def test_no_answer_holds_a_credential(library: Api) -> None:
    credentials = [row.credential for row in library.town.ask(schema.card.select(), persons=True)]
    cards = library("GET", "/members/T-001/cards").json()["cards"]
    assert [(one["scheme"], one["is_usable"]) for one in cards] == [("common-ap", True)]
    told = "".join(
        library("GET", path).text
        for path in ("/members", "/members/T-001/cards", "/members/T-001/uses", "/openapi.json")
    )
    assert not any(one in told for one in credentials)


def test_a_member_is_enrolled_once_with_consent_through_the_pages_own_functions(
    library: Api,
) -> None:
    library("POST", "/webhooks", {"url": NOWHERE})
    enrolled = library("PUT", "/members/T-100", NEW)
    assert (enrolled.status_code, enrolled.json()["name"]) == (201, "渡辺 舞")
    assert enrolled.json()["kana"] == "ワタナベ マイ"
    again = library("PUT", "/members/T-100", NEW)
    assert (again.status_code, again.json()) == (200, enrolled.json())
    assert again.headers["ETag"] == enrolled.headers["ETag"]
    given = library("GET", "/members/T-100/consent").json()
    assert (given["state"], given["medium"], given["article"]) == (
        "given",
        "paper",
        CONSENT.article,
    )
    (told,) = library.town.ask(webhook_delivery.select(), persons=True)
    assert json.loads(told.body)["data"]["registration_number"] == "T-100"
    assert ("member.enrolled", "attendance T-100", "") in library.seen()


@pytest.mark.parametrize(
    ("change", "status", "code", "where"),
    [
        ({"consent": None}, 409, "refused", "consent"),
        ({"name": ""}, 422, "invalid", "name"),
        ({"name": NUMBER}, 422, "individual-number", "name"),
        ({"category": "１２３４−５６７８−９０１８"}, 422, "individual-number", "category"),
        ({NUMBER: "x"}, 422, "individual-number", ""),
        ({"extra": 1}, 422, "invalid", "extra"),
        ({"kana": "Watanabe"}, 422, "invalid", "kana"),
        ({"birth_date": "1990-02-30"}, 422, "invalid", "birth_date"),
        ({"birth_date": "0001-01-01"}, 422, "invalid", "birth_date"),
        ({"valid_to": "2026-06-02"}, 422, "invalid", "valid_to"),
        ({"name": "a\u0000b"}, 422, "invalid", "name"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_both_languages_and_nothing_is_kept(
    library: Api, change: dict[str, Any], status: int, code: str, where: str
) -> None:
    answer = library("PUT", "/members/T-100", NEW | change)
    told = answer.json()
    assert (answer.status_code, told["code"], told.get("field", "")) == (status, code, where)
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert re.search(r"[ぁ-ん]", told["title"])
    assert told["title_en"].isascii() or "’" in told["title_en"]
    assert NUMBER not in answer.text
    assert library("GET", "/members/T-100").status_code == 404


def test_an_individual_number_in_an_address_is_refused(library: Api) -> None:
    for path in (f"/members/{NUMBER}", f"/members?after={NUMBER}", f"/members/{NUMBER}/cards"):
        answer = library("GET", path)
        assert (answer.status_code, answer.json()["code"]) == (422, "individual-number")
        assert NUMBER not in answer.text


def test_nobody_is_enrolled_without_a_ground_of_consent(towns: Path, tmp_path: Path) -> None:
    shutil.copytree(towns / "empty", tmp_path / "first-day")
    town = town_in(tmp_path / "first-day")
    with open_sites(town) as sites:
        asked = Api(town, sites.office, client(town, "library-1"))
        answer = asked("PUT", "/members/T-100", NEW)
        assert (answer.status_code, answer.json()["reason"]) == (409, "no-basis")
        assert "同意の根拠" in answer.json()["title"]
        assert asked("GET", "/members").json()["members"] == []
        asked.http.close()


def test_the_conditions_of_the_programme_hold_for_other_systems_too(sites: Sites) -> None:
    bus = Api(sites.town, sites.office, client(sites.town, "b-1", programme="senior-pass"))
    none = bus("PUT", "/members/S-1", NEW | {"category": ""})
    assert (none.status_code, none.json()["reason"]) == (409, "rules")
    table = {"parameters": {"rider_pays_yen": 50, "from_age": 70}, "valid_from": DAY}
    table |= {"programme": "senior-pass", "version": "senior-pass/2026", "added_at_ms": NOW_MS}
    sites.town.change(schema.rule.insert().values(**table, added_by="test"))
    for change, where in (
        ({}, "birth_date"),
        ({"birth_date": None}, "birth_date"),
        ({"birth_date": "1950-04-01", "is_resident": False}, "is_resident"),
    ):
        answer = bus("PUT", "/members/S-1", NEW | {"category": ""} | change)
        assert (answer.status_code, answer.json()["code"]) == (409, "not-eligible")
        assert answer.json()["field"] == where
    old = bus("PUT", "/members/S-1", NEW | {"category": "", "birth_date": "1950-04-01"})
    assert old.status_code == 201
    bus.http.close()


def test_another_ground_than_age_is_said_and_never_which(sites: Sites) -> None:
    table = {"parameters": {}, "valid_from": DAY, "programme": "taxi", "version": "taxi/2026"}
    sites.town.change(schema.rule.insert().values(**table, added_at_ms=NOW_MS, added_by="test"))
    opened = sites.town.persons()
    with opened.write() as connection:
        consent.add_basis(connection, "taxi", CONSENT, "test", NOW_MS)
    opened.close()
    taxi = Api(sites.town, sites.office, client(sites.town, "t-1", programme="taxi"))
    young = NEW | {"category": ""}
    refused = taxi("PUT", "/members/X-1", young)
    assert (refused.status_code, refused.json()["field"]) == (409, "birth_date")
    assert taxi("PUT", "/members/X-1", young | {"has_ground": True}).status_code == 201
    rows = sites.town.ask(schema.person_audit.select(), persons=True)
    noted = [(row.subject, row.detail) for row in rows if row.what == "member.ground-seen"]
    assert noted == [("taxi X-1", "")]
    taxi.http.close()


def test_nothing_is_overwritten_blindly(library: Api) -> None:
    seen = library("GET", "/members/T-001")
    tag = seen.headers["ETag"]
    new = {name: seen.json()[name] for name in ("kana", "birth_date", "category")}
    new |= {"name": "佐藤 遥"}
    assert library("PUT", "/members/T-001", new).json()["code"] == "tag-missing"
    stale = library("PUT", "/members/T-001", new, If_Match='"other"')
    assert (stale.status_code, stale.json()["code"]) == (412, "changed-meanwhile")
    done = library("PUT", "/members/T-001", new, If_Match=tag)
    assert (done.status_code, done.json()["name"]) == (200, "佐藤 遥")
    late = library("PUT", "/members/T-001", new | {"name": "佐藤 春"}, If_Match=tag)
    assert late.status_code == 412
    missing = library("PUT", "/members/T-999", NEW, If_Match=tag)
    assert missing.status_code == 412
    assert ("member.corrected", "attendance T-001", "name") in library.seen()


def test_a_membership_is_ended_once_and_the_answer_says_no_more_than_was_asked(
    library: Api,
) -> None:
    tag = library("GET", "/members/T-002").headers["ETag"]
    end = {"kind": "moved-away", "last_day": "2026-06-30", "why": "転出届"}
    assert library("PUT", "/members/T-002/end", end).json()["code"] == "tag-missing"
    ended = library("PUT", "/members/T-002/end", end, If_Match=tag)
    assert ended.json() == {
        "registration_number": "T-002",
        "kind": "moved-away",
        "last_day": "2026-06-30",
    }
    again = library("PUT", "/members/T-002/end", end, If_Match=tag)
    assert again.headers["ETag"] == ended.headers["ETag"]
    other = library(
        "PUT", "/members/T-002/end", end | {"kind": "deceased"}, If_Match=ended.headers["ETag"]
    )
    assert (other.status_code, other.json()["reason"]) == (409, "ended")
    seen = library("GET", "/members/T-002").json()
    assert (seen["ended"], seen["valid_to"], seen["state"]) == ("moved-away", "2026-06-30", "valid")


def test_every_look_at_a_person_is_on_record_under_the_clients_name(library: Api) -> None:
    for path in ("", "/cards", "/uses", "/consent"):
        assert library("GET", f"/members/T-003{path}").status_code == 200
    rows = library.town.ask(person_audit.select(), persons=True)
    looks = [(row.who, row.what, row.subject) for row in rows if row.who.startswith("api:")]
    assert looks == [("api:library-1", "member.seen", "attendance T-003")] * 4


def test_who_was_erased_is_not_found(library: Api) -> None:
    erased = schema.member.update().where(schema.member.c.registration_number == "T-004")
    library.town.change_persons(erased.values(erased_at_ms=NOW_MS))
    assert library("GET", "/members/T-004").status_code == 404
    assert "T-004" not in library("GET", "/members").text


# --- what is sent --------------------------------------------------------------------------------


def test_a_body_that_is_too_long_or_no_json_is_refused(library: Api) -> None:
    address = f"{library.site}{BASE}/members/T-100"
    bearer = {"Authorization": f"Bearer {library.token}", "Content-Type": "application/json"}

    def put(body: bytes, **headers: str) -> tuple[int, str]:
        answer = library.http.put(address, data=body, headers=bearer | headers, timeout=10)
        return answer.status_code, answer.json()["code"]

    assert put(b'{"name": "' + b"x" * 20_000 + b'"}') == (413, "too-large")
    assert put(b"{") == (400, "malformed")
    assert put(b"\xff\xfe") == (400, "malformed")
    assert put(b"[" * 10_000) == (400, "malformed")
    assert put(b"[]") == (422, "invalid")
    assert put(b'{"name": "x"}', **{"Content-Type": "text/plain"}) == (415, "media-type")


def test_what_is_not_there_and_what_may_not_be_done_are_told_apart(library: Api) -> None:
    assert library("GET", "/nothing").json()["code"] == "not-found"
    answer = library("DELETE", "/members/T-001")
    assert (answer.status_code, answer.json()["code"]) == (405, "method")
    assert answer.headers["Allow"] == "GET,PUT"
    assert library("GET", "/members?limit=0").json()["field"] == "limit"
    assert library("GET", "/members?limit=1&limit=2").status_code == 422


# --- webhooks and rides --------------------------------------------------------------------------


def test_a_webhook_is_added_shown_without_its_secret_and_ended(library: Api) -> None:
    added = library("POST", "/webhooks", {"url": "https://library.example.jp/kazasu"})
    assert (added.status_code, added.json()["secret"][:6]) == (201, "whsec_")
    twice = library("POST", "/webhooks", {"url": "https://library.example.jp/kazasu"})
    assert (twice.status_code, twice.json()["reason"]) == (409, "twice")
    here = library("POST", "/webhooks", {"url": "http://127.0.0.1:8080/"})
    assert (here.status_code, here.json()["reason"]) == (422, "this-machine")
    (shown,) = library("GET", "/webhooks").json()["webhooks"]
    assert (shown["state"], "secret" in shown) == ("idle", False)
    bus = Api(library.town, library.site, client(library.town, "b-1", programme="senior-pass"))
    assert bus("DELETE", f"/webhooks/{shown['id']}").status_code == 404
    bus.http.close()
    assert library("DELETE", f"/webhooks/{shown['id']}").status_code == 204
    assert library("DELETE", f"/webhooks/{shown['id']}").status_code == 404
    assert library("GET", "/webhooks").json() == {"webhooks": []}


def test_the_rides_of_a_month_are_a_file_and_a_programme_without_rides_has_none(
    library: Api,
) -> None:
    assert library("GET", "/rides/2026-06").status_code == 404
    bus = Api(library.town, library.site, client(library.town, "b-1", programme="senior-pass"))
    answer = bus("GET", "/rides/2026-06")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.text.startswith("transaction_id,service_date,event_timestamp,amount,")
    for month in ("2026-13", "2026-6", "June", "%00"):
        assert bus("GET", f"/rides/{month}").status_code in (404, 422, 400)
    bus.http.close()


def test_the_figures_of_a_month_are_those_of_the_page_without_few(library: Api) -> None:
    told = library("GET", "/reports/2026-06").json()
    assert (told["month"], told["is_running"]) == ("2026-06", True)
    assert (told["figures"]["uses"], told["figures"]["users"]) == (6, None)
    assert {table["by"] for table in told["tables"]} >= {"place", "hour", "category", "code"}
    places = next(table for table in told["tables"] if table["by"] == "place")
    assert places["lines"][0]["figures"]["uses"] is None
    for month in ("2026-07", "1999-01"):
        assert library("GET", f"/reports/{month}").status_code == 404


def test_the_api_is_the_same_over_postgresql(postgres: Postgres, tmp_path: Path) -> None:
    town = build_town(tmp_path, postgres.url(postgres.empty()))
    with open_sites(town) as sites:
        asked = Api(town, sites.office, client(town, "library-1"))
        added = asked("POST", "/webhooks", {"url": NOWHERE})
        assert added.status_code == 201
        enrolled = asked("PUT", "/members/T-100", NEW)
        assert (enrolled.status_code, enrolled.json()["kana"]) == (201, "ワタナベ マイ")
        tag = enrolled.headers["ETag"]
        end = {"kind": "other", "last_day": "2026-06-30"}
        assert asked("PUT", "/members/T-100/end", end, If_Match=tag).status_code == 200
        numbers = [one["registration_number"] for one in asked("GET", "/members").json()["members"]]
        assert numbers == ["T-001", "T-002", "T-003", "T-004", "T-100"]
        for path in ("/cards", "/uses", "/consent"):
            assert asked("GET", f"/members/T-001{path}").status_code == 200
        assert asked("GET", "/reports/2026-06").json()["figures"]["uses"] == 6
        (hook,) = asked("GET", "/webhooks").json()["webhooks"]
        assert hook["waiting"] == 2
        assert asked("DELETE", f"/webhooks/{hook['id']}").status_code == 204
        bus = Api(town, sites.office, client(town, "bus-1", programme="senior-pass"))
        assert bus("GET", "/rides/2026-06").status_code == 200
        for one in (asked, bus):
            one.http.close()
    postgres.drop(town.config.databases)


# --- the document --------------------------------------------------------------------------------


def test_every_problem_has_its_sentence_in_both_languages() -> None:
    for code in CODES:
        assert all(say(f"web.api.problem.{code}", language) for language in LANGUAGES)


def test_the_document_is_told_to_everyone_and_is_the_one_that_is_kept(library: Api) -> None:
    library.token = ""
    assert library("GET", "/openapi.json").json() == DOCUMENT
    kept = json.loads((ROOT / "docs" / "api" / "city.json").read_text("utf-8"))
    assert kept == DOCUMENT


def test_every_route_of_the_api_is_in_the_document() -> None:
    app = web.Application()
    app[CLOCK] = StoppedClock()
    api.open_door(app)
    served = {
        (route.method.lower(), route.resource.canonical.removeprefix(BASE))
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    written = {(method, path) for path, of in DOCUMENT["paths"].items() for method in of}
    assert served == written | {("get", "/openapi.json")}


def examples() -> list[tuple[str, str]]:
    """Return the commands of docs/api.md, each with the answer that stands below it, or nothing."""
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    return re.findall(r"```sh\n(.*?)```\n(?:\n```json\n(.*?)```)?", text, re.DOTALL)


def test_every_command_of_the_document_for_integrators_works(library: Api) -> None:
    assert len(examples()) == 8
    for command, expected in examples():
        told = subprocess.run(
            ["bash", "-euc", command],
            env={"OFFICE": library.site, "TOKEN": library.token, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert told.returncode == 0, told.stderr
        answer = json.loads(told.stdout)
        if expected:
            assert answer == json.loads(expected), command
        else:
            assert "code" not in answer, answer


PER_OPERATION = 15
SCHEMA = schemathesis.openapi.from_dict(json.loads(json.dumps(DOCUMENT)))
FOUND = [one.ok() for one in SCHEMA.get_all_operations() if isinstance(one, Ok)]


@pytest.fixture(scope="module")
def running(towns: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An office that many requests are sent to."""
    folder = tmp_path_factory.mktemp("api") / "state"
    shutil.copytree(towns / "whole", folder)
    town = town_in(folder)
    with open_sites(town) as sites:
        made = Api(town, sites.office, client(town, "fuzz-1"))
        made.http.trust_env = False
        yield made
        made.http.close()


@pytest.mark.parametrize("operation", FOUND, ids=[one.label for one in FOUND])
def test_the_api_answers_as_its_document_says_whatever_is_sent(
    running: Api, operation: Any
) -> None:
    @settings(
        max_examples=PER_OPERATION,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(
        operation.as_strategy(GenerationMode.POSITIVE)
        | operation.as_strategy(GenerationMode.NEGATIVE)
    )
    def run(case: Any) -> None:
        running.town.clock.at_ns += 10**12  # the pace is another test's
        answer = case.call(
            base_url=f"{running.site}{BASE}",
            session=running.http,
            headers={"Authorization": f"Bearer {running.token}"},
            timeout=10,
            allow_redirects=False,
        )
        case.validate_response(
            answer,
            checks=[
                not_a_server_error,
                status_code_conformance,
                content_type_conformance,
                response_schema_conformance,
            ],
        )

    run()
