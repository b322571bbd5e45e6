"""What a person types at the command line, and what is said back."""

import contextlib
import datetime
import inspect
import io
import os
import pty
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
import structlog
import typer
from typer.models import OptionInfo

from fleet import cli, gaps, ledger, members, registry
from fleet.accounts import AccountRole
from fleet.api_clients import Scope
from fleet.grants import Role
from fleet.workers import sole_worker
from tests.conftest import Eventually
from tests.fleet.virtual import NOON_MS, HandClock, VirtualFleet
from wire.credential import Scheme
from wire.individual_number import IndividualNumberRefused

NUMBER = "1234-5678-9018"


@pytest.fixture
def own_log() -> Iterator[None]:
    """A service logs to this test's stderr: no other test's may."""
    yield
    structlog.reset_defaults()


def functions(app: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    for one in app.registered_commands:
        name = one.name or str(getattr(one.callback, "__name__", ""))
        yield (*path, name.rstrip("_")), one.callback
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from functions(group.typer_instance, (*path, str(group.name)))


def typed(param: inspect.Parameter, text: str) -> list[str]:
    """Return one parameter as a person would type it."""
    kind, *infos = [param.annotation]
    if get_origin(kind) is Annotated:
        kind, *infos = get_args(kind)
    words = {
        int: "1",
        Path: "file",
        AccountRole: "clerk",
        Scheme: "common-ap",
        list[Scheme]: "common-ap",
        list[Scope]: "members.read",
        datetime.datetime: "2027-03-31",
    }
    word = words.get(kind, text)
    for info in infos:
        if isinstance(info, OptionInfo):
            told = (info.default, *(info.param_decls or ()))  # typer puts the first one there
            named = [one for one in told if isinstance(one, str) and one.startswith("--")]
            return [*(named or [f"--{param.name.replace('_', '-')}"]), word]
    return [word]


def with_number_in_each_text() -> Iterator[Any]:
    for path, function in functions(cli.app):
        params = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        for text in params:
            if get_args(text.annotation)[:1] not in ((str,), (str | None,)) and (
                text.annotation is not str
            ):
                continue
            argv = [*path]
            for one in params:
                if one is text or one.default is one.empty:
                    argv += typed(one, NUMBER if one is text else "senior-pass")
            yield pytest.param(argv, id=f"{' '.join(path)} {text.name}")


@pytest.mark.parametrize("argv", list(with_number_in_each_text()))
def test_an_individual_number_is_refused_as_any_text_of_any_command(
    argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["--config", str(tmp_path / "none.toml"), *argv], HandClock()) == 1
    said = capsys.readouterr()
    assert "個人番号" in said.err
    assert NUMBER not in said.out + said.err


def test_the_commands_that_store_a_text_are_among_those() -> None:
    ids = {str(one.id) for one in with_number_in_each_text()}
    assert ids >= {
        "members stop registration_number",
        "members stop why",
        "gaps write-off why",
        "accounts add name",
        "readers revoke name",
        "readers revoke why",
        "ledger restored why",
    }


def test_a_password_is_no_individual_number(fleet: VirtualFleet, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(NUMBER + "\n")
    assert fleet.command("accounts", "add", "a", "clerk", "--password-file", str(secret)) == 1
    assert fleet.rows("select * from account") == []


def test_what_stores_a_reason_refuses_an_individual_number_itself(fleet: VirtualFleet) -> None:
    bus = fleet.reader("bus-1").name
    with fleet.store.write() as connection:
        with pytest.raises(IndividualNumberRefused):
            registry.revoke(connection, bus, NUMBER, "test", NOON_MS)
        with pytest.raises(IndividualNumberRefused):
            ledger.begin_epoch(connection, "test", NUMBER, NOON_MS)
        with pytest.raises(IndividualNumberRefused):
            gaps.write_off(connection, 1, "test", NUMBER, NOON_MS)
    with fleet.people.write() as connection, pytest.raises(IndividualNumberRefused):
        members.stop(connection, "senior-pass", "1", NUMBER, "test", NOON_MS)


# --- what cannot be taken back -------------------------------------------------------------------


@pytest.mark.parametrize("why", ["", " \u3000"])
@pytest.mark.parametrize(
    "argv",
    [
        ["readers", "revoke", "kazasu-shi/bus-1"],
        ["ledger", "restored"],
        ["retention", "set", "72"],
        ["gaps", "write-off", "1"],
        ["members", "stop", "1", "--programme", "senior-pass"],
    ],
)
def test_it_is_refused_without_a_reason(
    fleet: VirtualFleet, capsys: pytest.CaptureFixture[str], argv: list[str], why: str
) -> None:
    before = fleet.rows("select * from ledger_epoch"), fleet.rows("select * from reader")
    assert fleet.command(*argv, why) == 1
    assert "reason" in capsys.readouterr().err
    assert (fleet.rows("select * from ledger_epoch"), fleet.rows("select * from reader")) == before


def test_no_new_epoch_is_begun_while_ingest_works(
    fleet: VirtualFleet, capsys: pytest.CaptureFixture[str], eventually: Eventually
) -> None:
    before = fleet.rows("select * from ledger_epoch")
    with sole_worker(fleet.config.databases, Role.OWNER, "ingest"):
        assert fleet.command("ledger", "restored", "disk exchanged") == 1
    assert "another ingest" in capsys.readouterr().err
    assert fleet.rows("select * from ledger_epoch") == before
    # a lock of PostgreSQL's goes with its session, which ends a moment after the connection
    eventually(
        lambda: fleet.command("ledger", "restored", "disk exchanged") == 0,
        that="ingest has let go",
    )


# --- lists ---------------------------------------------------------------------------------------

WHY = "a reason of many words, " * 8 + "その終わり"


def test_a_list_that_is_piped_has_one_whole_line_a_row(
    fleet: VirtualFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fleet.command("readers", "revoke", "kazasu-shi/bus-1", WHY) == 0
    capsys.readouterr()
    assert fleet.command("readers", "list") == 0
    head, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert head == ["reader", "place", "state"]
    assert ["kazasu-shi/bus-1", "bus-1", f"revoked: {WHY}"] in rows
    assert ["kazasu-shi/bus-2", "bus-2", ""] in rows


def at_terminal(fleet: VirtualFleet, *argv: str) -> str:
    """Return what a command shows at a terminal of 80 columns."""
    code = "import sys; from fleet.cli import main; sys.exit(main())"
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", code, "--config", str(fleet.config_path), *argv]
    environment = os.environ | {"COLUMNS": "80", "TERM": "dumb"}
    with subprocess.Popen(command, stdout=theirs, env=environment) as process:
        os.close(theirs)
        shown = io.BytesIO()
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while some := os.read(ours, 4096):
                shown.write(some)
        os.close(ours)
    assert process.returncode == 0
    return shown.getvalue().decode()


def test_a_list_at_a_terminal_is_wrapped_and_never_cut(fleet: VirtualFleet) -> None:
    fleet.command("readers", "revoke", "kazasu-shi/bus-1", "x" * 300 + WHY)
    shown = at_terminal(fleet, "readers", "list")
    assert "…" not in shown
    assert shown.count("x") == 300
    assert shown.count("words") == WHY.count("words")
    assert "…" not in at_terminal(fleet, "status")


def test_the_status_is_whole_sentences(
    fleet: VirtualFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal().taps(5)
    fleet.through((bus, journal.batch(1, 3)), (bus, journal.batch(3, 6, lost=2)))
    capsys.readouterr()
    assert fleet.command("status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.count("\t") == 2 for line in lines)
    assert not any("…" in line or "│" in line for line in lines)


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["members", "list", "--programme", "nope"], "senior-pass"),
        (["members", "unstop", "1", "--programme", "nope"], "senior-pass"),
        (["rules", "add", "bogus", "none.toml"], "no programme is called 'bogus'"),
        (["audit", "verify", "--reader", "nope"], "no reader is called 'nope'"),
        (["ledger", "export", "--reader", "nope"], "no reader is called 'nope'"),
        (["rules", "add", "senior-pass", "none.toml"], "none.toml: there is no such file"),
        (["readers", "import", "none.json"], "none.json: there is no such file"),
        (["members", "import", "none.csv", "--programme", "senior-pass"], "no such file"),
        (["members", "import", "/", "--programme", "senior-pass"], "/: this is a folder"),
    ],
)
def test_what_is_not_there_is_named_in_a_sentence(
    fleet: VirtualFleet, capsys: pytest.CaptureFixture[str], argv: list[str], told: str
) -> None:
    assert fleet.command(*argv) == 1
    said = capsys.readouterr().err
    assert told in said
    assert "Errno" not in said


def test_a_configuration_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        assert cli.run(["--config", str(path), "status"], HandClock()) == 1
        said = capsys.readouterr().err
        assert str(path) in said
        assert "Errno" not in said


@pytest.mark.usefixtures("own_log")
@pytest.mark.parametrize("process", ["devices", "console", "office"])
def test_a_port_that_is_taken_is_named(
    fleet: VirtualFleet, capsys: pytest.CaptureFixture[str], process: str
) -> None:
    port = getattr(fleet.config, f"{process}_port")
    with socket.create_server(("127.0.0.1", port)):
        assert fleet.command(process) == 1
    said = capsys.readouterr().err
    assert f"port {port} of 127.0.0.1: another process listens there" in said
    assert "Errno" not in said


@pytest.mark.usefixtures("own_log")
@pytest.mark.parametrize("process", ["ingest", "devices"])
def test_a_key_file_that_is_not_there_is_named(
    fleet: VirtualFleet, capsys: pytest.CaptureFixture[str], process: str
) -> None:
    key = Path(fleet.config.key if process == "ingest" else fleet.config.server_key)
    key.unlink()
    assert fleet.command(process) == 1
    assert f"{key}: there is no such file" in capsys.readouterr().err


@pytest.mark.usefixtures("own_log")
def test_a_key_that_is_none_is_not_taken_for_a_missing_right(
    fleet: VirtualFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(fleet.config.server_key).write_text("no key")
    assert fleet.command("devices") == 1
    assert "look at the certificates and keys" in capsys.readouterr().err
