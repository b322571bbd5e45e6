"""Names at a school's gates: by choice, of who is of the school today, and for its reader alone."""

import datetime
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleet import erasure, gate_names, schema, store
from fleet.config import Databases
from fleet.gate_names import NameSealer
from fleet.grants import Role
from fleet.sealing import Sealer
from fleet.work_acts import WorkRefused
from fleet.work_terms import NewTerm
from tests.fleet.test_work_spares import SPARE, lend, registered
from tests.fleet.work_kit import NORTH, SCHOOL, SOUTH, TENANT, Schools, at, card_of, open_schools
from wire.release import VERSION
from wire.seal import NAME_CHARACTERS_MAX, SealBroken, open_names

KEYS = {
    place: ec.derive_private_key(number, ec.SECP256R1())
    for number, place in enumerate(("north-front", "north-back", "south-front"), 1)
}
SEALER = Sealer(bytes(range(32)))
NOW_MS = at(3, "07:00")


@pytest.fixture
def town(databases: Databases) -> Iterator[Schools]:
    with open_schools(databases) as made:
        made.now_ms = NOW_MS
        with made.fleet.write() as fleet:
            for place, key in KEYS.items():
                pem = key.public_key().public_bytes(
                    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
                )
                known = schema.reader.update().where(schema.reader.c.place == place)
                fleet.execute(known.values(sealing_public_key=pem.decode()))
        yield made


def choose(town: Schools, place: str, *, shown: bool = True) -> None:
    with town.office_fleet.write() as fleet:
        gate_names.choose(fleet, place, shown=shown, who="kyoto", at_ms=town.now_ms)


def wish(town: Schools, member_id: int, *, shown: bool) -> None:
    with town.office.write() as people:
        gate_names.wish(people, town.act(member_id, who="mori"), shown=shown)


def seal(town: Schools, at_ms: int = NOW_MS, by: Sealer = SEALER) -> list[str]:
    return NameSealer(town.office_fleet, town.office, by).seal_due(at_ms)


def held(town: Schools, place: str) -> dict[str, str] | None:
    """What a place's reader reads in its file; None: there is no file."""
    with town.fleet.read() as fleet:
        wanted = sa.select(schema.gate_names.c.sealed)
        reader = f"{TENANT}/{place}"
        sealed = fleet.scalar(wanted.where(schema.gate_names.c.reader == reader))
    if sealed is None:
        return None
    opened = open_names(sealed, reader, KEYS[place])
    assert opened.programme == SCHOOL
    return dict(opened.names)


def heard(town: Schools, place: str, agent: str) -> None:
    row = {"reader": f"{TENANT}/{place}", "received_at_ms": 1, "at_ms": 1, "agent": agent}
    columns = schema.reader_state.columns
    row |= {
        one.name: 0
        for one in columns
        if one.name not in row and not one.nullable and one.server_default is None
    }
    with town.fleet.write() as fleet:
        store.upsert(fleet, schema.reader_state, [row], key=["reader"], replace=["agent"])


def test_without_a_choice_no_name_leaves_the_office(town: Schools) -> None:
    town.teacher("T-1")
    assert seal(town) == []
    assert held(town, "north-front") is None


def test_a_place_that_shows_names_gets_those_of_its_own_school_alone(town: Schools) -> None:
    town.teacher("T-1")
    town.teacher("T-2", NewTerm(datetime.date(2026, 4, 1), SOUTH))
    choose(town, "north-front")
    assert seal(town) == [f"{TENANT}/north-front"]
    assert held(town, "north-front") == {card_of("T-1"): "教員 T-1"}
    assert held(town, "north-back") is None, "each place chooses for itself"
    with town.fleet.read() as fleet:
        sealed = fleet.scalars(sa.select(schema.gate_names.c.sealed)).one()
    with pytest.raises(SealBroken):
        open_names(sealed, f"{TENANT}/north-front", KEYS["north-back"])


def test_the_same_names_are_not_sealed_again_and_any_change_is(town: Schools) -> None:
    town.teacher("T-1")
    choose(town, "north-front")
    assert seal(town)
    assert seal(town) == []
    assert seal(town, NOW_MS + 1) == []
    town.teacher("T-2")
    assert seal(town)
    assert set(held(town, "north-front") or {}) == {card_of("T-1"), card_of("T-2")}
    other = ec.derive_private_key(99, ec.SECP256R1()).public_key()
    pem = other.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with town.fleet.write() as fleet:
        fleet.execute(schema.reader.update().values(sealing_public_key=pem.decode()))
    assert seal(town), "a reader that was set up anew has another key"


def test_a_reader_without_a_key_holds_up_no_other(town: Schools) -> None:
    town.teacher("T-1")
    choose(town, "north-front")
    choose(town, "north-back")
    broken = schema.reader.update().where(schema.reader.c.place == "north-back")
    with town.fleet.write() as fleet:
        fleet.execute(broken.values(sealing_public_key="-----BEGIN"))
    assert seal(town) == [f"{TENANT}/north-front"]


def test_a_place_that_another_school_has_now_shows_none_until_that_one_chooses(
    town: Schools,
) -> None:
    town.teacher("T-1")
    town.teacher("T-2", NewTerm(datetime.date(2026, 4, 1), SOUTH))
    choose(town, "north-front")
    seal(town)
    moved = schema.place.update().where(schema.place.c.name == "north-front")
    with town.fleet.write() as fleet:
        fleet.execute(moved.values(organisation=SOUTH))
    assert seal(town) == []
    assert held(town, "north-front") is None
    choose(town, "north-front")
    seal(town)
    assert held(town, "north-front") == {card_of("T-2"): "教員 T-2"}


def test_hiding_takes_the_file_away_at_once_and_tells_readers(town: Schools) -> None:
    town.teacher("T-1")
    choose(town, "north-front")
    seal(town)
    heard(town, "north-front", f"kazasu-edge {VERSION}")
    with town.fleet.read() as fleet:
        assert set(gate_names.wanted(fleet)) == {f"{TENANT}/north-front"}
    choose(town, "north-front", shown=False)
    assert held(town, "north-front") is None
    assert seal(town) == []
    with town.fleet.read() as fleet:
        assert gate_names.wanted(fleet) == {}
    choose(town, "north-front")
    assert seal(town), "and it can be shown again"


@pytest.mark.parametrize("agent", ["kazasu-edge 0.3.0", "", "something else"])
def test_an_agent_that_does_not_know_of_names_is_told_of_none(town: Schools, agent: str) -> None:
    choose(town, "north-front")
    town.teacher("T-1")
    seal(town)
    heard(town, "north-front", agent)
    with town.fleet.read() as fleet:
        assert gate_names.wanted(fleet) == {}


def test_who_does_not_want_to_be_named_is_not_in_any_file(town: Schools) -> None:
    mori = town.teacher("T-1")
    town.teacher("T-2")
    choose(town, "north-front")
    wish(town, mori, shown=False)
    seal(town)
    assert held(town, "north-front") == {card_of("T-2"): "教員 T-2"}
    wish(town, mori, shown=False)
    assert len(town.ask(schema.work_naming.select())) == 1, "the same again is no row"
    wish(town, mori, shown=True)
    seal(town)
    assert set(held(town, "north-front") or {}) == {card_of("T-1"), card_of("T-2")}
    assert town.audited("work.name-hidden") == [("attendance T-1", "")]


def test_names_follow_terms_and_lent_cards_by_the_moment(town: Schools) -> None:
    mori = town.teacher("T-1")
    town.teacher("T-3", NewTerm(datetime.date(2026, 6, 4), NORTH))
    spare = registered(town)
    choose(town, "north-front")
    lend(town, mori, spare, at(3, "07:30"))
    seal(town, at(3, "08:00"))
    both = {card_of("T-1"): "教員 T-1", card_of(SPARE): "教員 T-1"}
    assert held(town, "north-front") == both
    seal(town, at(4, "08:00"))
    assert held(town, "north-front") == {card_of("T-1"): "教員 T-1", card_of("T-3"): "教員 T-3"}


def test_an_erased_member_leaves_the_file_and_leaves_no_wish(town: Schools) -> None:
    mori = town.teacher("T-1")
    choose(town, "north-front")
    wish(town, mori, shown=False)
    wish(town, mori, shown=True)
    seal(town)
    with town.office.write() as people:
        erasure.erase(people, mori, "T-1", "hana", NOW_MS)
    assert seal(town)
    assert held(town, "north-front") == {}
    assert town.ask(schema.work_naming.select()) == []


def test_a_name_of_any_length_fits_the_screen(town: Schools) -> None:
    town.teacher("T-1")
    with town.people.write() as people:
        people.execute(schema.person.update().values(name="長" * 90))
    choose(town, "north-front")
    seal(town)
    assert held(town, "north-front") == {card_of("T-1"): "長" * NAME_CHARACTERS_MAX}


def test_who_works_for_nobody_of_the_programme_cannot_be_named_or_unnamed(town: Schools) -> None:
    with pytest.raises(WorkRefused):
        wish(town, 999, shown=False)


def test_neither_dispatch_nor_the_console_can_read_what_is_sealed(town: Schools) -> None:
    town.teacher("T-1")
    choose(town, "north-front")
    seal(town)
    for role in (Role.DISPATCH, Role.CONSOLE, Role.INGEST):
        opened = store.open_fleet(town.databases, role)
        try:
            with pytest.raises(sa.exc.DatabaseError), opened.read() as fleet:
                fleet.execute(sa.select(schema.gate_names.c.sealed)).all()
        finally:
            opened.close()


def test_a_place_that_is_of_no_school_any_more_holds_no_names(town: Schools) -> None:
    town.teacher("T-1")
    choose(town, "north-front")
    seal(town)
    heard(town, "north-front", f"kazasu-edge {VERSION}")
    here = schema.place.update().where(schema.place.c.name == "north-front")
    with town.fleet.write() as fleet:
        fleet.execute(here.values(organisation=""))
    assert seal(town) == []
    assert held(town, "north-front") is None
    with town.fleet.read() as fleet:
        assert gate_names.wanted(fleet) == {}


def test_a_stopped_card_has_no_name(town: Schools) -> None:
    town.teacher("T-1")
    town.teacher("T-2")
    choose(town, "north-front")
    lost = schema.card.update().where(schema.card.c.credential == card_of("T-1"))
    with town.people.write() as people:
        people.execute(lost.values(stopped_from_ms=NOW_MS, stopped_why="紛失"))
    seal(town)
    assert held(town, "north-front") == {card_of("T-2"): "教員 T-2"}


def test_a_reader_with_a_key_of_another_curve_holds_up_no_other(town: Schools) -> None:
    town.teacher("T-1")
    choose(town, "north-front")
    choose(town, "north-back")
    pem = (
        ec.derive_private_key(7, ec.SECP384R1())
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    other = schema.reader.update().where(schema.reader.c.place == "north-back")
    with town.fleet.write() as fleet:
        fleet.execute(other.values(sealing_public_key=pem.decode()))
    assert seal(town) == [f"{TENANT}/north-front"]
