"""A school lends spare cards: whose the marks are, what readers do, and who may lend one."""

import datetime
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from edge.clock import Stamp
from edge.decide import Circumstances, decide
from edge.identify import Identified
from edge.roster import Holding
from edge.usage import Counted
from fleet import (
    disclosure,
    enrolment,
    erasure,
    members,
    rosters,
    schema,
    schemes,
    triage,
    work_retention,
    work_spare_use,
    work_spares,
    work_substitutes,
    work_terms,
)
from fleet.config import Databases
from fleet.enrolment import EnrolmentRefused, NewCard
from fleet.roster_files import by_version, rows_path
from fleet.work_acts import WorkRefused
from fleet.work_spares import Spare
from fleet.work_substitutes import NewSubstitute, TakenIn
from fleet.work_terms import NewTerm
from programmes.attendance import RULEBOOK
from programmes.rulebook import Place
from programmes.texts import LANGUAGES, say
from tests.fleet.virtual import HandClock
from tests.fleet.work_kit import (
    KEY,
    NORTH,
    SCHOOL,
    SOUTH,
    TENANT,
    Schools,
    at,
    card_of,
    open_schools,
)
from wire.clock import ClockState
from wire.codes import Code
from wire.credential import Scheme, credential
from wire.entries import Answer
from wire.envelope import Signer
from wire.individual_number import IndividualNumberRefused
from wire.messages import Triage
from wire.roster import Roster
from wire.seal import ProgrammeKey

FRONT = "north-front"
SPARE = "spare"
THE_3RD = datetime.date(2026, 6, 3)


@pytest.fixture
def town(databases: Databases) -> Iterator[Schools]:
    with open_schools(databases) as made:
        made.now_ms = at(3, "07:00")
        yield made


def held(town: Schools, place: str = FRONT, name: str = SPARE) -> int:
    """Somebody holds a card that nobody has at a gate; return its line in the queue."""
    row: dict[str, object] = {
        "programme": SCHOOL,
        "credential": card_of(name),
        "scheme": "staff-token",
    }
    row |= {"key_epoch": 1, "reader": f"{TENANT}/{place}", "place": place, "journal": "0" * 32}
    row |= {"n": 1, "at_ms": town.now_ms, "received_at_ms": town.now_ms}
    with town.people.write() as people:
        added = people.execute(schema.triage.insert().values(row).returning(schema.triage.c.id))
        return int(added.scalar_one())


def registered(town: Schools) -> int:
    """Return a spare card of the northern school."""
    card = held(town)
    with town.office.write() as people:
        work_spares.register(people, NORTH, {FRONT}, card, "kyoto", town.now_ms)
    (spare,) = spares(town)
    return spare.id


def spares(town: Schools, at_ms: int | None = None) -> list[Spare]:
    with town.office.read() as people:
        return work_spares.of_school(people, NORTH, town.now_ms if at_ms is None else at_ms)


def lend(
    town: Schools,
    member_id: int,
    spare: int,
    at_ms: int,
    school: str = NORTH,
    last: datetime.date | None = None,
) -> int:
    with town.office_fleet.read() as fleet, town.office.write() as people:
        until = work_spares.ends(fleet, school, at_ms, last)
        act = town.act(member_id)._replace(at_ms=at_ms)
        return work_spares.lend(people, act, school, spare, until)


def back(town: Schools, loan: int, at_ms: int) -> None:
    with town.office.write() as people:
        work_spares.give_back(people, NORTH, loan, "kyoto", at_ms)


def marks(town: Schools, member_id: int) -> list[tuple[int, str, str]]:
    """Return a member's marks of June: when, what each became, how it was made."""
    return [
        (reading.standing.mark.at_ms, reading.became, reading.standing.mark.origin)
        for day in town.record(member_id).days
        for reading in day.readings
    ]


def test_marks_with_a_lent_card_are_the_borrowers_until_it_is_given_back(town: Schools) -> None:
    mori, kato = town.teacher("T-1"), town.teacher("T-2")
    spare, gate = registered(town), town.gates[FRONT]
    first = lend(town, mori, spare, at(3, "07:40"))
    gate.tap(SPARE, at(3, "07:41"))
    gate.tap(SPARE, at(3, "12:00"))
    back(town, first, at(3, "12:05"))
    gate.tap(SPARE, at(3, "12:10"))
    lend(town, kato, spare, at(3, "12:30"))
    gate.tap(SPARE, at(3, "12:31"))
    gate.send()
    assert [(ms, how) for ms, _, how in marks(town, mori)] == [
        (at(3, "07:41"), "lent"),
        (at(3, "12:00"), "lent"),
    ]
    assert [became for _, became, _ in marks(town, mori)] == ["in", "out"]
    assert marks(town, kato) == [(at(3, "12:31"), "in", "lent")]


def test_what_an_offline_reader_took_the_next_day_is_nobodys(town: Schools) -> None:
    mori, kato = town.teacher("T-1"), town.teacher("T-2")
    spare, gate = registered(town), town.gates[FRONT]
    lend(town, mori, spare, at(3, "07:40"))
    gate.tap(SPARE, at(3, "07:41"))
    gate.tap(SPARE, at(4, "00:30"))
    gate.tap(SPARE, at(4, "04:00"))
    gate.tap(SPARE, at(4, "07:41"))
    lend(town, kato, spare, at(4, "08:00"))
    gate.tap(SPARE, at(4, "08:01"))
    gate.send(at(5, "09:00"))
    assert [ms for ms, _, _ in marks(town, mori)] == [at(3, "07:41"), at(4, "00:30")]
    assert [ms for ms, _, _ in marks(town, kato)] == [at(4, "08:01")]


def test_a_lent_card_at_a_reader_that_did_not_know_the_time_is_nobodys(town: Schools) -> None:
    mori = town.teacher("T-1")
    lend(town, mori, registered(town), at(3, "07:40"))
    gate = town.gates["north-back"]
    gate.begin(at(3, "07:00"), ClockState.UNKNOWN)
    gate.tap(SPARE, at(3, "07:41"), clock=ClockState.UNKNOWN)
    gate.send()
    assert marks(town, mori) == []
    assert town.record(mori).undated == {}


def test_a_mark_with_a_lent_card_stands_in_the_days_signed_list(town: Schools) -> None:
    mori = town.teacher("T-1")
    lend(town, mori, registered(town), at(3, "07:40"))
    town.gates[FRONT].tap(SPARE, at(3, "07:41"))
    town.gates[FRONT].send()
    town.maker.make_due(at(5, "09:00"))
    leaf = sa.select(schema.work_leaf.c.body).where(
        schema.work_leaf.c.member_id == mori, schema.work_leaf.c.day == THE_3RD
    )
    ((body,),) = town.ask(leaf)
    assert b'"origin":"lent"' in zlib.decompress(body)


# --- who may lend what ---------------------------------------------------------------------------


def test_a_card_is_lent_to_one_at_a_time_and_to_the_schools_own_alone(town: Schools) -> None:
    mori, kato = town.teacher("T-1"), town.teacher("T-2")
    south = town.teacher("S-1", NewTerm(datetime.date(2026, 4, 1), SOUTH))
    spare = registered(town)
    with pytest.raises(WorkRefused) as refused:
        lend(town, south, spare, at(3, "07:40"))
    assert refused.value.reason == "no-member"
    with pytest.raises(WorkRefused) as refused:
        lend(town, south, spare, at(3, "07:40"), SOUTH)
    assert refused.value.reason == "no-spare"
    loan = lend(town, mori, spare, at(3, "07:40"))
    with pytest.raises(WorkRefused) as refused:
        lend(town, kato, spare, at(3, "07:45"))
    assert refused.value.reason == "card-lent"
    (now,) = spares(town, at(3, "07:45"))
    assert (now.loan_id, now.member_id, now.until_ms) == (loan, mori, at(4, "04:00"))
    assert spares(town, at(4, "04:00"))[0].loan_id is None
    back(town, loan, at(3, "07:50"))
    with pytest.raises(WorkRefused) as refused:
        back(town, loan, at(3, "07:51"))
    assert refused.value.reason == "not-lent"
    assert town.audited("work.card-lent") == [("attendance T-1", f"{NORTH} 1")]
    assert town.audited("work.card-returned") == [("attendance T-1", f"{NORTH} 1")]


def test_two_offices_at_once_cannot_lend_one_card(town: Schools) -> None:
    mori, kato = town.teacher("T-1"), town.teacher("T-2")
    spare = registered(town)
    lend(town, mori, spare, at(3, "07:40"))
    row = {"spare_id": spare, "number": 1, "member_id": kato, "from_ms": 1, "until_ms": 2}
    again = schema.work_loan.insert().values(row | {"who": "kyoto"})
    with pytest.raises(sa.exc.IntegrityError), town.people.write() as people:
        people.execute(again)


def test_a_loan_is_never_changed(town: Schools) -> None:
    loan = lend(town, town.teacher("T-1"), registered(town), at(3, "07:40"))
    longer = schema.work_loan.update().where(schema.work_loan.c.id == loan)
    with pytest.raises(sa.exc.DBAPIError), town.people.write() as people:
        people.execute(longer.values(until_ms=at(9, "04:00")))


def test_a_school_takes_a_staff_card_that_nobody_has_from_its_own_gates(town: Schools) -> None:
    card = held(town)
    with town.office.write() as people, pytest.raises(WorkRefused) as refused:
        work_spares.register(people, SOUTH, {"south-front"}, card, "sato", town.now_ms)
    assert refused.value.reason == "not-unknown"
    with town.office.write() as people:
        assert work_spares.register(people, NORTH, {FRONT}, card, "kyoto", town.now_ms) == 1
    with town.office.read() as people:
        assert work_spares.unknown_at(people, {FRONT}, town.now_ms) == []


def test_a_spare_card_is_listed_as_unknown_no_more_and_becomes_nobodys_own(town: Schools) -> None:
    mori = town.teacher("T-1")
    registered(town)
    state_scheme(town)
    told = Triage(
        v=1, programme=SCHOOL, credential=card_of(SPARE), scheme=Scheme.STAFF_TOKEN, key_epoch=1,
        journal="0" * 32, n=2, at_ms=at(3, "08:00"),
    )  # fmt: skip
    with town.people.write() as people:
        assert not triage.take(people, f"{TENANT}/{FRONT}", FRONT, told, at(3, "08:00"))
        cards = [NewCard(Scheme.STAFF_TOKEN, 1, card_of(SPARE))]
        with pytest.raises(EnrolmentRefused):
            enrolment.give_card(people, SCHOOL, mori, cards, "hana", at(3, "08:00"))


def test_a_card_is_lent_until_a_day_on_which_the_borrower_is_of_the_school(town: Schools) -> None:
    spare, the_9th = registered(town), datetime.date(2026, 6, 9)
    mori = town.teacher("T-1", valid_to=datetime.date(2026, 6, 12))
    loan = lend(town, mori, spare, at(3, "07:40"), last=the_9th)
    assert spares(town, at(10, "03:59"))[0].loan_id == loan
    assert spares(town, at(10, "04:00"))[0].loan_id is None
    gate = town.gates[FRONT]
    for day in (3, 9, 10):
        gate.tap(SPARE, at(day, "07:41"))
    gate.send()
    assert [ms for ms, _, _ in marks(town, mori)] == [at(3, "07:41"), at(9, "07:41")]
    at_10 = at(10, "07:00")
    for last, why in (
        (datetime.date(2026, 6, 9), "loan-day"),
        (datetime.date(2026, 7, 11), "loan-day"),
        (datetime.date(2026, 6, 13), "loan-longer"),
    ):
        with pytest.raises(WorkRefused) as refused:
            lend(town, mori, spare, at_10, last=last)
        assert refused.value.reason == why
    kato = town.teacher("T-2")
    with town.office.write() as people:
        terms = NewTerm(datetime.date(2026, 6, 15), SOUTH)
        work_terms.add(people, town.act(kato), terms)
    with pytest.raises(WorkRefused) as refused:
        lend(town, kato, spare, at_10, last=datetime.date(2026, 6, 15))
    assert refused.value.reason == "loan-longer"
    lend(town, kato, spare, at_10, last=datetime.date(2026, 6, 14))


def test_a_substitute_is_taken_in_whole_or_not_at_all(town: Schools) -> None:
    spare, last = registered(town), datetime.date(2026, 6, 9)
    one = takes_in(town, spare, last)
    assert one.registration_number == "D-0001"
    gate = town.gates[FRONT]
    gate.tap(SPARE, at(3, "07:50"))
    gate.send()
    assert [ms for ms, _, _ in marks(town, one.member_id)] == [at(3, "07:50")]
    enrolled = town.record(one.member_id).enrolled
    term = enrolled.on(THE_3RD)
    assert term is not None
    assert (term.organisation, term.engaged) == (NORTH, "substitute")
    assert (enrolled.valid_from, enrolled.valid_to) == (THE_3RD, last)
    back(town, spares(town, at(3, "08:00"))[0].loan_id or 0, at(3, "08:00"))
    before = town.ask(sa.select(sa.func.count(schema.member.c.id)))
    with pytest.raises(WorkRefused) as refused:
        takes_in(town, spare, last, at(3, "08:01"))
    assert (refused.value.reason, refused.value.arguments) == (
        "substitute-known",
        {"number": "D-0001"},
    )
    lend(town, one.member_id, spare, at(3, "08:02"))
    with pytest.raises(WorkRefused) as refused:
        takes_in(town, spare, last, at(3, "08:03"), "別の人")
    assert refused.value.reason == "card-lent"
    with pytest.raises(IndividualNumberRefused):
        takes_in(town, spare, last, at(3, "08:04"), "123456789018")
    assert town.ask(sa.select(sa.func.count(schema.member.c.id))) == before
    assert takes_in(town, spare, last, at(4, "07:40"), "別の人").registration_number == "D-0002"


def takes_in(
    town: Schools, spare: int, last: datetime.date, at_ms: int = at(3, "07:40"), name: str = "乾"
) -> TakenIn:
    with town.office_fleet.read() as fleet, town.office.write() as people:
        until = work_spares.ends(fleet, NORTH, at_ms, last)
        new = NewSubstitute(name, "イヌイ", spare, until)
        return work_substitutes.take_in(people, NORTH, new, "hana", at_ms)


# --- what readers do -----------------------------------------------------------------------------

UID = bytes.fromhex("04a1b2c3d4e5f6")
PROGRAMME_KEY = ProgrammeKey(SCHOOL, 1, bytes(range(32)))


def test_what_the_next_borrower_answers_of_a_day_before_is_no_mark_of_his(town: Schools) -> None:
    mori, kato = town.teacher("T-1"), town.teacher("T-2")
    spare, gate = registered(town), town.gates[FRONT]
    lend(town, mori, spare, at(3, "07:40"))
    gate.tap(SPARE, at(3, "07:41"))
    lend(town, kato, spare, at(4, "07:40"), last=datetime.date(2026, 6, 5))
    gate.tap(SPARE, at(4, "07:41"))
    asked: dict[str, Any] = {"programme": SCHOOL, "missing": "out", "key_epoch": 1}
    asked |= {"scheme": Scheme.STAFF_TOKEN, "credential": card_of(SPARE)}
    for day, after_ms, claimed_ms, at_ms in (
        (THE_3RD, at(3, "07:41"), at(3, "18:30"), at(4, "07:42")),
        (datetime.date(2026, 6, 4), at(4, "07:41"), at(4, "16:45"), at(5, "07:42")),
    ):
        said = {"day": day, "after_ms": after_ms, "claimed_at_ms": claimed_ms}
        gate.write(Answer, at_ms, **asked | said)
    gate.send()
    assert marks(town, mori) == [(at(3, "07:41"), "in", "lent")]
    assert [(ms, origin) for ms, _, origin in marks(town, kato)] == [
        (at(4, "07:41"), "lent"),
        (at(4, "16:45"), "answer"),
    ]


class AtTheGate:
    """A real reader's look-up and decision, with the roster that it fetched last."""

    def __init__(self, town: Schools, folder: Path) -> None:
        self.town, self.folder = town, folder
        self.clock = HandClock(town.now_ms)
        self.builder = rosters.Builder(
            town.fleet, town.people, folder, TENANT, Signer(KEY), self.clock
        )
        self.holding: Holding | None = None

    def fetch(self) -> None:
        """Build what has changed, and hold it as the reader does once it has verified it."""
        self.clock.pass_s(3600)
        self.builder.build_changed(lambda _, error: pytest.fail(str(error)))
        with self.town.fleet.read() as fleet:
            version = rosters.latest(fleet, SCHOOL)[FRONT].version
            kept = by_version(fleet, SCHOOL, FRONT, version)
        assert kept is not None
        path = self.folder / f"{version}.roster"
        path.write_bytes(kept.head + rows_path(self.folder, SCHOOL, kept.rows_sha256).read_bytes())
        roster = Roster.open(path, TENANT, SCHOOL, FRONT, KEY.public_key())
        self.holding = Holding(RULEBOOK, roster, [PROGRAMME_KEY], self.clock.now_ms())

    def tap(self, at_ms: int) -> Code:
        assert self.holding is not None
        match = self.holding.match(Scheme.STAFF_TOKEN, bytearray(UID))
        found = Identified(Code.OK if match.member else Code.UNKNOWN, match)
        stamp = Stamp(at_ms, 0, ClockState.SYNCHRONISED)
        now = Circumstances(stamp, Place(FRONT, "school"), "", "", "")
        return decide(found, self.holding, [], Counted(), now).code


def state_scheme(town: Schools) -> None:
    signed = schemes.NewStatement(
        "市長", "教育総務課", "要綱", datetime.date(2026, 4, 1), datetime.date(2026, 4, 1)
    )
    with town.people.write() as people:
        schemes.state(people, SCHOOL, [Scheme.STAFF_TOKEN], signed, "hana", at(1, "06:00"))


def test_readers_take_a_lent_card_for_that_day_and_no_longer(town: Schools, tmp_path: Path) -> None:
    mori, kato = town.teacher("T-1"), town.teacher("T-2")
    state_scheme(town)
    real, card = credential(PROGRAMME_KEY.key, Scheme.STAFF_TOKEN, UID), held(town)
    with town.people.write() as people:
        people.execute(
            schema.triage.update().where(schema.triage.c.id == card).values(credential=real)
        )
    with town.office.write() as people:
        work_spares.register(people, NORTH, {FRONT}, card, "kyoto", town.now_ms)
    spare, gate = spares(town)[0].id, AtTheGate(town, tmp_path)
    gate.fetch()
    assert gate.tap(at(3, "07:30")) is Code.UNKNOWN
    loan = lend(town, mori, spare, at(3, "07:40"))
    gate.fetch()
    assert gate.tap(at(3, "07:41")) is Code.OK
    assert gate.tap(at(4, "03:59")) is Code.OK
    assert gate.tap(at(4, "04:00")) is Code.STOP_LISTED
    back(town, loan, at(3, "12:00"))
    gate.fetch()
    assert gate.tap(at(3, "12:01")) is Code.STOP_LISTED
    lend(town, kato, spare, at(4, "08:00"))
    gate.fetch()
    assert gate.tap(at(4, "08:01")) is Code.OK


def test_a_card_out_of_use_is_refused_and_lent_to_nobody(town: Schools, tmp_path: Path) -> None:
    mori = town.teacher("T-1")
    state_scheme(town)
    real, card = credential(PROGRAMME_KEY.key, Scheme.STAFF_TOKEN, UID), held(town)
    with town.people.write() as people:
        people.execute(
            schema.triage.update().where(schema.triage.c.id == card).values(credential=real)
        )
    with town.office.write() as people:
        work_spares.register(people, NORTH, {FRONT}, card, "kyoto", town.now_ms)
    spare, gate = spares(town)[0].id, AtTheGate(town, tmp_path)
    lend(town, mori, spare, at(3, "07:40"))
    gate.fetch()
    assert gate.tap(at(3, "07:41")) is Code.OK
    with town.office.write() as people:
        work_spare_use.retire(people, NORTH, spare, "lost", "kyoto", at(3, "09:00"))
    gate.fetch()
    assert gate.tap(at(3, "09:01")) is Code.STOP_LISTED
    (one,) = spares(town, at(3, "09:01"))
    assert (one.out, one.loan_id, one.is_free) == ("lost", None, False)
    for school, why, reason in (
        (NORTH, "lost", "spare-out"),
        (SOUTH, "lost", "no-spare"),
        (NORTH, "森が", "spare-why"),
    ):
        with pytest.raises(WorkRefused) as refused, town.office.write() as people:
            work_spare_use.retire(people, school, spare, why, "kyoto", at(3, "09:02"))
        assert refused.value.reason == reason
    with pytest.raises(WorkRefused) as refused:
        lend(town, mori, spare, at(3, "09:03"))
    assert refused.value.reason == "spare-out"
    with town.office.write() as people:
        work_spare_use.restore(people, NORTH, spare, "kyoto", at(3, "09:04"))
    lend(town, mori, spare, at(3, "09:05"))
    assert town.audited("work.spare-out") == [("attendance", f"{NORTH} 1 lost")]
    with pytest.raises(sa.exc.DBAPIError), town.people.write() as people:
        people.execute(schema.work_spare_use.delete())


def test_the_ledger_judges_a_lent_card_by_what_rosters_say(town: Schools) -> None:
    state_scheme(town)
    lend(town, town.teacher("T-1"), registered(town), at(3, "07:40"))
    with town.people.read() as people:
        known = members.known_cards(people, [card_of(SPARE), card_of("T-1")])
    assert known.rows[SCHOOL, card_of(SPARE)].stopped_from_s == at(4, "04:00") // 1000
    assert known.rows[SCHOOL, card_of("T-1")].stopped_from_s is None


# --- what is kept --------------------------------------------------------------------------------


def test_loans_are_told_to_the_person_and_erased_with_him(town: Schools) -> None:
    mori = town.teacher("T-1")
    spare = registered(town)
    back(town, lend(town, mori, spare, at(3, "07:40")), at(3, "12:00"))
    with town.office.write() as people:
        told = disclosure.disclose(people, mori, "hana", at(5, "09:00")).work
    assert [one.kind for one in told[:2]] == ["returned", "lent"]
    for kind in ("lent", "returned"):
        assert all(say(f"work.told.{kind}", language) for language in LANGUAGES)
    with town.people.write() as people:
        erasure.erase(people, mori, "T-1", "hana", at(5, "09:00"))
    assert town.ask(schema.work_loan.select()) == town.ask(schema.work_return.select()) == []
    assert spares(town)[0].id == spare


def test_loans_go_with_the_records_of_their_day(town: Schools) -> None:
    back(town, lend(town, town.teacher("T-1"), registered(town), at(3, "07:40")), at(3, "12:00"))
    five_years_ms = (60 + 1) * 31 * 24 * 3_600_000
    with town.people.write() as people:
        work_retention.drop(people, "hana", at(3, "07:40") + 364 * 24 * 3_600_000)
    assert len(town.ask(schema.work_loan.select())) == 1
    with town.people.write() as people:
        work_retention.drop(people, "hana", at(3, "07:40") + five_years_ms)
    assert town.ask(schema.work_loan.select()) == town.ask(schema.work_return.select()) == []
