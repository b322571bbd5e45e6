"""Files of members on their way in: looked at, taken in, taken back, cut short, forgotten."""

import datetime
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import sqlalchemy as sa

from fleet import import_jobs, members, members_csv, members_import, store, tables
from fleet.config import Databases
from fleet.grants import Role
from fleet.import_jobs import KEPT_MS, KEPT_UNDO_MS, MOVES, SILENT_MS, Job, JobRefused, State
from fleet.import_work import Work
from fleet.schema import consent, import_job, member, member_event, person, person_audit
from fleet.store import Store
from fleet.web.import_children import Children
from programmes.texts import say
from tests.fleet.virtual import NOON_MS, VirtualFleet
from tests.web.town import StoppedClock, config_in

BUS = "senior-pass"
NUMBER = "123456789018"
BORN = datetime.date(1950, 2, 28)
HEAD = "登録番号,氏名,カナ,有効終了"


@pytest.fixture
def people(tmp_path: Path) -> Iterator[Store]:
    files = Databases(tmp_path, "")
    store.migrate(files)
    opened = store.open_persons(files, Role.OFFICE)
    yield opened
    opened.close()


@pytest.fixture
def office(databases: Databases) -> Iterator[Store]:
    """On both databases, as the office's user."""
    store.migrate(databases)
    opened = store.open_persons(databases, Role.OFFICE)
    yield opened
    opened.close()


def look(people: Store, text: str, encoding: str = "utf-8", at_ms: int = NOON_MS) -> Job:
    """Look at a file as the office's child does."""
    with people.write() as connection:
        number = import_jobs.begin(connection, BUS, "list.csv", "hana", at_ms)
    Work(people, job(people, number), at_ms).look(text.encode(encoding))
    return job(people, number)


def take(people: Store, number: int, at_ms: int = NOON_MS) -> Job:
    with people.write() as connection:
        import_jobs.begin_taking(connection, number, None, "hana", at_ms)
    Work(people, job(people, number), at_ms).take()
    return job(people, number)


def job(people: Store, number: int) -> Job:
    with people.read() as connection:
        found = import_jobs.get(connection, number)
    assert found is not None
    return found


def rows(people: Store, table: sa.Table) -> list[Any]:
    with people.read() as connection:
        return list(connection.execute(table.select()))


def test_a_file_is_looked_at_and_taken_in_and_what_it_changed_is_kept(office: Store) -> None:
    people = office
    first = look(people, f"{HEAD}\nA-1,佐藤 花,ｻﾄｳ ﾊﾅ,令和9年3月31日\nA-2,鈴木,,")
    assert (first.state, first.report and first.report.added) == (State.LOOKED, 2)
    assert rows(people, member) == []
    assert take(people, first.id).state is State.TAKEN
    second = look(people, "登録番号,氏名\nA-1,佐藤 花子\nA-2,鈴木")
    assert second.report is not None
    assert (second.report.changed, second.report.unchanged) == (1, 1)
    take(people, second.id)
    known = {row.name: row for row in rows(people, person)}
    assert known["佐藤 花子"].kana == "サトウ ハナ"
    (event,) = rows(people, member_event)
    assert event.changed == [["person", known["佐藤 花子"].id, "name", "佐藤 花", "佐藤 花子"]]
    told = [(row.what, row.detail) for row in rows(people, person_audit)]
    assert ("members.added", "A-1 A-2") in told
    assert ("members.changed", "A-1") in told
    assert rows(people, consent) == []


def test_the_same_file_twice_has_nothing_to_take(people: Store) -> None:
    text = f"{HEAD}\nA-1,佐藤,サトウ,2027-03-31"
    take(people, look(people, text).id)
    again = look(people, text)
    assert again.report is not None
    assert (again.report.unchanged, again.report.may_be_taken) == (1, False)
    with people.write() as connection, pytest.raises(JobRefused):
        import_jobs.begin_taking(connection, again.id, None, "hana", NOON_MS)


def test_what_an_import_did_is_taken_back_by_the_file_that_it_leaves(people: Store) -> None:
    take(people, look(people, f"{HEAD}\nA-1,佐藤,サトウ,2027-03-31").id)
    done = take(people, look(people, f"{HEAD}\nA-1,佐藤,カトウ,\nA-2,鈴木,,2027-03-31").id)
    with people.read() as connection:
        held = import_jobs.body(connection, done.id)
    assert held is not None
    back = look(people, held.decode())
    take(people, back.id)
    with people.read() as connection:
        found = {row.registration_number: row for row in members.find(connection, BUS)}
    assert (found["A-1"].kana, str(found["A-1"].valid_to)) == ("サトウ", "2027-03-31")
    assert str(found["A-2"].valid_to) == "2026-06-02"


def test_taking_an_import_back_leaves_alone_what_was_corrected_since(office: Store) -> None:
    people = office
    take(people, look(people, f"{HEAD}\nA-1,佐藤,サトウ,2027-03-31\nA-2,鈴木,,").id)
    text = f"{HEAD}\nA-1,加藤,カトウ,2028-03-31\nA-2,鈴木花,,\nA-3,林,,2027-03-31"
    done = take(people, look(people, text).id)
    with people.read() as connection:
        held = import_jobs.body(connection, done.id)
    assert held is not None
    here = member.select().where(member.c.registration_number == "A-1")
    with people.write() as connection:
        one = connection.execute(here).one()
        row = person.c.id == one.person_id
        connection.execute(person.update().where(row).values(kana="カトー", birth_date=BORN))
        first_day = datetime.date(2026, 4, 1)
        connection.execute(
            member.update().where(member.c.id == one.id).values(category="x", valid_from=first_day)
        )
        gone = member.c.registration_number == "A-3"
        connection.execute(member.update().where(gone).values(registration_number="erased-3"))
    back = look(people, held.decode())
    assert back.report is not None
    assert [one[:2] for one in back.report.changes] == [("A-1", "name"), ("A-2", "name")]
    assert back.report.stays == [
        ("A-1", "kana", "カトー", "サトウ"),
        ("A-1", "valid_to", "2028-03-31", "2027-03-31"),
    ]
    assert back.report.added == 0
    with people.write() as connection:  # and once more between looking and taking
        connection.execute(
            person.update().where(row).values(name="加東", updated_at_ms=NOON_MS + 1)
        )
    take(people, back.id)
    take(people, back.id)
    with people.read() as connection:
        found = {row.registration_number: row for row in members.find(connection, BUS)}
    kept = found["A-1"]
    assert (kept.name, kept.kana, kept.category) == ("加東", "カトー", "x")
    assert (str(kept.valid_from), str(kept.valid_to)) == ("2026-04-01", "2028-03-31")
    assert (found["A-2"].name, "A-3" in found) == ("鈴木", False)


def test_a_first_line_that_names_somebody_is_looked_at_in_the_audit(people: Store) -> None:
    found = look(people, "A-1,佐藤花子\nA-2,鈴木")
    assert found.report is not None
    assert "佐藤花子" in repr(found.report.errors)
    with people.write() as connection:
        import_jobs.see(connection, found.id, "umi", NOON_MS)
    told = [(row.who, row.what, row.detail) for row in rows(people, person_audit)]
    assert told == [("umi", "import.seen", f"the first line of file {found.id}")]


@pytest.mark.parametrize(
    ("name", "left"),
    [("佐藤花子.csv", "*.csv"), ("佐藤.花子", "*"), ("花子.XLSX", "*.xlsx"), ("花子", "*")],
)
def test_a_files_name_goes_with_an_erasure_and_when_it_was_given_up(
    office: Store, name: str, left: str
) -> None:
    people = office

    def begin() -> int:
        with people.write() as connection:
            return import_jobs.begin(connection, BUS, name, "hana", NOON_MS)

    given_up = begin()
    with people.write() as connection:
        import_jobs.drop(connection, given_up, NOON_MS)
    assert job(people, given_up).file_name == left
    taken = begin()
    done = import_job.update().where(import_job.c.id == taken)
    with people.write() as connection:
        connection.execute(done.values(state="taken", ended_at_ms=NOON_MS))
        import_jobs.forget(connection, NOON_MS + 1)
    assert job(people, taken).file_name == name
    with people.write() as connection:
        import_jobs.forget_people(connection, BUS, NOON_MS)
    assert job(people, taken).file_name == left
    with people.write() as connection:
        connection.execute(done.values(file_name=name))
        import_jobs.forget(connection, NOON_MS + KEPT_UNDO_MS + 1)
    assert job(people, taken).file_name == left


def test_an_individual_number_never_gets_into_a_row(people: Store) -> None:
    found = look(people, f"{HEAD}\nA-1,{NUMBER},,\nA-2,佐藤,１２３４ ５６７８ ９０１８,")
    assert found.report is not None
    assert [one[2] for one in found.report.errors] == ["individual-number"] * 2
    column = "\n".join(f"B-{n},佐藤,{NUMBER}," for n in range(40))
    whole = look(people, f"{HEAD}\n{column}")
    assert whole.report is not None
    assert whole.report.errors == [(1, "kana", "individual-column", {"n": 40})]
    assert whole.report.refused == 40
    for text in (f"{HEAD},{NUMBER}\nA-1,佐藤,,,", f"{HEAD},年齢\nA-1,佐藤,,,{NUMBER}"):
        assert look(people, text).has_body is False
    for row in rows(people, import_job):
        assert NUMBER not in repr(tuple(row))


def test_a_membership_that_a_desk_has_ended_is_not_reopened_by_a_file(people: Store) -> None:
    take(people, look(people, f"{HEAD}\nA-1,佐藤,,2027-03-31").id)
    ended = member.update().values(ended_kind="deceased", valid_to=datetime.date(2026, 5, 1))
    with people.write() as connection:
        connection.execute(ended)
    found = look(people, f"{HEAD}\nA-1,佐藤,,2027-03-31")
    assert found.report is not None
    assert (found.report.refused, found.report.errors[0][2]) == (1, "ended")
    named = look(people, "登録番号,氏名\nA-1,佐藤花")
    assert named.report is not None
    assert named.report.may_be_taken


def test_a_file_is_taken_in_as_it_was_looked_at_or_looked_at_again(people: Store) -> None:
    take(people, look(people, f"{HEAD}\nA-1,佐藤,サトウ,").id)
    found = look(people, f"{HEAD}\nA-1,佐藤,カトウ,")
    with people.write() as connection:
        connection.execute(person.update().values(name="佐藤 春", updated_at_ms=NOON_MS + 1))
    again = take(people, found.id)
    assert again.report is not None
    assert (again.state, again.report.moved) == (State.LOOKED, True)
    assert [one.column for one in again.report.changes] == ["name", "kana"]
    assert [row.name for row in rows(people, person)] == ["佐藤 春"]
    assert take(people, found.id).state is State.TAKEN


def test_a_plan_counts_until_anything_has_changed(people: Store) -> None:
    file = members_csv.judge(tables.read(f"{HEAD}\nA-1,佐藤,,".encode()))
    with people.read() as connection:
        ready = members_import.plan(connection, BUS, file, NOON_MS)
    with people.write() as connection:
        by = ("hana", NOON_MS)
        assert members_import.take_in(connection, BUS, file, *by, ready=ready) is ready
        again = members_import.take_in(connection, BUS, file, *by, ready=ready)
    assert (len(ready.added), len(again.added), again.unchanged) == (1, 0, 1)


@pytest.mark.parametrize("passed_ms", [SILENT_MS + 1, -24 * 3_600_000], ids=["silent", "set back"])
def test_one_file_of_a_programme_is_worked_on_at_a_time(people: Store, passed_ms: int) -> None:
    """And one that is silent by a clock that was set back blocks nobody until tomorrow."""
    with people.write() as connection:
        first = import_jobs.begin(connection, BUS, "a.csv", "hana", NOON_MS)
        with pytest.raises(JobRefused) as refused:
            import_jobs.begin(connection, BUS, "b.csv", "umi", NOON_MS)
        assert refused.value.reason == "running"
        later_ms = NOON_MS + passed_ms
        assert import_jobs.begin(connection, BUS, "b.csv", "umi", later_ms) != first
    assert job(people, first).state is State.CUT


def test_states_move_only_as_the_table_says(people: Store) -> None:
    for before, after in itertools.product(State, State):
        with people.write() as connection:
            connection.execute(import_job.delete())
            number = import_jobs.begin(connection, BUS, "a.csv", "hana", NOON_MS)
            connection.execute(import_job.update().values(state=before.value))
            if after in MOVES[before]:
                import_jobs.move(connection, number, after)
            else:
                with pytest.raises(JobRefused):
                    import_jobs.move(connection, number, after)


def test_a_file_that_was_given_up_meanwhile_is_not_taken_in(people: Store) -> None:
    found = look(people, f"{HEAD}\nA-1,佐藤,,")
    with people.write() as connection:
        import_jobs.begin_taking(connection, found.id, None, "hana", NOON_MS)
    work = Work(people, job(people, found.id), NOON_MS)
    with people.write() as connection:
        import_jobs.drop(connection, found.id, NOON_MS)
    with pytest.raises(JobRefused):
        work.take()
    assert rows(people, member) == []


async def test_a_process_that_is_killed_half_way_has_taken_nothing_in_and_begins_again(
    tmp_path: Path, people: Store
) -> None:
    found = look(people, f"{HEAD}\nA-1,佐藤,,")
    children = Children(config_in(tmp_path), people, StoppedClock(NOON_MS))
    for kill in (True, False):
        with people.write() as connection:
            import_jobs.begin_taking(connection, found.id, None, "hana", NOON_MS)
        await children.start(found.id, NOON_MS, b"")
        if kill:
            await children.stop()
            assert (job(people, found.id).state, rows(people, member)) == (State.CUT, [])
    await children.join()
    assert job(people, found.id).state is State.TAKEN
    assert len(rows(people, member)) == 1


def test_a_clerk_is_told_of_schemes_and_programmes_by_name(people: Store) -> None:
    credential = "5c" * 16
    text = f"登録番号,氏名,識別符号,方式,鍵世代\nA-1,佐藤,{credential},jpki-auth,1"
    found = look(people, text)
    assert found.report is not None
    (error,) = found.report.errors_by_line()[2]
    assert error.code == "scheme-not-stated"
    said = import_jobs.sentence(error, "ja")
    assert say("web.programme.senior-pass") in said
    assert say("web.scheme.jpki-auth") in said
    assert "jpki-auth" in error.what  # at the command line as it is typed there


def test_what_is_kept_is_forgotten_in_time(people: Store) -> None:
    waits = look(people, f"{HEAD}\nA-1,佐藤,,\nA-2,,,")
    taken = take(people, look(people, f"{HEAD}\nA-3,佐藤,,").id)
    assert waits.report is not None
    assert waits.report.wrong == [(3, ["A-2", "", "", ""])]
    with people.write() as connection:
        import_jobs.forget(connection, NOON_MS + KEPT_MS + 1)
    gone, kept = job(people, waits.id), job(people, taken.id)
    assert (gone.state, gone.has_body, kept.has_body) == (State.DROPPED, False, True)
    assert gone.report is not None
    assert (gone.report.wrong, gone.report.refused) == ([], 1)
    with people.write() as connection:
        import_jobs.forget(connection, NOON_MS + KEPT_UNDO_MS + 60_000)
    assert job(people, taken.id).has_body is False
    with people.write() as connection:
        import_jobs.forget(connection, NOON_MS + 500 * KEPT_MS)
    assert rows(people, import_job) == []


def test_who_erases_a_person_erases_what_files_brought(people: Store) -> None:
    look(people, f"{HEAD}\nA-1,佐藤,,\nA-2,,,")
    take(people, look(people, f"{HEAD}\nA-3,佐藤,,").id)
    with people.write() as connection:
        import_jobs.forget_people(connection, BUS, NOON_MS)
    assert all("佐藤" not in repr(tuple(row)) for row in rows(people, import_job))


def test_the_command_line_takes_the_same_files(fleet: VirtualFleet, tmp_path: Path) -> None:
    book, plain = tmp_path / "list.xlsx", tmp_path / "list.csv"
    made = openpyxl.Workbook()
    for line in (["登録番号", "氏名"], ["001", "髙橋①"]):
        made.active.append(line)
    made.save(book)
    plain.write_bytes("登録番号,氏名\n002,山﨑㈱\n".encode("cp932"))
    for path in (book, plain):
        assert fleet.command("members", "import", str(path), "--programme", BUS) == 0
    with fleet.people.read() as connection:
        assert [row.name for row in members.find(connection, BUS, "00")] == ["髙橋①", "山﨑㈱"]
    for name in ("out.csv", "out.xlsx"):
        out = str(tmp_path / name)
        assert fleet.command("members", "export", out, "--programme", BUS, "--shift-jis") == 0
        assert fleet.command("members", "export", out, "--programme", BUS) == 1
        lines = [row.cells[:2] for row in tables.read((tmp_path / name).read_bytes()).rows]
        assert sorted(lines[1:]) == [["001", "髙橋①"], ["002", "山﨑㈱"]]
