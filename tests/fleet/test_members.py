import csv
import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from fleet import members, members_csv, moves
from fleet.members import MemberRefused, NewMember
from fleet.members_csv import FileRefused, LineError
from fleet.moves import Move
from fleet.roster_files import RosterArchive
from fleet.schema import triage
from fleet.triage import assign, waiting
from tests.fleet.test_reconcile import build
from tests.fleet.virtual import (
    NOON_MS,
    VirtualFleet,
    add_member,
    desk,
    make_fleet,
    on_rosters,
    pinned_key,
    terms_of,
)
from wire.credential import Scheme
from wire.envelope import Purpose
from wire.messages import Triage
from wire.topics import Leaf

ENGLISH = list(members_csv.COLUMNS)
JAPANESE = list(members_csv.HEADINGS)
CARD = "0123456789abcdef0123456789abcdef"
GOOD = ["A-1", "山田花子", "ヤマダハナコ", "1950-02-28", CARD, "common-ap", "1", "all"]
GOOD += ["2026/4/1", "2027-03-31", "W-1"]


def write(path: Path, *lines: list[str], headings: list[str] = ENGLISH) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([headings, *lines])
    return path


def change(**cells: str) -> list[str]:
    return [cells.get(column, cell) for column, cell in zip(ENGLISH, GOOD, strict=True)]


def errors(path: Path) -> list[LineError]:
    with pytest.raises(FileRefused) as refused:
        members_csv.read_file(path)
    return refused.value.errors


def imported(fleet: VirtualFleet, path: Path, *options: str) -> int:
    return fleet.command("members", "import", str(path), "--programme", "senior-pass", *options)


def listed(fleet: VirtualFleet) -> list[Any]:
    with fleet.people.read() as connection:
        return members.find(connection, "senior-pass")


@pytest.mark.parametrize("headings", [ENGLISH, JAPANESE])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_both_headings_are_read_with_and_without_a_bom(
    tmp_path: Path, headings: list[str], bom: bytes
) -> None:
    path = write(tmp_path / "members.csv", GOOD, headings=headings)
    path.write_bytes(bom + path.read_bytes())
    (line,) = members_csv.read_file(path).lines
    assert (line.registration_number, line.name, line.credential) == ("A-1", "山田花子", CARD)
    assert f"{line.birth_date} {line.valid_from} {line.valid_to}" == (
        "1950-02-28 2026-04-01 2027-03-31"
    )


def test_the_short_japanese_headings_are_read_and_a_near_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    path.write_text(
        "登録番号,氏名,ｶﾅ,有効開始,有効終了\nA-1,山田,ヤマダ,2026-04-01,2027-03-31\n", "utf-8"
    )
    (line,) = members_csv.read_file(path).lines
    assert (line.kana, str(line.valid_from), str(line.valid_to)) == (
        "ヤマダ",
        "2026-04-01",
        "2027-03-31",
    )
    path.write_text("登録番号,氏名,有効終了年月日,Valid_From_\nA-1,山田,,\n", "utf-8")
    assert [(error.column, error.what) for error in errors(path)] == [
        ("有効終了年月日", "unknown column: did you mean 有効終了日? If not, take it out"),
        ("Valid_From_", "unknown column: did you mean valid_from? If not, take it out"),
    ]
    path.write_text("登録番号,氏名,カナ,フリガナ\nA-1,山田,,\n", "utf-8")
    assert errors(path) == [LineError(1, "kana", "column-twice")]


@pytest.mark.parametrize(
    ("cells", "column", "hint"),
    [
        ({"registration_number": ""}, "registration_number", "must have a value"),
        ({"name": ""}, "name", "must have a value"),
        ({"name": "あ" * 201}, "name", "longer than 200"),
        ({"name": "123456789018"}, "name", "個人番号"),
        ({"kana": "１２３４−５６７８−９０１８"}, "kana", "個人番号"),
        ({"name": "a\tb"}, "name", "control character"),
        ({"birth_date": "1950-02-30"}, "birth_date", "write it as 2026-04-01"),
        ({"birth_date": "28 Feb 1950"}, "birth_date", "write it as 2026-04-01"),
        ({"valid_to": "9999-12-31"}, "valid_to", "use a day from"),
        ({"valid_to": "2026-03-31"}, "valid_to", "ends before it begins"),
        ({"credential": "xyz"}, "credential", "32 lower-case hex digits"),
        ({"scheme": "magic"}, "scheme", "use one of"),
        ({"scheme": ""}, "scheme", "go together"),
        ({"key_epoch": "0"}, "key_epoch", "from 1 to 65535"),
        ({"category": "c" * 41}, "category", "longer than 40"),
    ],
)
def test_each_wrong_cell_is_named_with_its_line_and_what_to_do(
    tmp_path: Path, cells: dict[str, str], column: str, hint: str
) -> None:
    other = {"registration_number": "A-2", "credential": secrets.token_hex(16)}
    path = write(tmp_path / "members.csv", GOOD, change(**(other | cells)))
    found = [error for error in errors(path) if error.column == column]
    assert [error.line for error in found] == [3]
    assert hint in found[0].what


def test_contradictions_inside_a_file_name_both_lines(tmp_path: Path) -> None:
    other = change(registration_number="A-2")
    path = write(tmp_path / "one.csv", GOOD, other)
    assert errors(path) == [LineError(3, "credential", "card-twice", {"other": 2})]
    path = write(tmp_path / "two.csv", GOOD, change(name="山田太郎", credential="ab" * 16))
    assert errors(path) == [LineError(3, "registration_number", "number-twice", {"other": 2})]


def test_what_is_no_table_says_how_to_save_it(tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    path.write_bytes("登録番号,氏名\nA-1,山田\n".encode("euc_jp"))
    (error,) = errors(path)
    assert (error.line, "CSV UTF-8" in error.what) == (1, True)
    path.write_text('registration_number,name\nA-1,"x\n', "utf-8")
    assert "check the quotes" in errors(path)[-1].what
    path.write_text("registration_number,name,shoe_size\nA-1,x,42\n", "utf-8")
    assert errors(path) == [LineError(1, "shoe_size", "column-unknown")]
    path.write_text("name\nx\n", "utf-8")
    assert errors(path) == [LineError(1, "registration_number", "column-missing")]
    path.write_text("registration_number,name\nA-1,x,y\n", "utf-8")
    assert "3 cells, but the header has 2" in errors(path)[0].what


def test_one_wrong_line_keeps_everything_out(fleet: VirtualFleet, tmp_path: Path) -> None:
    path = write(tmp_path / "members.csv", GOOD, change(registration_number=""))
    assert imported(fleet, path) == 1
    assert listed(fleet) == []


def test_a_dry_run_writes_nothing(fleet: VirtualFleet, tmp_path: Path) -> None:
    path = write(tmp_path / "members.csv", GOOD)
    assert imported(fleet, path, "--dry-run") == 0
    assert listed(fleet) == []
    assert imported(fleet, path) == 0
    assert len(listed(fleet)) == 1


def test_the_same_file_again_changes_nothing_and_a_corrected_one_corrects(
    fleet: VirtualFleet, tmp_path: Path
) -> None:
    second_card = change(credential="ab" * 16)
    path = write(tmp_path / "members.csv", GOOD, second_card)
    with fleet.people.read() as connection:
        before = members.revisions(connection)["senior-pass"]
    for _ in range(2):
        assert imported(fleet, path) == 0
        (row,) = listed(fleet)
        assert (row.name, row.cards) == ("山田花子", 2)
    with fleet.people.read() as connection:
        assert members.revisions(connection) == {"senior-pass": before + 1}
    assert imported(fleet, write(path, change(name="佐藤花子"))) == 0
    (row,) = listed(fleet)
    assert (row.name, row.cards) == ("佐藤花子", 2)


def test_a_card_of_another_member_is_refused(fleet: VirtualFleet, tmp_path: Path) -> None:
    assert imported(fleet, write(tmp_path / "a.csv", GOOD)) == 0
    assert imported(fleet, write(tmp_path / "b.csv", change(registration_number="A-2"))) == 1
    assert [row.registration_number for row in listed(fleet)] == ["A-1"]


def test_many_members_come_in_at_once(fleet: VirtualFleet, tmp_path: Path) -> None:
    lines = [
        change(registration_number=f"N-{n}", name=f"市民{n}", credential=secrets.token_hex(16))
        for n in range(6_000)
    ]
    assert imported(fleet, write(tmp_path / "many.csv", *lines)) == 0
    with fleet.people.read() as connection:
        (row,) = members.find(connection, "senior-pass", "N-4321")
    found = {row.credential for row in on_rosters(fleet)}
    assert found == {line[4] for line in lines}
    assert row.name == "市民4321"


def test_a_member_is_stopped_and_let_on_again(fleet: VirtualFleet, tmp_path: Path) -> None:
    imported(fleet, write(tmp_path / "a.csv", GOOD))
    by = ("--programme", "senior-pass")
    assert fleet.command("members", "stop", "A-1", "lost", *by) == 0
    assert fleet.command("members", "stop", "A-1", "lost", *by) == 1
    (row,) = on_rosters(fleet)
    assert row.stopped_from_s == NOON_MS // 1000
    assert fleet.command("members", "unstop", "A-1", *by) == 0
    assert fleet.command("members", "unstop", "A-2", *by) == 1


# --- key epochs ----------------------------------------------------------------------------------


def epoch_begins(fleet: VirtualFleet, tmp_path: Path, epoch: int) -> None:
    """Take in a registry that says so, as provisioning writes it."""
    path = tmp_path / "registry.json"
    registry = json.loads((fleet.town.folder / "fleet" / "registry.json").read_bytes())
    path.write_text(json.dumps(registry | {"key_epochs": {"senior-pass": epoch}}))
    assert fleet.command("readers", "import", str(path)) == 0


def move(fleet: VirtualFleet, older: str, newer: str, epoch: int = 2) -> bool:
    with fleet.people.write() as connection:
        one = Move("senior-pass", older, newer, Scheme.COMMON_AP, epoch)
        return moves.move_card(connection, one, NOON_MS)


def unmoved(fleet: VirtualFleet, present: int) -> list[tuple[str, bool]]:
    with fleet.people.read() as connection:
        found = list(moves.unmoved(connection, "senior-pass", present))
        assert moves.count_unmoved(connection, "senior-pass", present) == len(found)
    return [(one.registration_number, one.lost) for one in found]


def test_a_moved_cards_former_credential_stays_the_members(
    fleet: VirtualFleet, tmp_path: Path
) -> None:
    older, newer = add_member(fleet, "1"), "ab" * 16
    assert [move(fleet, older, newer) for _ in range(2)] == [True, False]
    assert not move(fleet, older, "cd" * 16)  # the same key gives a card no second credential
    assert [row.credential for row in on_rosters(fleet)] == [newer]
    with fleet.people.write() as connection:
        assert members.roster_facts(connection, "senior-pass", terms_of(fleet)).key_epoch == 2
        members.stop(connection, "senior-pass", "1", "lost", "clerk", NOON_MS)
        known = members.known_cards(connection, [older, newer]).rows
    assert {row.stopped_from_s for row in known.values()} == {NOON_MS // 1000}
    assert len(known) == 2
    (row,) = listed(fleet)
    assert row.cards == 1
    sql = "select credential, key_epoch, superseded_at_ms, successor from card order by id"
    with fleet.people.read() as connection:
        present, former = connection.exec_driver_sql(sql).all()
        (card_id,) = connection.exec_driver_sql("select min(id) from card").one()
    assert (tuple(present), tuple(former)) == (
        (newer, 2, None, None),
        (older, 1, NOON_MS, card_id),
    )
    write_again = change(registration_number="1", name="山田1", credential=older, key_epoch="1")
    assert imported(fleet, write(tmp_path / "old.csv", write_again)) == 0
    (row,) = listed(fleet)
    assert row.cards == 1  # an old file brings no former credential back


def test_rosters_name_the_epoch_that_provisioning_began(
    fleet: VirtualFleet, tmp_path: Path
) -> None:
    add_member(fleet, "1")
    build(fleet)
    epoch_begins(fleet, tmp_path, 2)
    assert [(one.version, one.changed) for one in build(fleet)] == [(2, True), (2, True)]
    state, tenant = fleet.config.state_folder, fleet.config.tenant
    archive = RosterArchive(fleet.store, state, tenant, pinned_key(fleet.town))
    held = [archive.get("senior-pass", "bus-1", version) for version in (1, 2)]
    assert [one.header.key_epoch for one in held if one] == [1, 2]
    archive.close()


def test_a_stop_of_the_card_itself_is_known_of_its_former_credential(fleet: VirtualFleet) -> None:
    older, newer = add_member(fleet, "1"), "ab" * 16
    move(fleet, older, newer)
    with fleet.people.write() as connection:
        connection.exec_driver_sql(
            f"update card set stopped_from_ms = {NOON_MS} where credential = '{newer}'"
        )
        known = members.known_cards(connection, [older]).rows
    assert known["senior-pass", older].stopped_from_s == NOON_MS // 1000


def test_the_rest_are_listed_and_those_whom_no_reader_finds_any_more(
    fleet: VirtualFleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cards = {number: add_member(fleet, number) for number in ("1", "2", "3")}
    assert unmoved(fleet, 1) == []
    epoch_begins(fleet, tmp_path, 2)
    assert unmoved(fleet, 2) == [("1", False), ("2", False), ("3", False)]
    move(fleet, cards["1"], "ab" * 16)
    assert unmoved(fleet, 2) == [("2", False), ("3", False)]
    epoch_begins(fleet, tmp_path, 3)
    epoch_begins(fleet, tmp_path, 2)  # an old file takes nothing back
    move(fleet, cards["2"], "cd" * 16, epoch=3)
    assert unmoved(fleet, 3) == [("1", False), ("3", True)]
    path = tmp_path / "rest.csv"
    capsys.readouterr()
    assert fleet.command("members", "unmoved", "senior-pass") == 0
    assert "2 members are not under key epoch 3 yet" in capsys.readouterr().out
    assert fleet.command("members", "unmoved", "senior-pass", "--csv", str(path)) == 0
    assert list(csv.reader(path.read_text("utf-8-sig").splitlines())) == [
        ["registration_number", "name", "kana", "key_epoch", "state"],
        ["1", "山田1", "", "2", "waiting"],
        ["3", "山田3", "", "1", "lost"],
    ]
    assert fleet.command("members", "unmoved", "senior-pass", "--csv", str(path)) == 1
    assert "is there already: name another file" in capsys.readouterr().err


# --- unknown cards -------------------------------------------------------------------------------


@pytest.fixture
def office(tmp_path: Path) -> Any:
    made = make_fleet(tmp_path, [desk()])
    yield made
    made.close()


def hold(fleet: VirtualFleet, n: int = 2, credential: str = CARD) -> None:
    message = Triage(
        v=1,
        at_ms=fleet.clock.now_ms(),
        programme="senior-pass",
        scheme=Scheme.COMMON_AP,
        key_epoch=1,
        credential=credential,
        journal="cd" * 16,
        n=n,
    )
    fleet.take(fleet.reader("desk-1").say(Purpose.TRIAGE, message, Leaf.TRIAGE))


def test_the_card_just_held_is_assigned_and_then_known(office: VirtualFleet) -> None:
    hold(office)
    hold(office, n=3)
    with office.people.write() as connection:
        (card,) = waiting(connection, office.clock.now_ms())
        assert (card.programme, card.place, card.n) == ("senior-pass", "desk-1", 3)
        with pytest.raises(MemberRefused, match="no member"):
            assign(connection, card.id, "A-9", "clerk", NOON_MS)
        members.enrol(connection, "senior-pass", NewMember("A-9", "佐藤一郎"), "clerk", NOON_MS)
        assign(connection, card.id, "A-9", "clerk", NOON_MS)
    with office.people.write() as connection:
        assert list(members.known_cards(connection, [CARD]).rows) == [("senior-pass", CARD)]
        assert waiting(connection, office.clock.now_ms()) == []
        with pytest.raises(MemberRefused, match="no longer listed"):
            assign(connection, card.id, "A-9", "clerk", NOON_MS)
    hold(office, n=4)
    with office.people.read() as connection:
        assert waiting(connection, office.clock.now_ms()) == []


def test_after_seven_days_nothing_is_left_of_a_stranger(office: VirtualFleet) -> None:
    hold(office)
    office.clock.at_ms += members.TRIAGE_KEPT_MS - 1
    office.dispatch.tidy()
    with office.people.read() as connection:
        assert len(waiting(connection, office.clock.now_ms())) == 1
    office.clock.at_ms += 1
    office.dispatch.tidy()
    with office.people.read() as connection:
        assert connection.exec_driver_sql("select count(*) from triage").one() == (0,)


def test_a_card_is_not_listed_where_triage_is_off(fleet: VirtualFleet) -> None:
    message = Triage(
        v=1,
        at_ms=NOON_MS,
        programme="senior-pass",
        scheme=Scheme.COMMON_AP,
        key_epoch=1,
        credential=CARD,
        journal="cd" * 16,
        n=2,
    )
    fleet.take(fleet.reader("bus-1").say(Purpose.TRIAGE, message, Leaf.TRIAGE))
    with fleet.people.read() as connection:
        assert waiting(connection, NOON_MS) == []
    assert fleet.rows("select reason from bad_message") == [("triage-off",)]


def test_the_list_of_unknown_cards_is_bounded(office: VirtualFleet) -> None:
    hold(office)
    with office.people.write() as connection:
        (row,) = connection.execute(triage.select()).mappings()
        copies = [
            {**row, "id": n, "credential": f"{n:032x}"} for n in range(2, members.TRIAGE_MAX + 1)
        ]
        connection.execute(triage.insert(), copies)
    hold(office, credential="ef" * 16)
    with office.people.read() as connection:
        (count,) = connection.exec_driver_sql("select count(*) from triage").one()
    assert count == members.TRIAGE_MAX
