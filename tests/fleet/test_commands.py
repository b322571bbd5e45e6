import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from fleet import cli
from fleet.accounts import FAILURES_MAX, LOCK_MS, Account, Accounts
from fleet.grants import Role
from fleet.store import open_fleet
from tests.fleet.virtual import HandClock, VirtualFleet
from tests.real_postgres import Postgres


def test_the_export_is_the_journal_line_by_line(
    fleet: VirtualFleet, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    bus, other = fleet.reader("bus-1"), fleet.reader("bus-2")
    journal = bus.journal().taps(5)
    fleet.through((bus, journal.all()), (other, other.journal().all()))
    capfdbinary.readouterr()
    assert fleet.command("ledger", "export", "--reader", bus.name) == 0
    lines = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert lines == [
        {
            "reader": bus.name,
            "journal": journal.id,
            "n": one.n,
            "hash": one.tip.hex(),
            "body": one.body.decode(),
        }
        for one in journal.entries
    ]


def test_quarantine_shows_the_very_bytes(
    fleet: VirtualFleet, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    fleet.take(fleet.reader("bus-1").raw(b"\xff\x00 no batch"))
    capfdbinary.readouterr()
    assert fleet.command("quarantine", "show", "1") == 0
    assert capfdbinary.readouterr().out == b"\xff\x00 no batch"
    assert fleet.command("quarantine", "show", "2") == 1


@pytest.mark.parametrize(
    "argv",
    [
        ["status"],
        ["readers", "list"],
        ["accounts", "list"],
        ["members", "list", "--programme", "senior-pass"],
        ["rules", "list"],
        ["rosters", "build"],
        ["rosters", "list"],
        ["gaps", "list", "--closed"],
        ["quarantine", "list"],
        ["audit", "list"],
        ["retention", "show"],
        ["retention", "run", "--dry-run"],
        ["init"],
    ],
)
def test_every_command_answers(fleet: VirtualFleet, argv: list[str]) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal().taps(5)
    fleet.through((bus, journal.batch(1, 3)), (bus, journal.batch(3, 6, lost=2)))
    fleet.take(bus.raw(b"?"))
    assert fleet.command(*argv) == 0


def test_what_cannot_be_done_is_said_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "none.toml")
    assert cli.run(["--config", missing, "status"], HandClock()) == 1
    assert "none.toml" in capsys.readouterr().err
    assert cli.run(["nonsense"], HandClock()) == 2


@pytest.mark.parametrize(
    "argv",
    [
        ["status"],
        ["audit", "verify"],
        ["gaps", "list"],
        ["retention", "show"],
        ["members", "list", "--programme", "senior-pass"],
        ["readers", "list"],
        ["accounts", "list"],
        ["backup", "FOLDER"],
        ["ingest"],
        ["dispatch"],
        ["devices"],
        ["console"],
        ["office"],
    ],
)
def test_on_an_empty_server_every_command_says_that_init_comes_first(
    fleet: VirtualFleet,
    postgres: Postgres,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
) -> None:
    url = postgres.url(postgres.empty())
    folder = fleet.town.folder / "fleet"
    lines = (folder / "fleet.toml").read_text("utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("database")]
    path = folder / "empty.toml"
    path.write_text("\n".join([f'database = "{url}"', *kept]), "utf-8")
    given = [str(tmp_path / "copies") if one == "FOLDER" else one for one in argv]
    try:
        assert cli.run(["--config", str(path), *given], HandClock()) == 1
    finally:
        structlog.reset_defaults()  # a service logs to the stderr that it began with
    said = capsys.readouterr().err
    assert "run `kazasu-fleet init` first" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("months", ["-3", "12", "1201"])
def test_retention_outside_its_bounds_is_refused_by_a_sentence_with_them(
    fleet: VirtualFleet, capsys: pytest.CaptureFixture[str], months: str
) -> None:
    assert fleet.command("retention", "set", months, "文書管理規則") == 1
    assert f"13 to 1200 months, not {months}" in capsys.readouterr().err


def test_accounts_are_listed_without_their_passwords(
    fleet: VirtualFleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse battery", "utf-8")
    assert (
        fleet.command("accounts", "add", "umi", "operator", "--password-file", str(password)) == 0
    )
    capsys.readouterr()
    assert fleet.command("accounts", "list") == 0
    said = capsys.readouterr().out
    assert "umi\toperator" in said
    assert "argon2" not in said


def test_a_registry_of_another_tenant_is_refused_whole(fleet: VirtualFleet, tmp_path: Path) -> None:
    path = fleet.town.folder / "fleet" / "registry.json"
    other = tmp_path / "registry.json"
    other.write_text(path.read_text().replace("kazasu-shi", "other-shi"))
    assert fleet.command("readers", "import", str(other)) == 1
    assert fleet.command("readers", "import", str(path)) == 0
    assert fleet.rows("select count(*) from reader") == [(2,)]
    assert fleet.command("readers", "revoke", "kazasu-shi/nobody", "why") == 1


# --- accounts ------------------------------------------------------------------------------------

PASSWORD = "correct horse battery"


@pytest.fixture
def accounts(fleet: VirtualFleet, tmp_path: Path) -> Iterator[Accounts]:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    add = ("accounts", "add", "hanako", "operator", "--password-file", str(secret))
    assert fleet.command(*add) == 0
    store = open_fleet(fleet.config.databases, Role.CONSOLE)
    yield Accounts(store, fleet.clock)
    store.close()


def test_only_the_right_password_opens_an_account(accounts: Accounts) -> None:
    assert accounts.sign_in("hanako", PASSWORD) == Account("hanako", "operator")
    assert accounts.sign_in("hanako", PASSWORD + "x") is None
    assert accounts.sign_in("taro", PASSWORD) is None


def test_a_password_too_short_is_refused(fleet: VirtualFleet, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("short\n")
    add = ("accounts", "add", "hanako", "clerk", "--password-file", str(secret))
    assert fleet.command(*add) == 1
    assert fleet.rows("select * from account") == []


def test_many_wrong_guesses_lock_an_account_for_a_while(
    fleet: VirtualFleet, accounts: Accounts
) -> None:
    for _ in range(FAILURES_MAX):
        assert accounts.sign_in("hanako", "guess") is None
    assert accounts.sign_in("hanako", PASSWORD) is None
    fleet.clock.at_ms += LOCK_MS
    assert accounts.sign_in("hanako", PASSWORD) is not None


def test_a_session_ends_when_told_when_old_and_with_a_new_password(
    fleet: VirtualFleet, accounts: Accounts, tmp_path: Path
) -> None:
    who = Account("hanako", "operator")
    one, two, three = (accounts.begin(who, 3600) for _ in range(3))
    assert accounts.account(one) == who
    assert fleet.rows("select count(*) from session where token_sha256 = 'x'") == [(0,)]
    accounts.end(one)
    assert accounts.account(one) is None
    assert accounts.account("never given") is None
    fleet.clock.pass_s(3600)
    assert accounts.account(two) is None
    four = accounts.begin(who, 3600)
    secret = tmp_path / "password"
    add = ("accounts", "add", "hanako", "clerk", "--password-file", str(secret))
    assert fleet.command(*add) == 0
    assert accounts.account(four) is None
    assert accounts.account(three) is None
