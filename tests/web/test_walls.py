"""The console knows no person: its database role is refused, whatever a handler would ask."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from fleet import schema, store
from fleet.grants import Role
from fleet.store import Store
from fleet.web import console
from fleet.web.data import PERSONS
from tests.web.conftest import Sites

PERSONAL = (
    schema.entry.c.body,
    schema.entry.c.credential,
    schema.entry.c.category,
    schema.conflict.c.body,
    schema.quarantine.c.payload,
    schema.reader.c.keys_sealed,
)


@pytest.fixture
def consoles(sites: Sites) -> Iterator[tuple[Store, Store]]:
    databases = sites.town.config.databases
    fleet = store.open_fleet(databases, Role.CONSOLE)
    persons = store.open_persons(databases, Role.CONSOLE)
    yield fleet, persons
    fleet.close()
    persons.close()


@pytest.mark.parametrize("table", sorted(schema.persons.tables))
def test_the_database_refuses_every_table_of_persons_to_the_console(
    consoles: tuple[Store, Store], table: str
) -> None:
    _, persons = consoles
    with (
        persons.read() as connection,
        pytest.raises(sa.exc.DatabaseError, match=r"prohibited|not authorized"),
    ):
        connection.execute(sa.text(f"SELECT * FROM {table}"))


@pytest.mark.parametrize("column", PERSONAL, ids=str)
def test_the_database_refuses_every_personal_column_to_the_console(
    consoles: tuple[Store, Store], column: sa.Column[object]
) -> None:
    fleet, _ = consoles
    with fleet.read() as connection, pytest.raises(sa.exc.DatabaseError, match="prohibited"):
        connection.execute(sa.select(column))


def test_the_console_cannot_attach_the_other_database(
    sites: Sites, consoles: tuple[Store, Store]
) -> None:
    fleet, _ = consoles
    path = sites.town.config.state_folder / "persons.db"
    with fleet.read() as connection, pytest.raises(sa.exc.DatabaseError, match="not authorized"):
        connection.exec_driver_sql(f"ATTACH '{path}' AS p")


def test_the_consoles_process_is_not_even_given_the_persons(
    sites: Sites, consoles: tuple[Store, Store]
) -> None:
    app = console.application(sites.town.config, consoles[0], sites.town.clock)
    assert PERSONS not in app
