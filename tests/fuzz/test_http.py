"""Every HTTP door as its document says: no failure, no slow answer, nothing that is not written.

The documents in docs/api and the route tables are the same, and schemathesis sends what the
documents allow and what they forbid to the servers themselves.
"""

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from edge.board import Board
from edge.clock import ReaderClock
from edge.requests import Requests
from edge.web.app import KINDS, make_app
from fleet import devices
from fleet.grants import Role
from fleet.store import open_fleet, open_persons
from fleet.web import console, office
from tests.edge.test_page import config
from tests.fleet.test_reconcile import build
from tests.fleet.virtual import VirtualFleet, add_member, bus, make_fleet
from tests.fuzz.doors import (
    SLOW_S,
    Site,
    document,
    open_pages,
    open_reader_page,
    served,
    wait_for,
)
from tests.fuzz.hostile import examples
from tests.web.town import build_town, town_in
from wire.clock import SystemClock

STREAM = "text/event-stream"
NAMES = ("devices", "console", "office", "reader-page")
METHODS = {"get", "post", "put", "delete", "patch", "head", "options"}
PER_ROUTE = 12


def routes_of(app: web.Application) -> set[tuple[str, str]]:
    """Return what an application serves, as (method, path)."""
    found = set()
    for route in app.router.routes():
        assert route.resource is not None
        path = route.resource.canonical
        if isinstance(route.resource, web.StaticResource):
            path += "/{filename}"
        if path.startswith("/api/"):  # held against its own document by tests/web/test_api.py
            continue
        if route.method != "HEAD":  # aiohttp adds it to each GET
            found.add((route.method.lower(), path))
    return found


def written(name: str) -> set[tuple[str, str]]:
    paths = document(name)["paths"]
    return {(method, path) for path in paths for method in paths[path] if method in METHODS}


def board() -> Board:
    requests = Requests(ReaderClock(SystemClock(), 0), lambda _: True, lambda: None, at_a_desk=True)
    return Board(SystemClock().now_ms, lambda _: True, requests)


def test_every_route_is_written_and_every_written_route_is_there(tmp_path: Path) -> None:
    town = build_town(tmp_path / "town")
    databases = town.config.databases
    stores = [
        open_fleet(databases, Role.CONSOLE),
        open_fleet(databases, Role.OFFICE),
        open_persons(databases, Role.OFFICE),
        open_fleet(databases, Role.DEVICES),
    ]
    pages = [make_app(board(), config(kind)) for kind in KINDS]
    served = {
        "console": routes_of(console.application(town.config, stores[0], town.clock)),
        "office": routes_of(office.application(town.config, stores[1], stores[2], town.clock)),
        "devices": routes_of(devices.Devices(tmp_path, stores[3]).application()),
        "reader-page": set().union(*(routes_of(page) for page in pages)),
    }
    for opened in stores:
        opened.close()
    assert served == {name: written(name) for name in NAMES}


# --- the doors, open -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The town of the pages, built once."""
    folder = tmp_path_factory.mktemp("pages")
    build_town(folder / "built")
    return folder


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualFleet]:
    made = make_fleet(tmp_path_factory.mktemp("devices"), [bus("bus-1")])
    add_member(made, "1")
    build(made)
    yield made
    made.close()


@pytest.fixture(scope="module")
def doors(towns: Path, fleet: VirtualFleet) -> Iterator[dict[str, Site]]:
    """All four, each with a session that is let in."""
    shutil.copytree(towns / "built", towns / "state")
    device = Site("devices", f"https://localhost:{fleet.config.devices_port}")
    home = fleet.town.folder / "readers" / "bus-1"
    device.http.verify = str(home / "authority.pem")
    device.http.cert = (str(home / "reader.pem"), str(home / "reader.key"))
    with (
        open_pages(town_in(towns / "state")) as pages,
        open_reader_page() as page,
        served(devices.serve(fleet.config)),
    ):
        wait_for(device)
        yield {site.name: site for site in (*pages, page, device)}
        device.http.close()


def operations(name: str) -> list[Any]:
    schema = schemathesis.openapi.from_dict(copy.deepcopy(document(name)))
    found = [one.ok() for one in schema.get_all_operations() if isinstance(one, Ok)]
    assert {(one.method, one.path) for one in found} == written(name)
    return [one for one in found if not streams(name, one.path)]


def streams(name: str, path: str) -> bool:
    """True for what never ends: these are asked by test_a_stream_begins_at_once."""
    ok = document(name)["paths"][path].get("get", {}).get("responses", {}).get("200", {})
    return STREAM in ok.get("content", {})


CASES = [(name, one) for name in NAMES for one in operations(name)]


@pytest.mark.parametrize(
    ("name", "operation"), CASES, ids=[f"{name} {one.label}" for name, one in CASES]
)
def test_a_door_answers_as_its_document_says(
    doors: dict[str, Site], name: str, operation: Any
) -> None:
    site = doors[name]

    @examples(PER_ROUTE)
    @given(
        operation.as_strategy(GenerationMode.POSITIVE)
        | operation.as_strategy(GenerationMode.NEGATIVE),
        st.booleans(),
    )
    def run(case: Any, honest: bool) -> None:
        site.come_back()
        if honest:
            case.cookies = {}
            if isinstance(case.body, dict):
                case.body |= site.fields
        answer = case.call(
            base_url=site.url,
            session=site.http,
            headers=site.headers,
            verify=site.http.verify,
            timeout=SLOW_S,
            allow_redirects=False,
        )
        checks = [not_a_server_error, status_code_conformance, content_type_conformance]
        if site.name == "reader-page" and answer.status_code == 503:
            checks = checks[1:]  # nobody confirms a press here
        case.validate_response(answer, checks=checks)

    if operation.path != "/logout":
        run()
    site.lives()


STREAMS = [
    (name, path) for name in NAMES for path in document(name)["paths"] if streams(name, path)
]


@pytest.mark.parametrize(("name", "path"), STREAMS, ids=str)
def test_a_stream_begins_at_once(doors: dict[str, Site], name: str, path: str) -> None:
    site = doors[name]
    site.come_back()
    for reader, status in (("bus-1", 200), ("%00", 404), ("a" * 3_000, 404)):
        address = f"{site.url}{path.replace('{name}', reader)}"
        with site.http.get(address, stream=True, timeout=SLOW_S) as answer:
            if answer.status_code == 200:
                assert answer.headers["Content-Type"].startswith(STREAM)
                assert next(answer.iter_content(64)).startswith(b"event:")
            one_of_many = 404 if "{" in path else 200  # nothing is called by a placeholder
            assert answer.status_code == (status if "{name}" in path else one_of_many)
