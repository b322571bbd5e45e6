"""`kazasu-edge card`: what a technician sees, and what nobody sees."""

import contextlib
import csv
import datetime
import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from edge.bench import doctor
from edge.bench.cli import main
from hw.sim.cards import FeliCaCard, Phone, StaffToken, TornAway
from hw.sim.licence import driving_licence
from hw.sim.mynumber import MyNumberCard
from hw.sim.pn532 import PN532
from programmes.texts import LANGUAGES, say
from tests.edge.reader_kit import identifier, make_reader, my_number_card
from tests.timing import IN_TIME
from wire.credential import Scheme

pytestmark = IN_TIME  # a chip that is silent for 100 ms is given up

UID = bytes.fromhex("04A1B2C3D4E5F6")
CARD = my_number_card(0x01020304)


@pytest.fixture
def chip() -> Iterator[PN532]:
    with PN532(paced=False) as opened:
        yield opened


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "en_GB.UTF-8")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        status = main(list(words))
    except SystemExit as end:
        status = int(end.code or 0)
    said = capsys.readouterr()
    return status, said.out, said.err


def front_end(chip: PN532) -> str:
    return f"pn532:{chip.path}"


@contextlib.contextmanager
def bench(*words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run it as a process of its own, with its words in pipes."""
    with subprocess.Popen(
        [sys.executable, "-m", "edge.cli", "card", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
        encoding=environment.get("PYTHONIOENCODING", "utf-8"),
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None and sys.exc_info()[0]:
                process.kill()


def hidden(card: MyNumberCard, *texts: str) -> None:
    """Neither what identifies a card nor its number stands in what was said, in any form."""
    secrets = [
        bytes(identifier(card, Scheme.COMMON_AP)),
        bytes(identifier(card, Scheme.JPKI_AUTH)),
        b"123456789010",
        card.data.municipality.encode(),
    ]
    for text in texts:
        for secret in secrets:
            assert secret.hex().upper() not in text.upper()
            assert secret.decode("latin-1") not in text


def test_info_says_what_a_card_is_and_how_it_can_be_read(
    chip: PN532, capsys: pytest.CaptureFixture[str]
) -> None:
    chip.place(CARD)
    status, out, _ = run(capsys, "info", front_end(chip))
    assert status == 0
    assert "My Number Card" in out
    assert "common-ap: read" in out
    assert "jpki-auth: read" in out
    assert "000005E0B381A1" in out
    assert "the same id each time" in out
    hidden(CARD, out)


def test_info_tells_a_random_id(chip: PN532, capsys: pytest.CaptureFixture[str]) -> None:
    chip.place(Phone(random.Random(1)))
    status, out, _ = run(capsys, "info", front_end(chip))
    assert status == 0
    assert "staff-token: no identifier" in out
    assert "another id each time" in out


def test_dump_shows_every_exchange_and_hides_its_data(
    chip: PN532, capsys: pytest.CaptureFixture[str]
) -> None:
    chip.place(CARD)
    status, out, _ = run(capsys, "dump", front_end(chip))
    assert status == 0
    assert "> 00A4040C0AD3921000310001010100" in out
    assert "< [30 B] 9000" in out
    hidden(CARD, out)


@pytest.mark.parametrize("name", ["times.csv", "times.json"])
def test_speed_shows_every_step_and_exports_it(
    chip: PN532, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    chip.place(CARD)
    path = tmp_path / name
    status, out, _ = run(capsys, "speed", front_end(chip), "--times", "20", "--export", str(path))
    assert status == 0
    for stage in ("detect", "activate", "select", "read", "total"):
        assert any(line.startswith(stage) for line in out.splitlines())
    assert "█" in out
    text = path.read_text("utf-8")
    rows: Sequence[dict[str, object]] = (
        json.loads(text) if name.endswith("json") else list(csv.DictReader(text.splitlines()))
    )
    assert len(rows) == 20
    assert all(int(str(row["total"])) > int(str(row["read"])) > 0 for row in rows)
    hidden(CARD, out, text)


def test_speed_counts_what_could_not_be_read(
    chip: PN532, capsys: pytest.CaptureFixture[str]
) -> None:
    chip.place(TornAway(my_number_card(3), frames=20))
    status, out, _ = run(capsys, "speed", front_end(chip), "--times", "8")
    assert status == 0
    assert re.search("Could not be read: [1-7] times", out)


def test_speed_asks_for_a_file_that_can_be_written_before_it_reads_a_card(
    chip: PN532, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, out, err = run(capsys, "speed", front_end(chip), "--export", str(tmp_path))
    assert (status, out) == (2, "")
    assert "Cannot be written" in err


def test_speed_shows_what_it_has_when_it_is_interrupted(chip: PN532) -> None:
    chip.place(CARD)
    with bench("speed", front_end(chip), "--times", "100000") as process:
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Histogram of total" in out
    assert "Traceback" not in err


def test_what_waits_for_a_card_ends_quietly_when_it_is_interrupted(chip: PN532) -> None:
    with bench("info", front_end(chip)) as process:
        assert process.stderr
        assert "Waiting for a card" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "\n")
    assert process.returncode == 130


def test_a_reader_of_a_pipe_may_leave(chip: PN532) -> None:
    with bench("watch", front_end(chip)) as process:
        assert process.stdout
        assert process.stderr
        assert "Hold a card" in process.stdout.readline()
        process.stdout.close()
        chip.place(CARD)
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_a_terminal_without_our_signs_is_borne(chip: PN532) -> None:
    with bench("doctor", front_end(chip), PYTHONIOENCODING="euc_jp") as process:
        out, err = process.communicate(timeout=20)
    assert "? ok  nfcpy is installed." in out
    assert err == ""


def test_info_bears_two_cards_that_are_now_told_apart_and_now_not(
    chip: PN532, capsys: pytest.CaptureFixture[str]
) -> None:
    chip.place(my_number_card(1), driving_licence(random.Random(5), datetime.date(2024, 5, 1)))
    for _ in range(10):
        status, out, _ = run(capsys, "info", front_end(chip))
        assert (status, "My Number Card" in out) == (0, True)


def test_a_closed_card_application_is_refused_in_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    make_reader(tmp_path, "udp:127.0.0.1:1")
    file = tmp_path / "edge.toml"
    with file.open("a", encoding="utf-8") as more:
        more.write('[card_ap]\naid = "D392F000260100000001"\nshort_ef = 3\nlength = 16\n')
    status, out, err = run(capsys, "info", str(file))
    assert (status, out) == (2, "")
    assert "closed to tenants" in err


@pytest.mark.parametrize("times", ["0", "1000000"])
def test_speed_refuses_a_number_of_times_that_makes_no_sense(
    times: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "speed", "pcsc", "--times", times)[0] == 2


def test_a_reader_that_is_not_there_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("watch", "info", "dump", "speed"):
        status, _, err = run(capsys, command, "pn532:/dev/nothing")
        assert status == 2
        assert "/dev/nothing cannot be opened" in err


def test_watch_shows_each_card_once_until_it_is_interrupted(chip: PN532) -> None:
    command = [sys.executable, "-m", "edge.cli", "card", "watch", front_end(chip)]
    environment = {**os.environ, "LC_ALL": "ja_JP.UTF-8", "PYTHONIOENCODING": "utf-8"}
    seen = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        assert "かざしてください" in process.stdout.readline()
        for card in (CARD, FeliCaCard(bytes.fromhex("0114D5A2B3C4E5F6")), CARD):
            chip.place(card)
            seen.append(process.stdout.readline() + process.stdout.readline())
            time.sleep(0.1)  # it lies there, and is shown once
            chip.remove()
            time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(10) == 0
    assert "マイナンバーカード" in seen[0]
    assert "FeliCa" in seen[1]
    assert (
        seen[0].rpartition("カード ")[2].split()[0] == seen[2].rpartition("カード ")[2].split()[0]
    )
    assert rest.strip() == ""
    hidden(CARD, *seen)


def test_doctor_tries_the_front_end(chip: PN532, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "doctor", front_end(chip))
    assert status == 0
    assert "opens and has passed its self-test" in out
    assert "One round without a card takes" in out
    chip.place(StaffToken(UID))
    status, out, _ = run(capsys, "doctor", front_end(chip))
    assert status == 1
    assert "clear the antenna" in out
    status, out, _ = run(capsys, "doctor", "pn532:/dev/nothing")
    assert status == 1
    assert "cannot be used" in out


def prove(
    chip: PN532, pin: str, before_typing: Callable[[], None] = lambda: None
) -> tuple[int, str]:
    """Run it on a terminal of its own, as getpass wants one; return its status and its words."""
    keyboard, terminal = pty.openpty()
    command = [sys.executable, "-m", "edge.cli", "card", "prove", front_end(chip)]
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    ) as process:
        os.close(terminal)
        said = b""
        with contextlib.suppress(OSError):  # the terminal is gone with the last who held it
            while some := os.read(keyboard, 4096):
                said += some
                if b"4-digit PIN: " in said and pin:
                    before_typing()
                    os.write(keyboard, pin.encode() + b"\n")
                    pin = ""
        os.close(keyboard)
        return process.wait(10), said.decode()


def test_a_card_signs_with_its_pin_and_the_tries_are_shown_before(chip: PN532) -> None:
    card = my_number_card(7)
    chip.place(card)
    status, said = prove(chip, "1234")
    assert status == 0
    assert said.index("3 tries are left") < said.index("4-digit PIN")
    assert "1234" not in said
    assert "certificate's key confirms it" in said


def test_a_wrong_pin_costs_a_try_and_the_last_one_is_never_made(chip: PN532) -> None:
    card = my_number_card(8)
    chip.place(card)
    status, said = prove(chip, "9999")
    assert (status, "Wrong PIN: 2 tries" in said) == (1, True)
    status, said = prove(chip, "9999")
    assert (status, "Wrong PIN: 1 tries" in said) == (1, True)
    status, said = prove(chip, "1234")
    assert (status, "none is made" in said, "4-digit PIN" in said) == (1, True, False)


def test_a_card_that_took_the_place_of_another_while_somebody_typed_loses_no_try(
    chip: PN532,
) -> None:
    first, second = my_number_card(10), my_number_card(11)
    chip.place(first)
    status, said = prove(chip, "1234", lambda: chip.place(second))
    assert (status, "let it lie" in said) == (1, True)
    assert not [command for command, _ in second.apdus if command[1] == 0x20]


def test_a_pin_that_is_none_is_not_sent(chip: PN532) -> None:
    card = my_number_card(9)
    chip.place(card)
    status, said = prove(chip, "12a4")
    assert (status, "Nothing was sent" in said) == (1, True)
    assert not [command for command, _ in card.apdus if command[1] == 0x20 and len(command) > 4]


class Machine:
    """Linux's files as doctor reads them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def file(self, name: str, text: str = "") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def usb(self, vendor: str, product: str) -> Path:
        for name, text in (
            *(("idVendor", vendor), ("idProduct", product)),
            *(("busnum", "1"), ("devnum", "7")),
        ):
            self.file(f"sys/bus/usb/devices/1-1/{name}", text + "\n")
        return self.file("dev/bus/usb/001/007")

    def found(self) -> dict[str, doctor.Finding]:
        return {finding.message: finding for finding in doctor.examine(self.root)}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_doctor_finds_nothing_to_read_with(machine: Machine) -> None:
    found = machine.found()
    assert not found["no-reader"].fine
    assert found["library"].fine


def test_doctor_names_the_driver_of_a_usb_reader(machine: Machine) -> None:
    machine.usb("054c", "06c3")
    assert machine.found()["usb-reader"].about["path"] == "usb:054c:06c3"


def test_doctor_says_that_an_rc_s300_needs_pcscd(machine: Machine) -> None:
    machine.usb("054c", "0dc8")
    assert not machine.found()["no-pcscd"].fine
    machine.file("run/pcscd/pcscd.comm")
    assert machine.found()["pcscd"].fine


def test_doctor_sees_what_grabs_a_reader(machine: Machine) -> None:
    machine.usb("054c", "06c3")
    machine.file("proc/modules", "port100 24576 0 - Live 0x0\nnfc 151552 1 port100, Live 0x0\n")
    assert machine.found()["grabbed"].about == {"module": "port100"}


def test_doctor_sees_a_console_on_the_line(machine: Machine) -> None:
    machine.file("dev/ttyAMA0")
    machine.file("dev/ttyUSB0")
    machine.file("proc/cmdline", "console=serial0,115200 console=tty1 root=/dev/mmcblk0p2\n")
    found = machine.found()
    assert found["serial-console"].about["node"] == "/dev/ttyAMA0"
    assert found["serial-line"].about["path"] == "pn532:/dev/ttyUSB0"


def test_doctor_knows_a_reader_head_by_its_name(machine: Machine) -> None:
    machine.file("dev/ttyACM0")
    machine.file("dev/ttyACM1")
    by_id = machine.root / "dev/serial/by-id"
    by_id.mkdir(parents=True)
    head = by_id / "usb-Kazasu_Reader_head_e661410403123456-if00"
    head.symlink_to("../../ttyACM1")
    found = machine.found()
    assert found["head"].about == {"path": "head:e661410403123456", "node": "/dev/ttyACM1"}
    assert found["serial-line"].about["path"] == "pn532:/dev/ttyACM0"
    assert say("bench.doctor.head", "ja", **found["head"].about)
    assert say("bench.doctor.head", "en", **found["head"].about)


def test_every_finding_has_its_sentence_in_both_languages(machine: Machine) -> None:
    machine.usb("054c", "0dc9")
    machine.file("dev/ttyS0")
    machine.file("dev/ttyACM0")
    machine.file("proc/cmdline", "console=ttyS0")
    machine.file("proc/modules", "pn533 1 0 - Live 0x0")
    for finding in doctor.examine(machine.root):
        for language in LANGUAGES:
            assert say(f"bench.doctor.{finding.message}", language, **finding.about)
