"""Clients of the HTTP API: a token is kept by nobody but its owner, and ends for good."""

import hashlib
from collections.abc import Iterator

import pytest

from fleet import api_clients
from fleet.api_clients import Client, ClientRefused, Scope
from fleet.config import Databases
from fleet.grants import Role
from fleet.schema import api_client, audit
from fleet.store import Store, migrate, open_fleet
from tests.fleet.virtual import NOON_MS, VirtualFleet
from wire.individual_number import IndividualNumberRefused

BUS = "senior-pass"
READ = (Scope.MEMBERS_READ,)
NUMBER = "123456789018"
"""Twelve digits with a right check digit, as in the government's own examples."""


@pytest.fixture
def office(databases: Databases) -> Iterator[Store]:
    """The database as the office may use it."""
    if not databases.url:
        migrate(databases)
    opened = open_fleet(databases, Role.OFFICE)
    yield opened
    opened.close()


def add(office: Store, name: str = "library-1", *scopes: Scope, programme: str = BUS) -> str:
    with office.write() as connection:
        return api_clients.add(connection, name, programme, scopes or READ, "umi", NOON_MS)


def of(office: Store, token: str) -> Client | None:
    with office.read() as connection:
        return api_clients.by_token(connection, token)


def test_a_token_opens_one_programme_for_what_its_scopes_name(office: Store) -> None:
    token = add(office, "library-1", Scope.RIDES_READ, Scope.MEMBERS_READ)
    scopes = frozenset({Scope.RIDES_READ, Scope.MEMBERS_READ})
    assert of(office, token) == Client("library-1", BUS, scopes)
    assert len(token) == 47
    for other in ("", token[:-1], token + "x", "x" * 1_000, token.upper(), "\udcff"):
        assert of(office, other) is None


def test_only_the_hash_of_a_token_is_kept_and_the_audit_names_who_added_it(office: Store) -> None:
    token = add(office)
    with office.read() as connection:
        (row,) = connection.execute(api_client.select()).all()
        (line,) = connection.execute(audit.select()).all()
    assert row.token_sha256 == hashlib.sha256(token.encode()).digest()
    assert token not in str(row) + str(line)
    assert (line.who, line.what, line.subject) == ("umi", "api-client.added", "library-1")
    assert line.detail == "senior-pass members.read"


def test_a_client_that_was_ended_opens_nothing_and_its_name_is_not_used_again(
    office: Store,
) -> None:
    token = add(office)
    with office.write() as connection:
        api_clients.end(connection, "library-1", "umi", NOON_MS)
    assert of(office, token) is None
    with pytest.raises(ClientRefused, match="used before"):
        add(office)
    with pytest.raises(ClientRefused), office.write() as connection:
        api_clients.end(connection, "library-1", "umi", NOON_MS)
    with office.read() as connection:
        (line,) = api_clients.everyone(connection, [BUS])
        assert api_clients.everyone(connection, ["attendance"]) == []
    assert line.ended_at_ms == NOON_MS


@pytest.mark.parametrize("name", ["", "-a", "Library", "図書館", "a b", "a" * 41, "a\n"])
def test_a_name_that_is_none_is_refused(office: Store, name: str) -> None:
    with pytest.raises(ClientRefused):
        add(office, name)


def test_what_a_client_cannot_be_is_refused(office: Store) -> None:
    with pytest.raises(IndividualNumberRefused):
        add(office, NUMBER)
    with pytest.raises(ClientRefused, match="no programme"):
        add(office, programme="nothing")
    with pytest.raises(ClientRefused, match="scope"), office.write() as connection:
        api_clients.add(connection, "a", BUS, (), "umi", NOON_MS)


def test_the_keeper_adds_lists_and_ends_by_command(
    fleet: VirtualFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    options = ("--programme", BUS, "--scope", "members.read", "--scope", "webhooks")
    assert fleet.command("api", "clients", "add", "library-1", *options) == 0
    token = capsys.readouterr().out.strip()
    with fleet.store.read() as connection:
        found = api_clients.by_token(connection, token)
    assert found == Client("library-1", BUS, frozenset({Scope.MEMBERS_READ, Scope.WEBHOOKS}))
    assert fleet.command("api", "clients", "end", "library-1") == 0
    assert fleet.command("api", "clients", "list") == 0
    assert "library-1\tsenior-pass\tmembers.read webhooks\t2026-06-03" in capsys.readouterr().out
    assert fleet.command("api", "clients", "end", "library-1") == 1
    assert "no client in use" in capsys.readouterr().err


def test_the_keeper_may_tell_a_program_on_this_machine(
    fleet: VirtualFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    here = ("http://127.0.0.1:9000/hook", "--programme", BUS)
    assert fleet.command("api", "webhooks", "add", *here) == 1
    assert fleet.command("api", "webhooks", "add", *here, "--this-machine") == 0
    assert capsys.readouterr().out.startswith("whsec_")
    assert fleet.command("api", "webhooks", "list") == 0
    assert "1\tsenior-pass\thttp://127.0.0.1:9000/hook\tidle\t0" in capsys.readouterr().out
    assert fleet.command("api", "webhooks", "resume", "1") == 1
    assert fleet.command("api", "webhooks", "end", "1") == 0
