"""Whatever order and however often batches come: in the end the ledger is the journals."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fleet import usage
from tests.fleet.virtual import Journal, make_fleet
from wire.codes import Code
from wire.messages import Batch


def journals_of(reader: object, lengths: list[int]) -> list[Journal]:
    """Return journals that follow each other."""
    made: list[Journal] = []
    for length in lengths:
        former = made[-1].former if made else None
        journal = reader.journal(former).taps(length)  # type: ignore[attr-defined]
        for _ in range(length):
            journal.tap(code=Code.OK, credential="ab" * 16, rider_pays_yen=50)
        made.append(journal)
    return made


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_ledger_equals_the_journals(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fleet = make_fleet(Path(folder))
        try:
            batches: list[tuple[str, Batch]] = []
            written: dict[tuple[str, int], bytes] = {}
            for name in ("bus-1", "bus-2"):
                lengths = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=3))
                for journal in journals_of(fleet.reader(name), lengths):
                    written |= {(journal.id, one.n): one.body for one in journal.entries}
                    batches += [(name, batch) for batch in cut(data, journal)]
            order = data.draw(
                st.permutations(batches + data.draw(st.lists(st.sampled_from(batches))))
            )
            while order:
                size = data.draw(st.integers(1, 5))
                group, order = order[:size], order[size:]
                fleet.through(*((fleet.reader(name), batch) for name, batch in group))
                with fleet.store.read() as connection:
                    assert usage.check(connection) == []
            assert fleet.stored() == written
            assert fleet.rows("select count(*) from quarantine") == [(0,)]
            assert fleet.rows("select count(*) from conflict") == [(0,)]
            marks = fleet.rows("select journal, through, seen, whole from journal")
            last = {journal: max(n for j, n in written if j == journal) for journal, _ in written}
            assert {(j, t, s) for j, t, s, _ in marks} == {(j, n, n) for j, n in last.items()}
            assert all(whole for *_, whole in marks)
            assert fleet.alarms() <= {"history-lost"}
        finally:
            fleet.close()


def cut(data: st.DataObject, journal: Journal) -> list[Batch]:
    """Cut a journal into batches that cover it, with overlaps."""
    batches = []
    first, end = 1, len(journal.entries)
    while first <= end:
        last = data.draw(st.integers(first, end))
        batches.append(journal.batch(data.draw(st.integers(max(1, first - 2), first)), last))
        first = last + 1
    return batches
