"""What becomes of a journal that is damaged, torn, put back, filled up, or killed while writing."""

import contextlib
import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.journal import (
    MAGIC,
    Follower,
    JournalFile,
    journals,
    next_frame,
    read_whole,
)
from edge.journal_writer import JournalBroken, JournalFull
from tests.edge.journal_kit import READER, begin, read_all, step
from wire.entries import ClockStep, JournalId, Start, genesis

KILLS = 30
APPENDED = 8


@pytest.fixture
def written(tmp_path: Path) -> JournalFile:
    """A closed journal of a start and seven steps."""
    journal = begin(tmp_path)
    for number in range(APPENDED - 1):
        journal.append(step(number))
    journal.close()
    return journals(tmp_path)[0]


def _read(file: JournalFile) -> list[tuple[int, bytes]]:
    with Follower(file, READER) as follower:
        return [(kept.n, kept.body) for kept in follower]


def test_a_flipped_byte_anywhere_costs_one_entry_at_most_and_changes_none(
    written: JournalFile,
) -> None:
    whole, data = _read(written), written.path.read_bytes()
    for at in range(len(data)):
        written.path.write_bytes(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
        read = _read(written)
        assert set(read) < set(whole), at
        assert len(read) == len(whole) - 1


def test_behind_a_damaged_entry_the_chain_goes_on(written: JournalFile) -> None:
    data = written.path.read_bytes()
    fourth = [at for at in range(len(data)) if data.startswith(MAGIC, at)][3]
    with Follower(written, READER) as follower:
        tips = {kept.n: kept.tip for kept in follower}
    written.path.write_bytes(data[: fourth + 60] + b"\0\0\0\0" + data[fourth + 64 :])
    with Follower(written, READER) as follower:
        kept = list(follower)
    assert [one.n for one in kept] == [1, 2, 3, 5, 6, 7, 8]
    assert kept[3].before == tips[4]  # what the lost entry left in its successor
    assert not any(one.contradicts for one in kept)


def test_a_tail_torn_at_any_byte_leaves_every_entry_before_it(written: JournalFile) -> None:
    whole, data = _read(written), written.path.read_bytes()
    starts = [at for at in range(len(data)) if data.startswith(MAGIC, at)]
    for at in range(len(data)):
        written.path.write_bytes(data[:at])
        complete = sum(1 for start in starts[1:] if start <= at)
        assert _read(written) == whole[:complete]


def test_an_entry_exchanged_by_hand_is_seen_as_a_contradiction(
    written: JournalFile, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    journal = begin(other)
    journal.append(step(77))
    forged = journals(other)[0].path.read_bytes()
    data = written.path.read_bytes()
    mine, theirs = (
        [at for at in range(len(of)) if of.startswith(MAGIC, at)] for of in (data, forged)
    )
    written.path.write_bytes(data[: mine[1]] + forged[theirs[1] :] + data[mine[2] :])
    with Follower(written, READER) as follower:
        assert [kept.n for kept in follower if kept.contradicts] == [2, 3]


def test_another_readers_journal_contradicts_at_its_first_entry(written: JournalFile) -> None:
    with Follower(written, "kazasu-shi/bus-2") as follower:
        assert next(iter(follower)).contradicts


@given(st.binary(max_size=600))
def test_garbage_is_no_entry(garbage: bytes) -> None:
    assert next_frame(garbage) is None
    assert next_frame(MAGIC + garbage) is None
    assert next_frame(MAGIC + (2).to_bytes(2) + garbage) is None


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The frames of a real journal, one by one."""
    folder = tmp_path_factory.mktemp("frames")
    journal = begin(folder)
    for number in range(APPENDED - 1):
        journal.append(step(number))
    journal.close()
    data = journals(folder)[0].path.read_bytes()
    starts = [at for at in range(len(data)) if data.startswith(MAGIC, at)]
    return [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]


GARBAGE = st.one_of(st.binary(max_size=300), st.just(MAGIC), st.just(bytes(50)))


@settings(max_examples=60, deadline=None)
@given(garbage=st.lists(GARBAGE, min_size=APPENDED, max_size=APPENDED))
def test_garbage_between_frames_hides_and_invents_nothing(
    frames: list[bytes], garbage: list[bytes]
) -> None:
    mixed = b"".join(part + frame for part, frame in zip(garbage, frames, strict=True))
    at, found = 0, []
    while frame := next_frame(mixed, at):
        at = frame.end
        found.append(frame.entry.n)
    assert found == list(range(1, APPENDED + 1))


def test_last_weeks_copy_put_back_reuses_no_number_and_names_what_it_was(tmp_path: Path) -> None:
    """The ledger knows more of the former journal than the next start claims: that is the gap."""
    folder, copy = tmp_path / "journal", tmp_path / "copy"
    journal = begin(folder)
    journal.append(step(1))
    shutil.copytree(folder, copy)
    sent = {(journal.id, journal.append(step(2))[0]) for _ in range(3)}
    journal.close()
    shutil.rmtree(folder)
    copy.rename(folder)
    again = begin(folder)
    said = {(again.id, again.append(step(3))[0]) for _ in range(3)}
    assert not sent & said
    start = read_all(folder)[1][0].entry
    assert isinstance(start, Start)
    assert start.former is not None
    assert (start.former.journal, start.former.n) == (journal.id, 2)
    assert start.former.n < max(n for _, n in sent)


def test_a_damaged_former_journal_is_named_by_what_is_readable(written: JournalFile) -> None:
    data = written.path.read_bytes()
    written.path.write_bytes(data[:-1] + b"?")
    journal = begin(written.path.parent)
    journal.append(step(0))
    start = read_all(written.path.parent)[1][0].entry
    assert isinstance(start, Start)
    assert start.former is not None
    assert (start.former.journal, start.former.n) == (written.journal, APPENDED - 1)


WRITER = """
import sys
from pathlib import Path
from tests.edge.journal_kit import begin, step
journal = begin(Path(sys.argv[1]))
while True:
    n, tip = journal.append(step(7))
    print(journal.id, n, tip.hex(), flush=True)
"""


def test_every_entry_that_a_killed_writer_reported_is_there(tmp_path: Path) -> None:
    reported: list[tuple[str, int, str]] = []
    for kill in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout
            lines = [writer.stdout.readline() for _ in range(kill + 1)]
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.readlines()
        complete = [line.split() for line in lines if line.endswith("\n")]
        reported += [(journal, int(n), tip) for journal, n, tip in complete]
    kept = {
        (str(file.journal), one.n, one.tip.hex()): one
        for file, read in zip(journals(tmp_path), read_all(tmp_path), strict=True)
        for one in read
    }
    assert len(reported) > KILLS
    assert set(reported) <= set(kept)
    assert not any(one.contradicts for one in kept.values())
    assert len({(journal, n) for journal, n, _ in kept}) == len(kept)


@contextlib.contextmanager
def _files_end_at(size: int) -> Iterator[None]:
    """No file of this process may grow past `size`: a disk that becomes full, without a disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 20, 42, 100])
def test_a_full_disk_keeps_nothing_half_and_goes_on_in_the_same_journal(
    tmp_path: Path, room: int
) -> None:
    journal = begin(tmp_path)
    journal.append(step(0))
    file, first, size = journals(tmp_path)[0], journal.id, journals(tmp_path)[0].path.stat().st_size
    with _files_end_at(size + room):
        for _ in range(3):
            with pytest.raises(JournalFull):
                journal.append(step(1))
            assert file.path.stat().st_size == size
        with pytest.raises(JournalFull):
            journal.probe()
    journal.probe()
    assert file.path.stat().st_size == size
    assert journal.append(step(2))[0] == 3
    assert journal.id == first
    assert [number for number, _ in _read(file)] == [1, 2, 3]
    steps = [kept.entry for kept in read_all(tmp_path)[0] if isinstance(kept.entry, ClockStep)]
    assert [entry.step_ms for entry in steps] == [0, 2]


def test_a_journal_cannot_begin_on_a_full_disk_and_leaves_no_file_behind(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    with _files_end_at(10):
        for _ in range(3):
            with pytest.raises(JournalFull):
                journal.append(step(0))
    assert journals(tmp_path) == []
    assert journal.append(step(0))[0] == 2


def _read_only() -> int:
    return os.open("/dev/null", os.O_RDONLY)


def _sealed() -> int:
    """A file that refuses writes and nothing else, as a disk does that has turned bad."""
    descriptor = os.memfd_create("bad disk", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    return descriptor


@pytest.mark.parametrize("bad", [_read_only, _sealed])
def test_after_a_failed_write_a_fresh_journal_names_the_last_good_entry(
    tmp_path: Path, bad: Callable[[], int]
) -> None:
    journal = begin(tmp_path)
    journal.append(step(0))
    first, tip = journal.id, journal.tip
    _put_in_place(journal.id, bad())
    with pytest.raises(JournalBroken):
        journal.append(step(1))
    assert journal.append(step(2))[0] == 2
    assert journal.id != first
    start = read_all(tmp_path)[1][0].entry
    assert isinstance(start, Start)
    assert start.former is not None
    assert (start.former.journal, start.former.n, start.former.tip) == (first, 2, tip)


def _put_in_place(journal: JournalId, descriptor: int) -> None:
    """Let the writer's own descriptor be this one from now on."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"/proc/self/fd/{name}").endswith(f"{journal}.kzj"):
                os.dup2(descriptor, int(name))
    os.close(descriptor)


def test_a_file_that_the_disk_cannot_read_stops_no_start(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    journal.append(step(0))
    journal.close()
    (tmp_path / f"{9_999_999_999_998}-{'a' * 32}.kzj").mkdir()  # opens, and cannot be read
    again = begin(tmp_path)
    again.append(step(1))
    start = next(read_whole(journals(tmp_path)[-1], READER)).entry
    assert isinstance(start, Start)
    assert start.former is not None
    assert start.former.journal == journal.id


def test_an_empty_journal_has_the_tip_of_its_own_beginning(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    assert journal.tip == genesis(READER, journal.id)
