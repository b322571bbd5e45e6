"""What the journal promises on a healthy disk: numbers, chain, order, one writer, a week."""

import itertools
import os
import random
from pathlib import Path

import pytest

from edge.clock import Stamp
from edge.journal import (
    JOURNAL_BYTES_MAX,
    JOURNAL_HOURS_MAX,
    MAGIC,
    READ_BYTES,
    Follower,
    journals,
    last_entry,
)
from edge.journal_writer import prune
from edge.lock import InUse
from tests.edge.journal_kit import HOUR_MS, READER, begin, now, read_all, step
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.entries import JournalId, Start, Tap, chain, decode, genesis


def test_entries_come_back_numbered_and_chained(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    said = [journal.append(step(number)) for number in range(5)]
    (kept,) = read_all(tmp_path)
    assert [one.n for one in kept] == [1, 2, 3, 4, 5, 6]
    assert isinstance(kept[0].entry, Start)
    assert kept[0].before == genesis(READER, journal.id)
    assert all(one.tip == chain(one.before, one.body) for one in kept)
    assert all(a.tip == b.before for a, b in itertools.pairwise(kept))
    assert [(one.n, one.tip) for one in kept[1:]] == said
    assert all(decode(one.body) == one.entry for one in kept)


def test_a_follower_reads_on_while_the_journal_is_written(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    journal.append(step(0))
    with Follower(journals(tmp_path)[0], READER) as follower:
        assert [kept.n for kept in follower.read(10)] == [1, 2]
        assert follower.read(10) == []
        for number in range(3):
            journal.append(step(number))
        assert [kept.n for kept in follower.read(2)] == [3, 4]
        assert [kept.n for kept in follower.read(2)] == [5]


def test_each_start_begins_a_journal_that_names_the_one_before(tmp_path: Path) -> None:
    tips = []
    for _ in range(3):
        journal = begin(tmp_path)
        journal.append(step(1))
        tips.append((journal.id, journal.n, journal.tip))
        journal.close()
    starts = [kept[0].entry for kept in read_all(tmp_path)]
    formers = [start.former for start in starts if isinstance(start, Start)]
    assert formers[0] is None
    assert [(f.journal, f.n, f.tip) for f in formers[1:] if f] == tips[:2]
    assert len({journal for journal, _, _ in tips}) == 3


def test_the_entry_is_written_synchronously(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    journal.append(step(0))
    descriptor = next(
        fd for fd in os.listdir("/proc/self/fd") if _target(fd).endswith(f"{journal.id}.kzj")
    )
    info = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
    flags = int(next(line.split()[1] for line in info.splitlines() if line.startswith("flags")), 8)
    assert flags & os.O_DSYNC
    journal.close()


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except FileNotFoundError:
        return ""


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    with pytest.raises(InUse):
        begin(tmp_path)
    journal.close()
    begin(tmp_path).close()


def test_a_journal_is_followed_by_another_after_a_day(tmp_path: Path) -> None:
    hours = 0
    journal = begin(tmp_path, lambda: Stamp(1, hours * HOUR_MS, ClockState.HOLDOVER))
    journal.append(step(1))
    first = journal.id
    hours = JOURNAL_HOURS_MAX + 1
    assert journal.append(step(2))[0] == 2
    assert journal.id != first
    start = read_all(tmp_path)[1][0].entry
    assert isinstance(start, Start)
    assert start.former is not None
    assert (start.former.journal, start.former.n) == (first, 2)


def test_a_journal_is_followed_by_another_when_it_has_grown(tmp_path: Path) -> None:
    long = "x" * 40
    entry = Tap(
        v=1, n=1, **now()._asdict(), programme="p", outcome=Outcome.REFUSED, code=Code.UNKNOWN,
        shown=long, category=long, rule="r" * 64, duty=long, stop=long,
    )  # fmt: skip
    journal = begin(tmp_path)
    while len(journals(tmp_path)) < 2:
        journal.append(entry)
    first, second = journals(tmp_path)
    assert JOURNAL_BYTES_MAX <= first.path.stat().st_size < JOURNAL_BYTES_MAX + 2048
    assert [kept.n for kept in read_all(tmp_path)[1]] == [1, 2]
    assert second.journal == journal.id


def test_files_keep_their_order_when_the_clock_goes_back(tmp_path: Path) -> None:
    ids = []
    for at_ms in (9_000, 5_000, 7_000):
        journal = begin(tmp_path, lambda at=at_ms: Stamp(at, 1, ClockState.UNKNOWN))  # type: ignore[misc]
        journal.append(step(0))
        ids.append(journal.id)
        journal.close()
    assert [file.journal for file in journals(tmp_path)] == ids


def test_only_delivered_journals_that_ended_before_the_limit_are_removed(tmp_path: Path) -> None:
    ids = []
    for day in range(5):
        journal = begin(tmp_path, lambda at=day: Stamp(at * 1000, 1, ClockState.HOLDOVER))  # type: ignore[misc]
        journal.append(step(0))
        ids.append(journal.id)
        journal.close()

    def left() -> list[JournalId]:
        return [file.journal for file in journals(tmp_path)]

    assert prune(tmp_path, JournalId("0" * 32), 10_000) == []
    assert [file.journal for file in prune(tmp_path, ids[3], 2_001)] == ids[:2]
    assert left() == ids[2:]
    prune(tmp_path, ids[3], 10_000)
    assert left() == ids[3:]  # the acknowledged one itself is still being sent


def test_entries_behind_a_long_stretch_of_damage_are_found(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    journal.append(step(0))
    rubbish = random.Random(1).randbytes(3 * READ_BYTES) + MAGIC * 5
    with journals(tmp_path)[0].path.open("ab") as file:
        file.write(rubbish)
    journal.append(step(1))
    assert [kept.n for kept in read_all(tmp_path)[0]] == [1, 2, 3]


def test_the_last_entry_is_found_when_the_latest_file_holds_none(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    journal.append(step(0))
    (tmp_path / f"{9_999_999_999_999}-{'a' * 32}.kzj").write_bytes(b"torn")
    found = last_entry(tmp_path, READER)
    assert found
    assert (found[0], found[1].n) == (journal.id, 2)


def test_nothing_is_found_in_an_empty_folder(tmp_path: Path) -> None:
    assert last_entry(tmp_path, READER) is None
