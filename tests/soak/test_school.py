"""A few people and a few gates, as `python -m tests.soak.school` has a town's; and wrong worlds."""

import tempfile
from pathlib import Path

import pytest

from tests.fleet.whole_world import folder_in_memory
from tests.real_postgres import Postgres
from tests.soak import school_judge, school_people, school_week, school_week_judge
from tests.soak.school_morning import morning
from tests.soak.school_world import World
from wire.codes import Outcome

SEED = 29


def test_at_a_gate_nobody_waits_for_the_network_and_all_say_the_same(postgres: Postgres) -> None:
    """Each network is cut until somebody was served in it: who waited would wait for ever."""
    url = postgres.url(postgres.empty())
    with (
        tempfile.TemporaryDirectory(prefix="kz-") as folder,
        morning(Path(folder), school_people.SMALL, SEED, url) as made,
    ):
        found = school_judge.judge(made)
        assert found.shown >= len(made.met) >= school_people.SMALL.people
        assert any(one.network == "cut" for one in made.met)
        assert {one.said.outcome for one in made.met} == {Outcome.ACCEPTED, Outcome.REPEAT}
        assert any(one.replied for one in made.met)
        school = next(one for one in made.schools if one.met)
        # The ledger has a mark of somebody who was not there.
        met = next(one for one in school.met if one.said.outcome is Outcome.ACCEPTED)
        school.met.remove(met)
        with pytest.raises(AssertionError):
            school_judge.judge(made)
        school.met.append(met)
        # What stood on a screen was another time than is kept.
        said = school.screen.said.pop()
        school.screen.said.append(said._replace(at_ms=said.at_ms + 1))
        with pytest.raises(AssertionError):
            school_judge.judge(made)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_week_is_as_each_person_knows_it_and_can_prove_it(kind: str, postgres: Postgres) -> None:
    url = postgres.url(postgres.empty()) if kind == "postgresql" else ""
    with folder_in_memory() as folder:
        world = World(Path(folder), school_week.SMALL, SEED, url)
        try:
            world.play()
            found = school_week_judge.judge(world)
            happened = (world.count.asked["in vain"], world.count.asked["time"], found.missing)
            assert all(happened), happened
            assert found.lists > school_week.SMALL.schools * school_week.DAYS
            assert found.receipts == school_week.SMALL.staff * school_week.DAYS
            _somebody_was_there_longer(world)
            with pytest.raises(AssertionError):
                school_week_judge.judge(world)
        finally:
            world.close()


def _somebody_was_there_longer(world: World) -> None:
    day = next(one for one in world.did.values() if one.spans and one.spans[-1][1])
    first, end = day.spans[-1]
    assert end is not None
    day.spans[-1] = (first, end + 1)
