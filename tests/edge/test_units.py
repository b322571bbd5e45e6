"""The halves with what their units allow them, and as two users in one folder. Needs root."""

import contextlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.clock import Stamp
from edge.durable import make_folder, replace_file
from edge.journal import FOLDER, journals, read_whole
from edge.journal_writer import Journal
from edge.panel import SOCKET_NAME
from edge.show import Panel
from hw.sim.pn532 import PN532
from tests.edge.link_kit import Reader
from tests.edge.reader_kit import Link, make_reader, my_number_card
from tests.edge.rig import running_broker, until
from tests.edge.sandbox import UNITS, settings
from tests.edge.systemd_kit import Listener, half
from wire.clock import ClockState
from wire.codes import Code

SANDBOX = Path(__file__).with_name("sandbox.py")
CARD = my_number_card(1)
HALVES = ("kazasu-tap.service", "kazasu-link.service")


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path)
    yield listener
    listener.close()


def confined(unit: str, state: Path, program: str) -> str:
    """Run a line of Python in a unit's sandbox; return what it printed."""
    command = [sys.executable, str(SANDBOX), unit, str(state), sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_card_half_works_with_what_its_unit_allows(tmp_path: Path, systemd: Listener) -> None:
    with PN532() as chip:
        kit = make_reader(tmp_path / "r", f"pn532:{chip.path}")
        kit.enrol(CARD)
        under = (sys.executable, SANDBOX, "kazasu-tap.service", kit.state)
        with half("tap", kit.folder / "edge.toml", systemd, *under):
            assert systemd.next() == "READY=1\nWATCHDOG=1"
            link = Link(kit.state)
            link.ready()
            chip.place(CARD)
            assert link.shown().code is Code.OK
            link.close()
    assert len(kit.taps()) == 1


async def test_the_network_half_works_with_what_its_unit_allows(
    tmp_path: Path, systemd: Listener
) -> None:
    async with running_broker(tmp_path / "broker") as broker:
        reader = Reader(tmp_path / "bus-1", broker)
        reader.state.mkdir()
        under = (sys.executable, SANDBOX, "kazasu-link.service", reader.state)
        with half("link", reader.file, systemd, *under):
            assert systemd.next() == "READY=1\nWATCHDOG=1"
            await until(lambda: answers(reader.page_port), "the page")


def answers(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    return False


@pytest.mark.parametrize("unit", HALVES)
def test_the_sandbox_of_these_tests_holds(unit: str, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    tries = (
        f"open({str(tmp_path / 'elsewhere')!r}, 'w')",
        "__import__('socket').socket(17)",  # AF_PACKET
        "__import__('mmap').mmap(-1, 4096, prot=7)",
        "__import__('os').sethostname if 0 else __import__('os').chroot('/')",
        "__import__('os').setuid(1)",
    )
    for words in tries:
        program = f"try:\n    {words}\nexcept OSError as e:\n    print('refused')"
        assert confined(unit, tmp_path / "state", program) == "refused", words
    assert confined(unit, tmp_path / "state", f"open({str(tmp_path / 'state/x')!r}, 'w')") == ""


def test_the_card_half_has_no_network() -> None:
    asks = "import socket\ntry:\n    socket.socket()\nexcept OSError:\n    print('none')"
    folder = Path(tempfile.mkdtemp())
    assert confined("kazasu-tap.service", folder, asks) == "none"
    assert confined("kazasu-link.service", folder, asks) == ""


# --- two users ------------------------------------------------------------------------------------


@pytest.fixture
def root() -> Iterator[Path]:
    """A reader's root as systemd makes it of our two files, where any user may come by."""
    home = Path(tempfile.mkdtemp(dir="/dev/shm"))
    home.chmod(0o755)
    (home / "etc").mkdir()
    for name in ("passwd", "group"):
        (home / "etc" / name).write_text("")
    ours = home / "data" / "kazasu"
    ours.mkdir(parents=True)
    for name in (
        "edge.toml",
        "reader.pem",
        "reader.key",
        "sealing.key",
    ):  # enrolled
        (ours / name).touch(0o644 if name == "edge.toml" else 0o600)
    for command in (
        ("systemd-sysusers", f"--root={home}", UNITS / "sysusers.conf"),
        ("systemd-tmpfiles", f"--root={home}", "--create", UNITS / "tmpfiles.conf"),
    ):
        subprocess.run(command, check=True, capture_output=True)
    yield home
    shutil.rmtree(home)


@pytest.fixture
def state(root: Path) -> Path:
    return root / "data" / "kazasu" / "state"


def ids(root: Path, name: str) -> tuple[int, int]:
    """Return user and group of one of our users."""
    lines = (root / "etc" / "passwd").read_text().splitlines()
    (found,) = (line.split(":") for line in lines if line.startswith(f"{name}:"))
    return int(found[2]), int(found[3])


def as_half(root: Path, unit: str, act: Callable[[], None]) -> None:
    """Do something in a child as a unit's user, with its umask."""
    user, group = ids(root, settings(unit, "User")[0])
    umask = int(settings(unit, "UMask")[0], 8)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)
            os.umask(umask)
            act()
            status = 0
        except BaseException:  # noqa: BLE001  # whatever it is, it is told and the child ends
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def refused(act: Callable[[], object]) -> None:
    with contextlib.suppress(PermissionError):
        act()
        raise AssertionError("it was allowed")


def stamp() -> Stamp:
    return Stamp(1, 1, ClockState.HOLDOVER)


def test_each_half_has_its_own_key_and_reads_what_both_need(root: Path) -> None:
    folder = root / "data" / "kazasu"

    def reads(may: str, may_not: str) -> Callable[[], None]:
        def look() -> None:
            for name in ("edge.toml", "reader.pem", may):
                (folder / name).read_bytes()
            refused((folder / may_not).read_bytes)
            refused(lambda: (folder / "edge.toml").write_bytes(b""))
            refused((folder / may).unlink)

        return look

    as_half(root, HALVES[0], reads("sealing.key", "reader.key"))
    as_half(root, HALVES[1], reads("reader.key", "sealing.key"))


def test_each_half_reads_what_the_other_writes_and_changes_none_of_it(
    root: Path, state: Path
) -> None:
    def tap() -> None:
        journal = Journal(state / FOLDER, "kazasu-shi/bus-1", "boot", "0", stamp)
        journal.begin_if_due()
        journal.close()
        replace_file(state / "rosters" / "pass.current", b"1")
        Panel(state)  # and leave the socket there

    def link() -> None:
        (journal,) = journals(state / FOLDER)
        assert list(read_whole(journal, "kazasu-shi/bus-1"))
        refused(lambda: journal.path.write_bytes(b""))
        refused(journal.path.unlink)
        refused(lambda: (state / FOLDER).rename(state / "gone"))
        refused((state / SOCKET_NAME).unlink)
        with contextlib.suppress(ConnectionRefusedError), socket.socket(socket.AF_UNIX) as line:
            line.connect(str(state / SOCKET_NAME))  # it may: nobody listens there any more
        replace_file(state / "keys.sealed", b"sealed")
        replace_file(state / "rosters" / "pass.roster", b"roster")

    def tap_again() -> None:
        assert (state / "keys.sealed").read_bytes() == b"sealed"
        assert (state / "rosters" / "pass.roster").read_bytes() == b"roster"
        refused((state / "keys.sealed").unlink)
        replace_file(state / "rosters" / "pass.current", b"2")
        (state / "poweroff").touch()

    for unit, act in ((HALVES[0], tap), (HALVES[1], link), (HALVES[0], tap_again)):
        as_half(root, unit, act)


def test_what_one_user_makes_is_nobody_else_s(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "state")
    replace_file(tmp_path / "a" / "state" / "x", b"")
    assert stat.S_IMODE((tmp_path / "a" / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a" / "state" / "x").stat().st_mode) == 0o600
