"""A company's claim equals the ledger to the yen, whatever was late, taken back or returned."""

import contextlib
import datetime
import itertools
import threading
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet import accounts, claim_lines, claims, store
from fleet.accounts import AccountRole
from fleet.claim_seal import ClaimSigner
from fleet.claims import MOVES, Asked, ClaimRefused, Seen, State
from fleet.config import Databases
from fleet.grants import Role
from fleet.rights import OfficeRole, Right
from fleet.schema import audit, claim, claim_line, ride
from fleet.second_person import WAIT_MS
from tests.fleet.claim_kit import (
    AUGUST,
    JULY,
    JUNE,
    NOW_MS,
    SIGNER,
    TAXI,
    TENANT,
    add_ride,
    owed_yen,
    take_back,
)

COUNT = itertools.count()
PASSWORD = "correct horse battery"


@pytest.fixture
def office(databases: Databases) -> Iterator[store.Store]:
    """The fleet's database as the office has it."""
    store.migrate(databases)
    opened = store.open_fleet(databases, Role.OFFICE)
    yield opened
    opened.close()


@pytest.fixture
def signer(databases: Databases, office: store.Store) -> Iterator[ClaimSigner]:
    """Dispatch, as far as claims are concerned."""
    opened = store.open_fleet(databases, Role.DISPATCH)
    yield ClaimSigner(opened, TENANT, SIGNER)
    opened.close()


def make(office: store.Store, company: str, until: datetime.date = JUNE, who: str = "mika") -> int:
    with office.write() as connection:
        return claims.make(connection, Asked(TAXI, company, until), None, who, NOW_MS)


def ride_of(office: store.Store, company: str, day: datetime.date, fare_yen: int = 1_000) -> int:
    with office.write() as connection:
        return add_ride(connection, company, day, fare_yen)


def load(office: store.Store, number: int) -> claims.Claim:
    with office.read() as connection:
        found = claims.load(connection, number)
    assert found is not None
    return found


def give_back(office: store.Store, number: int) -> None:
    with office.write() as connection:
        claims.give_back(connection, number, "車両が違う", "sora", NOW_MS)


def ids_of(office: store.Store, number: int) -> set[int]:
    with office.read() as connection:
        return {line.id for line in claim_lines.of_claim(connection, number)}


# --- to the yen ----------------------------------------------------------------------------------

DAYS = st.dates(datetime.date(2026, 6, 1), datetime.date(2026, 8, 31))
STEP = st.one_of(
    st.tuples(st.just("ride"), st.integers(0, 1), DAYS, st.integers(0, 9_999)),
    st.tuples(st.just("back"), st.integers(0, 30)),
    st.tuples(st.just("claim"), st.integers(0, 1), st.sampled_from((JUNE, JULY, AUGUST))),
    st.tuples(st.just("return"), st.integers(0, 10)),
)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEP, max_size=40))
def test_every_row_stands_in_at_most_one_claim_and_no_yen_is_lost(
    office: store.Store, steps: list[tuple[object, ...]]
) -> None:
    example = next(COUNT)
    companies = (f"midori-{example}", f"aoi-{example}")
    rides_made: list[int] = []
    made: list[int] = []
    for kind, *arguments in steps:
        _take(office, companies, kind, arguments, rides_made, made)
        _require_true(office, companies)
    for company in companies:
        last = make(office, company, datetime.date(2026, 9, 9))
        assert load(office, last).state is State.MADE
    for company in companies:
        assert _standing_yen(office, company) == _owed(office, company)
    _require_true(office, companies)


def _take(
    office: store.Store,
    companies: tuple[str, str],
    kind: object,
    arguments: list[object],
    rides_made: list[int],
    made: list[int],
) -> None:
    match kind, arguments:
        case "ride", [int(which), datetime.date() as day, int(fare_yen)]:
            rides_made.append(ride_of(office, companies[which], day, fare_yen))
        case "back", [int(which)] if rides_made:
            with office.write() as connection:
                take_back(connection, rides_made[which % len(rides_made)])
        case "claim", [int(which), datetime.date() as until]:
            with contextlib.suppress(ClaimRefused):  # that claim stands already
                made.append(make(office, companies[which], until))
        case "return", [int(which)] if made:
            number = made[which % len(made)]
            if load(office, number).state is State.MADE:
                give_back(office, number)


def _standing(company: str) -> sa.Select[tuple[int, int]]:
    joined = claim_line.join(ride, ride.c.id == claim_line.c.ride_id)
    return (
        sa.select(claim_line.c.ride_id, claim_line.c.claim_id)
        .select_from(joined)
        .where(claim_line.c.stands, ride.c.organisation == company)
    )


def _standing_yen(office: store.Store, company: str) -> int:
    summed = sa.select(sa.func.coalesce(sa.func.sum(claim.c.subsidy_yen), 0)).where(
        claim.c.organisation == company, claim.c.state != State.RETURNED
    )
    with office.read() as connection:
        return int(connection.execute(summed).scalar_one())


def _owed(office: store.Store, company: str) -> int:
    with office.read() as connection:
        return owed_yen(connection, company)


def _require_true(office: store.Store, companies: tuple[str, str]) -> None:
    for company in companies:
        with office.read() as connection:
            standing = connection.execute(_standing(company)).all()
            waiting = claim_lines.unclaimed(connection, TAXI, company, datetime.date(2027, 1, 1))
        ids = [row.ride_id for row in standing]
        assert len(ids) == len(set(ids))
        assert not set(ids) & {line.id for line in waiting}
        unclaimed_yen = sum(line.subsidy_yen for line in waiting)
        assert _standing_yen(office, company) + unclaimed_yen == _owed(office, company)


# --- what a claim holds --------------------------------------------------------------------------


def test_a_claim_holds_its_months_rides_and_no_other_companys(office: store.Store) -> None:
    mine = [ride_of(office, "midori", JUNE, 1_500), ride_of(office, "midori", JUNE, 2_000)]
    later = ride_of(office, "midori", JULY)
    ride_of(office, "aoi", JUNE)
    number = make(office, "midori")
    assert ids_of(office, number) == set(mine)
    one = load(office, number)
    assert (one.lines, one.subsidy_yen, one.month) == (2, 1_750, "2026-06")
    assert ids_of(office, make(office, "midori", JULY)) == {later}


def test_what_came_late_or_was_taken_back_stands_in_the_next_claim(office: store.Store) -> None:
    first = ride_of(office, "midori", JUNE, 1_500)
    june = make(office, "midori")
    late = ride_of(office, "midori", JUNE.replace(day=3), 800)
    with office.write() as connection:
        take_back(connection, first)
    july = make(office, "midori", JULY)
    with office.read() as connection:
        lines = claim_lines.of_claim(connection, july)
    assert {(line.id == late, line.kind, line.subsidy_yen, line.month) for line in lines} == {
        (True, "ride", 400, "2026-06"),
        (False, "taken-back", -750, "2026-06"),
    }
    assert load(office, june).subsidy_yen + load(office, july).subsidy_yen == 400


def test_a_returned_claims_lines_go_into_the_next_one(office: store.Store) -> None:
    mine = ride_of(office, "midori", JUNE)
    returned = make(office, "midori")
    give_back(office, returned)
    again = make(office, "midori")
    assert ids_of(office, again) == ids_of(office, returned) == {mine}
    assert load(office, returned).state is State.RETURNED
    assert load(office, returned).why == "車両が違う"


def test_an_empty_claim_can_be_made(office: store.Store) -> None:
    one = load(office, make(office, "midori"))
    assert (one.lines, one.subsidy_yen) == (0, 0)


def test_a_claim_is_made_of_days_that_are_over(office: store.Store) -> None:
    ride_of(office, "midori", datetime.date(2026, 9, 9))
    part = Asked(TAXI, "midori", datetime.date(2026, 9, 9))
    assert part.is_part
    assert not Asked(TAXI, "midori", JUNE).is_part
    assert load(office, make(office, "midori", part.until)).lines == 1
    with pytest.raises(ClaimRefused, match="not-over"):
        make(office, "midori", datetime.date(2026, 9, 10))


def test_what_has_changed_since_it_was_seen_is_not_claimed(office: store.Store) -> None:
    ride_of(office, "midori", JUNE, 1_000)
    asked = Asked(TAXI, "midori", JUNE)
    with office.write() as connection:
        seen = Seen(1, 500)
        add_ride(connection, "midori", JUNE, 0)
    with office.write() as connection, pytest.raises(ClaimRefused, match="changed"):
        claims.make(connection, asked, seen, "mika", NOW_MS)
    with office.write() as connection:
        assert claims.make(connection, asked, Seen(2, 500), "mika", NOW_MS)


def test_of_two_who_make_the_same_claim_at_once_one_wins(
    databases: Databases, office: store.Store
) -> None:
    for fare_yen in range(1_000, 1_050):
        ride_of(office, "midori", JUNE, fare_yen)
    barrier = threading.Barrier(4)
    said: list[str | int] = []

    def one(who: str) -> None:
        own = store.open_fleet(databases, Role.OFFICE)
        barrier.wait()
        try:
            said.append(make(own, "midori", who=who))
        except ClaimRefused as error:
            said.append(error.reason)
        own.close()

    threads = [threading.Thread(target=one, args=(f"clerk-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, said))[1:] == ["made-already"] * 3
    with office.read() as connection:
        assert len(connection.execute(_standing("midori")).all()) == 50


def test_the_database_refuses_a_row_in_two_claims(office: store.Store) -> None:
    mine = ride_of(office, "midori", JUNE)
    make(office, "midori")
    other = make(office, "midori", JULY)
    with office.write() as connection, pytest.raises(sa.exc.IntegrityError):
        connection.execute(claim_line.insert().values(claim_id=other, ride_id=mine))


# --- what becomes of it --------------------------------------------------------------------------


def _approver(office: store.Store, since_ms: int = NOW_MS - WAIT_MS) -> None:
    may = [Right(TAXI, OfficeRole.APPROVER)]
    with office.write() as connection:
        accounts.add(connection, "sora", AccountRole.CLERK, PASSWORD, "test", since_ms, may)


def test_an_approved_claim_is_paid_and_then_nothing_more(
    office: store.Store, signer: ClaimSigner
) -> None:
    _approver(office)
    ride_of(office, "midori", JUNE)
    number = make(office, "midori")
    with office.write() as connection, pytest.raises(ClaimRefused, match="unsigned"):
        claims.approve(connection, number, "", "sora", NOW_MS)
    assert signer.sign_waiting(NOW_MS) == [number]
    with office.write() as connection:
        claims.approve(connection, number, "", "sora", NOW_MS)
    with office.write() as connection, pytest.raises(ClaimRefused, match="paid-on"):
        claims.pay(connection, number, datetime.date(2026, 9, 11), "hana", NOW_MS)
    with office.write() as connection:
        claims.pay(connection, number, datetime.date(2026, 9, 10), "hana", NOW_MS)
    paid = load(office, number)
    assert (paid.state, paid.decided_by, paid.paid_by) == (State.PAID, "sora", "hana")
    with office.read() as connection:
        said = connection.scalars(sa.select(audit.c.what).order_by(audit.c.id)).all()
    assert said[-4:] == ["claim.made", "claim.signed", "claim.approved", "claim.paid"]


@pytest.mark.parametrize("state", State)
def test_only_the_moves_of_the_table_are_taken(office: store.Store, state: State) -> None:
    _approver(office)
    number = make(office, "midori")
    with office.write() as connection:
        connection.execute(claim.update().values(state=state))
    steps: dict[State, Callable[[sa.Connection], None]] = {
        State.APPROVED: lambda c: claims.approve(c, number, "", "sora", NOW_MS),
        State.RETURNED: lambda c: claims.give_back(c, number, "x", "sora", NOW_MS),
        State.PAID: lambda c: claims.pay(c, number, datetime.date(2026, 9, 10), "hana", NOW_MS),
    }
    for to in set(steps) - MOVES[state]:
        with office.write() as connection, pytest.raises(ClaimRefused, match="decided"):
            steps[to](connection)


def test_who_made_it_does_not_approve_it_nor_a_new_approver(
    office: store.Store, signer: ClaimSigner
) -> None:
    _approver(office, NOW_MS - WAIT_MS + 1)
    number = make(office, "midori", who="sora")
    signer.sign_waiting(NOW_MS)
    with office.write() as connection, pytest.raises(ClaimRefused, match="own"):
        claims.approve(connection, number, "", "sora", NOW_MS)
    other = make(office, "aoi")
    signer.sign_waiting(NOW_MS)
    with office.write() as connection, pytest.raises(ClaimRefused, match="new"):
        claims.approve(connection, other, "", "sora", NOW_MS)


def test_what_a_claim_says_cannot_be_changed_by_the_office(office: store.Store) -> None:
    make(office, "midori")
    for name in ("subsidy_yen", "lines", "file", "sha256", "signature", "made_by"):
        with office.write() as connection, pytest.raises(sa.exc.DatabaseError):
            connection.execute(claim.update().values({name: claim.c[name]}))


def test_a_claim_that_the_ledger_contradicts_is_not_signed(
    databases: Databases, office: store.Store, signer: ClaimSigner
) -> None:
    ride_of(office, "midori", JUNE)
    number = make(office, "midori")
    owner = store.open_fleet(databases, Role.OWNER)
    with owner.write() as connection:
        connection.execute(claim.update().values(subsidy_yen=999))
    owner.close()
    assert signer.sign_waiting(NOW_MS) == []
    assert load(office, number).signature is None
