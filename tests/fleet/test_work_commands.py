"""`kazasu-fleet work`: terms from a file, a month closed and exported, a receipt of a day."""

import csv
import datetime
import io
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from openpyxl import load_workbook

from fleet import cli, members, schema, work_corrections, work_export, work_terms
from fleet.books import read_signing_key
from fleet.grants import Role
from fleet.store import open_fleet, open_persons
from fleet.work_acts import Act
from fleet.work_lists import ListMaker
from fleet.work_terms_csv import HEADINGS
from fleet.work_wishes import AddMark, Wish
from programmes.calendar import start_of_day_ms
from programmes.work_hours import DAY_OFF, REST_DAY, Pattern, Shift
from tests.fleet.virtual import HandClock, VirtualFleet, bus, make_fleet
from tests.fleet.work_kit import NOW_MS, RULES, at
from wire.envelope import Signer

SCHOOL = "kita-sho"
HEAD = "登録番号,適用開始日,学校,職員区分,任用区分,月,火,水,木,金,土,日,理由\n"
SHORT = "09:00-15:00/12:00-12:45"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualFleet]:
    gate = msgspec.structs.replace(bus("gate-1"), kind="school", line="", programmes=["attendance"])
    fleet = make_fleet(tmp_path_factory.mktemp("work"), [gate])
    fleet.clock.at_ms = NOW_MS
    with fleet.people.write() as connection:
        for number in ("T-1", "T-2"):
            new = members.NewMember(number, f"教員{number}", "キョウイン")
            members.enrol(connection, "attendance", new, "hana", 1)
    yield fleet
    fleet.close()


def member_id(fleet: VirtualFleet, number: str = "T-1") -> int:
    mine = schema.member.c.registration_number == number
    with fleet.people.read() as connection:
        return int(connection.scalars(sa.select(schema.member.c.id).where(mine)).one())


def terms_file(folder: Path, *lines: str) -> str:
    path = folder / "terms.csv"
    path.write_text(HEAD + "".join(f"{line}\n" for line in lines), "utf-8")
    return str(path)


def terms(fleet: VirtualFleet, number: str = "T-1") -> tuple[work_terms.Term, ...]:
    one = member_id(fleet, number)
    with fleet.people.read() as connection:
        return work_terms.of_members(connection, [one])[one].terms


def test_terms_are_taken_in_whole_and_a_dry_run_writes_nothing(
    made: VirtualFleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    week = f"{SHORT},{SHORT},休,09:00-15:00+16:00-17:00/12:00-12:45,{SHORT},休,法"
    good = terms_file(tmp_path, f"T-1,2026-06-01,{SCHOOL},教員,非常勤,{week},週4日")
    assert made.command("work", "terms", good, "--dry-run") == 0
    assert terms(made) == ()
    assert made.command("work", "terms", good) == 0
    (term,) = terms(made)
    day = Shift(hours=((540, 720), (765, 900)), breaks=((720, 765),))
    long_day = Shift(hours=((540, 720), (765, 900), (960, 1_020)), breaks=((720, 765),))
    assert term.pattern == Pattern((day, day, DAY_OFF, long_day, day, DAY_OFF, REST_DAY))
    assert (term.staff, term.engaged, term.why) == ("teacher", "part-time", "週4日")
    assert made.command("work", "terms", good) == 0
    assert "0 terms added, 1 unchanged" in capsys.readouterr().out
    assert len(terms(made)) == 1


def test_what_is_wrong_is_said_line_by_line_and_nothing_is_written(
    made: VirtualFleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = terms(made, "T-2")
    plain = "休,休,休,休,休,休,休,"
    bad = terms_file(
        tmp_path,
        f"T-2,2026-06-01,{SCHOOL},教員,常勤,{plain}",
        f"T-9,2026-06-01,{SCHOOL},教員,常勤,{plain}",
        f"T-2,六月,{SCHOOL},教員,常勤,{plain}",
        f"T-2,2026-06-02,{SCHOOL},部長,常勤,{plain}",
        f"T-2,2026-06-03,{SCHOOL},教員,常勤,25時,{SHORT}+16:00-17:00,休,休,休,休,休,",
        f"T-2,2026-06-04,Kita Sho,教員,常勤,{plain}",
        f"T-2,2026-06-01,{SCHOOL},教員,常勤,{plain}",
        f"T-2,2026-06-05,{SCHOOL},教員,常勤,休,休,休,休,休,休,休,123456789018",
    )
    assert made.command("work", "terms", bad) == 1
    told = capsys.readouterr().err
    for line, column in (
        (3, "registration_number"),
        (4, "valid_from"),
        (5, "staff"),
        (6, "monday"),
        (6, "tuesday"),
        (8, "valid_from"),
        (9, "why"),
    ):
        assert f"\n{line}\t{column}\t" in told
    assert "\n7\t\tA school's code" in told
    assert "123456789018" not in told
    assert terms(made, "T-2") == before


def test_a_month_is_closed_exported_and_reopened(
    made: VirtualFleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give_terms(made)
    with made.people.write() as connection:
        day = datetime.date(2026, 6, 3)
        wishes: list[Wish] = [AddMark(at(3, "07:45"), "in"), AddMark(at(3, "17:15"), "out")]
        act = Act(member_id(made, "T-2"), "kyoto", NOW_MS, "カードを忘れた")
        work_corrections.correct(connection, act, day, wishes, RULES)
    assert made.command("work", "close", SCHOOL, "2026-06") == 0
    months, days = tmp_path / "months.csv", tmp_path / "days.xlsx"
    assert made.command("work", "export", SCHOOL, "2026-06", str(months)) == 0
    assert made.command("work", "export", SCHOOL, "2026-06", str(months)) == 1
    assert made.command("work", "export", SCHOOL, "2026-06", str(days), "--days") == 0
    head, *lines = csv.reader(io.StringIO(months.read_text("utf-8-sig")))
    assert len(head) == len(work_export.COLUMNS)
    (mine,) = [dict(zip(work_export.COLUMNS, row, strict=True)) for row in lines if row[0] == "T-2"]
    worked = sum(int(mine[f"{one}_min"]) for one in ("presence", "off_site", "home", "break"))
    assert worked + int(mine["study_min"]) == int(mine["worked_min"]) == 525
    outside = sum(int(mine[f"{one}_min"]) for one in ("worked", "scheduled", "leave", "short"))
    assert outside == int(mine["outside_min"]) == 60
    assert (mine["by_hand"], mine["changed_min"], mine["days_worked"]) == ("2", "0", "1")
    assert mine["closed_by"].startswith("cli:")
    sheet = load_workbook(days).active
    assert sheet is not None
    rows = list(sheet.iter_rows(values_only=True))
    assert len(rows[0]) == len(work_export.DAY_COLUMNS)
    (third,) = [row for row in rows if row[0] == "T-2" and str(row[3]).startswith("2026-06-03")]
    assert third[4:8] == ("07:45", "17:15", 525, 60)
    assert made.command("work", "reopen", SCHOOL, "2026-06", "届け出の漏れ") == 0
    capsys.readouterr()
    assert made.command("work", "months") == 0
    assert [line.split("\t")[2] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "reopened",
        "closed",
    ]


def give_terms(fleet: VirtualFleet) -> None:
    april = datetime.date(2026, 4, 1)
    if not terms(fleet, "T-2"):
        with fleet.people.write() as connection:
            act = Act(member_id(fleet, "T-2"), "hana", start_of_day_ms(april))
            work_terms.add(connection, act, work_terms.NewTerm(april, SCHOOL))


def test_a_receipt_is_proved_with_the_public_key_alone(
    made: VirtualFleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give_terms(made)
    fleet = open_fleet(made.config.databases, Role.DISPATCH)
    people = open_persons(made.config.databases, Role.DISPATCH)
    signer = Signer(read_signing_key(made.config.signing_key))
    ListMaker(fleet, people, made.config.tenant, signer).make_due(NOW_MS)
    fleet.close()
    people.close()
    own, whole = tmp_path / "receipt.json", tmp_path / "list.json"
    assert made.command("work", "receipt", "T-2", "2026-07-02", str(own)) == 0
    assert made.command("work", "list", SCHOOL, "2026-07-02", str(whole)) == 0
    assert made.command("work", "list", SCHOOL, "2026-07-02", str(whole), "--number", "9") == 1
    public = str(made.config_path.with_name("signing.pub"))
    capsys.readouterr()
    for file in (own, whole):
        argv = ["--config", str(tmp_path / "none.toml"), "work", "verify", str(file)]
        assert cli.run([*argv, "--fleet-key", public, "--language", "en"], HandClock()) == 0
    told = capsys.readouterr().out
    assert f"school {SCHOOL}, 2026-07-02, list 1 of that day" in told
    assert f"The day of row {member_id(made, 'T-2')}" in told
    altered = own.read_bytes().replace(b'"unknowing":false', b'"unknowing":true')
    own.write_bytes(altered)
    assert made.command("work", "verify", str(own), "--language", "en") == 1
    assert "does not stand in the signed list" in capsys.readouterr().out


def test_an_account_is_bound_to_its_member_by_command(made: VirtualFleet) -> None:
    with made.store.write() as connection:
        row = {"name": "mori", "role": "clerk", "password": "", "added_at_ms": 1}
        connection.execute(schema.account.insert().values(row))
    assert made.command("work", "bind", "T-1", "nobody") == 1
    assert made.command("work", "bind", "T-1", "mori") == 0
    assert made.command("work", "bind", "T-2", "mori") == 1
    assert made.command("work", "unbind", "T-1", "mori") == 0


def test_records_past_their_time_are_removed_when_somebody_says_so(
    made: VirtualFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert made.command("work", "keep", "12", "短すぎる") == 1
    assert made.command("work", "keep", "72", "文書管理規則第10条") == 0
    assert made.command("work", "retire") == 0
    assert "before 2020-07-01" in capsys.readouterr().out
    assert made.command("work", "retire", "--yes") == 0


def test_every_heading_of_a_file_of_terms_is_a_column(made: VirtualFleet) -> None:
    assert set(HEADINGS) == set(HEAD.strip().split(","))


def test_a_spare_card_is_lent_taken_back_and_put_out_of_use(
    made: VirtualFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    with made.people.write() as connection:
        row = {"organisation": "kita-chu", "number": 7, "credential": "c7", "who": "hana"}
        row |= {"scheme": "staff-token", "key_epoch": 1, "at_ms": 1}
        connection.execute(schema.work_spare.insert().values(row))
        new = members.NewMember("T-7", "教員7", "キョウイン")
        one = members.enrol(connection, "attendance", new, "hana", 1)
        term = work_terms.NewTerm(datetime.date(2026, 4, 1), "kita-chu")
        work_terms.add(connection, Act(one, "hana", NOW_MS), term)
    spare = ("work", "spare")
    assert made.command(*spare, "lend", "kita-chu", "7", "T-7", "--until", "2026-07-09") == 0
    assert made.command(*spare, "lend", "kita-chu", "7", "T-7") == 1
    assert made.command(*spare, "list", "kita-chu") == 0
    assert "7\tlent\tT-7\t2026-07-10 04:00" in capsys.readouterr().out
    assert made.command(*spare, "back", "kita-chu", "7") == 0
    assert made.command(*spare, "back", "kita-chu", "7") == 1
    assert made.command(*spare, "retire", "kita-chu", "7", "森先生が紛失") == 1
    assert made.command(*spare, "retire", "kita-chu", "7", "lost") == 0
    assert made.command(*spare, "lend", "kita-chu", "7", "T-7") == 1
    assert made.command(*spare, "list", "kita-chu") == 0
    assert "7\tlost" in capsys.readouterr().out
    assert made.command(*spare, "restore", "kita-chu", "7") == 0
    assert made.command(*spare, "retire", "kita-chu", "8", "lost") == 1
    assert made.command(*spare, "lend", "kita-chu", "7", "T-7", "--until", "x") == 2
