"""What a town's taxis are to do today: the same for the same seed, and nothing the rules forbid."""

import datetime
from collections import Counter

from hw.sim.cabs import FIRST_RIDE, LAST_RIDE, RIDES_A_DAY_MAX, plan_rides
from hw.sim.papers import COMPANIES, PLACES, SERVES
from hw.sim.people import RIDERS, TAXI, TAXIS, draw_people, draw_riders, drawn_card
from hw.sim.timetable import DAY_ENDS, MORNING_ENDS, instant_ms
from wire.codes import Code

DAY = datetime.date(2026, 6, 3)


def test_the_same_seed_gives_the_same_rides_in_the_hours_of_the_subsidy() -> None:
    riders = draw_riders(1, DAY, 60)
    rides = plan_rides(1, DAY, riders, instant_ms(DAY, DAY_ENDS), 100)
    assert [ride._replace(riders=()) for ride in rides] == [
        ride._replace(riders=())
        for ride in plan_rides(1, DAY, draw_riders(1, DAY, 60), instant_ms(DAY, DAY_ENDS), 100)
    ]
    assert {ride.taxi for ride in rides} == set(TAXIS)
    assert rides[0].at_ms >= instant_ms(DAY, FIRST_RIDE)
    assert rides[-1].at_ms <= instant_ms(DAY, LAST_RIDE)
    assert {len(ride.riders) for ride in rides} == {1, 2, 3}


def test_nobody_rides_more_often_than_the_rules_have_it() -> None:
    rides = plan_rides(2, DAY, draw_riders(2, DAY, 30), instant_ms(DAY, DAY_ENDS), 100)
    times = Counter(person.number for ride in rides for person in ride.riders)
    assert max(times.values()) == RIDES_A_DAY_MAX
    refused = {person.number for ride in rides for person in ride.riders
               if person.expects is not Code.OK}  # fmt: skip
    assert refused
    assert {times[number] for number in refused} == {1}


def test_a_short_morning_has_no_more_rides_than_there_is_time_for() -> None:
    rides = plan_rides(1, DAY, draw_riders(1, DAY, 20), instant_ms(DAY, MORNING_ENDS), 3)
    assert Counter(ride.taxi for ride in rides) == dict.fromkeys(TAXIS, 3)


def test_riders_are_of_age_members_of_their_own_and_share_no_number_with_others() -> None:
    riders, others = draw_riders(1, DAY, 60), draw_people(1, DAY, 300)
    assert {person.kind for person in riders} == set(RIDERS)
    assert not {person.number for person in riders} & {person.number for person in others}
    for person in riders:
        assert (DAY - person.born).days >= 75 * 365
        assert (person.enrolment is None) == (person.expects is Code.UNKNOWN)
        assert person.enrolment is None or person.enrolment.programme == TAXI


def test_each_taxi_belongs_to_a_company_and_the_desk_serves_every_programme() -> None:
    assert set(COMPANIES) == set(TAXIS)
    assert len(set(COMPANIES.values())) == len(TAXIS)
    served = {programme for place in PLACES for programme in SERVES[place]}
    assert set(SERVES["desk-1"]) == served


def test_a_name_that_somebody_thinks_up_is_one_card() -> None:
    def answer(name: str) -> bytes:
        card = drawn_card(name, DAY)
        assert hasattr(card, "data")
        return bytes(card.data.common_record())

    assert answer("hanako") == answer("hanako") != answer("taro")
