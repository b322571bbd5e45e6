"""People and timetable: drawn from a seed, everybody's card their own, a whole day that fits."""

import datetime
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from hw.sim.mynumber import MyNumberCard
from hw.sim.people import (
    BUSES,
    HIRED,
    SCHOOLS,
    SENIORS,
    TEACHERS,
    Person,
    certificate_identifier,
    draw_people,
)
from hw.sim.timetable import MORNING_ENDS, instant_ms, next_weekday, plan_day
from wire.codes import Code
from wire.credential import Scheme
from wire.individual_number import looks_like_individual_number

DAY = datetime.date(2026, 6, 3)


def portrait(person: Person) -> tuple[object, ...]:
    return person.number, person.kind, person.place, person.born, person.name, person.enrolment


def test_the_same_seed_gives_the_same_people_and_another_seed_others() -> None:
    one, same, other = (draw_people(seed, DAY, 60) for seed in (1, 1, 2))
    assert [portrait(p) for p in one] == [portrait(p) for p in same]
    assert [portrait(p) for p in one] != [portrait(p) for p in other]


def test_every_kind_of_person_comes_when_there_are_enough() -> None:
    kinds = {person.kind for person in draw_people(1, DAY, 100)}
    assert kinds == {*SENIORS, *TEACHERS}


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), people=st.integers(1, 300))
def test_nobody_shares_a_card_and_nobody_has_an_individual_number(seed: int, people: int) -> None:
    drawn = draw_people(seed, DAY, people)
    assert len(drawn) == people
    enrolled = [person.enrolment for person in drawn if person.enrolment]
    cards = Counter((e.scheme, e.identifier) for e in enrolled if e.scheme)
    assert set(cards.values()) <= {1}
    assert not any(looks_like_individual_number(e.member) for e in enrolled)


def test_who_is_to_be_refused_as_unknown_is_not_enrolled() -> None:
    for person in draw_people(1, DAY, 300):
        unknown = person.kind.expects in (Code.UNKNOWN, Code.CARD_NOT_USABLE)
        enrolled = person.enrolment is not None and person.enrolment.scheme is not None
        assert enrolled != (unknown or person.card is None)


def test_the_enrolled_certificate_is_the_one_on_the_card() -> None:
    people = draw_people(1, DAY, 100)
    holders = [p for p in people if p.enrolment and p.enrolment.scheme is Scheme.JPKI_AUTH]
    assert holders
    for person in holders:
        assert person.card
        assert person.enrolment
        card, identifier = person.card(), person.enrolment.identifier
        assert isinstance(card, MyNumberCard)
        serial, not_before = identifier[:-13], identifier[-13:]
        assert b"\x02" + bytes([len(serial)]) + serial in card.certificate
        assert b"\x17\x0d" + not_before in card.certificate
        assert certificate_identifier(card.data) == serial + not_before


def test_newly_hired_teachers_are_members_without_a_card_and_come_again_and_again() -> None:
    people = draw_people(1, DAY, 300)
    hired = [person for person in people if person.kind is HIRED]
    assert {person.place for person in hired} == {"school-1"}
    for person in hired:
        assert person.enrolment
        assert person.enrolment.scheme is None
        visits = [visit for visit in plan_day(1, DAY, people).visits if visit.person is person]
        assert len(visits) > 10


def test_everybody_comes_in_the_morning_and_some_come_back() -> None:
    people = draw_people(1, DAY, 300)
    plan = plan_day(1, DAY, people)
    assert plan == plan_day(1, DAY, people)
    morning = plan.until(instant_ms(DAY, MORNING_ENDS))
    once = [visit.person.number for visit in morning.visits if visit.person.kind is not HIRED]
    assert sorted(once) == [p.number for p in people if p.kind is not HIRED]
    assert len(plan.visits) > len(people)
    assert [visit.at_ms for visit in plan.visits] == sorted(visit.at_ms for visit in plan.visits)


def test_riders_come_while_their_bus_stands_at_a_stop() -> None:
    plan = plan_day(1, DAY, draw_people(1, DAY, 100))
    for visit in plan.visits:
        if visit.person.place in BUSES:
            stops = [call for call in plan.calls if call.place == visit.person.place]
            assert any(0 <= visit.at_ms - call.at_ms < 90_000 for call in stops)
        else:
            assert visit.person.place in SCHOOLS


def test_the_day_played_is_a_weekday_that_is_still_to_come() -> None:
    friday = datetime.date(2026, 6, 5)
    assert next_weekday(friday) == datetime.date(2026, 6, 8)
    assert next_weekday(DAY) == datetime.date(2026, 6, 4)
