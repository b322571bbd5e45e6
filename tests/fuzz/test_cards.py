"""A share of the soak's bad cards: over the decoders, each front end, and a whole reader.

The same each time. `scripts/soak` does the same by the million and ten thousand, with other seeds.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.fuzz.card_cases import Fuzz
from tests.fuzz.card_decoders import Decoders
from tests.fuzz.card_front_ends import (
    Bench,
    over_noisy_line,
    over_pcsc,
    over_pn532,
    over_rcs380,
    over_udp,
)
from tests.fuzz.held import Members, Tally
from tests.soak import readers
from tests.timing import IN_TIME

SEED = 1
MUTATIONS = 20_000
"""Some 4 s."""
CARDS_READ = 60
"""By a whole reader, of which six are bad: some 4 s."""
MANY = 0.1
"""So that neither what is understood nor what is not is tried too seldom."""


def test_whatever_a_card_says_a_decoder_gives_its_identifier_or_says_that_there_is_none(
    tmp_path: Path,
) -> None:
    tally, decoders = Tally(), Decoders(tmp_path)
    for _ in decoders.run(MUTATIONS, SEED, tally):
        pass
    decoders.close()
    assert not tally.wrong
    assert min(tally.right, tally.none) > MANY * MUTATIONS


@IN_TIME
@pytest.mark.parametrize(
    ("over", "cards"),
    [
        (over_pn532, 60),
        (over_noisy_line, 60),
        (over_udp, 60),
        (over_rcs380, 30),
        (over_pcsc, 30),
    ],
    ids=["PN532", "PN532 behind a noisy line", "udp", "RC-S380", "PC/SC"],
)
def test_whatever_is_held_is_itself_or_nothing_and_the_next_good_card_is_read(
    over: Callable[[Path, random.Random], AbstractContextManager[Bench]],
    cards: int,
    tmp_path: Path,
) -> None:
    tally = Tally()
    with over(tmp_path, random.Random(SEED)) as bench:
        members = Members(tmp_path / "members", hasty=bench.alone)
        for _ in Fuzz(bench, members, tally).run(cards, SEED):
            pass
    assert not tally.wrong
    assert min(tally.right, tally.none + tally.faults) > MANY * cards


@pytest.mark.parametrize("over", [readers.over_pn532, readers.over_udp])
def test_a_reader_answers_every_good_card_once_whatever_came_before(
    over: Callable[[int, int, readers.Life], Iterator[readers.Life]],
) -> None:
    life = readers.Life()
    for _ in over(CARDS_READ, SEED, life):
        pass
    assert not life.wrong
    assert life.told >= life.times - life.bad
