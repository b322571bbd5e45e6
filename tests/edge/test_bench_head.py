"""`kazasu-edge head`, with the real firmware behind it."""

import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.cli import main
from edge.head import Head
from hw import head_firmware
from hw.sim.pn532 import Fault
from tests.conftest import Eventually
from tests.edge.head_kit import Headed, headed
from wire import headbundle, headlink


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Headed]:
    with headed(tmp_path, paced=False) as opened:
        yield opened


@pytest.fixture(autouse=True)
def japanese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8")


def head(reader: Headed, *words: str) -> int:
    return main(["head", *words, "--head", f"head:{reader.board.path}"])


@functools.cache
def bundle() -> dict[str, bytes]:
    return headbundle.unpack(head_firmware.bundle())


def changed(folder: Path, module: str, change: Callable[[str], str]) -> Path:
    """Write a firmware of which one module is another one."""
    source = head_firmware.sources()[module].read_text("utf-8")
    assert change(source) != source
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / f"{module}.py"
        path.write_text(change(source), "utf-8")
        compiled = head_firmware.compiled(path)
    file = folder / "head.kzh"
    file.write_bytes(headbundle.pack(bundle() | {f"{module}.mpy": compiled}))
    return file


def newer(source: str) -> str:
    return source.replace("FIRMWARE = (0, 1, 0)", "FIRMWARE = (9, 9, 1)")


def test_state_says_which_head_it_is_and_what_it_senses(
    reader: Headed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert head(reader, "state") == 0
    said = capsys.readouterr().out
    assert "ヘッド e661410403123456  ファームウェア 0.1.0  基板 1 版" in said
    assert "イグニッション: 入" in said
    assert "ふた: 閉" in said
    assert "温度: 27.0 °C" in said
    assert "電源: 13.8 V" in said
    assert "✗" not in said


def test_a_meaning_is_shown_and_said(
    reader: Headed, capsys: pytest.CaptureFixture[str], eventually: Eventually
) -> None:
    assert head(reader, "show", "yes") == 0
    assert "受け付けました" in capsys.readouterr().out
    eventually(lambda: any(map(any, reader.board.lamp)), within_s=5, that="the lamp is lit")
    eventually(lambda: any(one.kind == "pwm" for one in reader.board.told), that="it sounds")


def test_the_relay_is_closed_once(reader: Headed, eventually: Eventually) -> None:
    assert head(reader, "pulse", "--ms", "50") == 0
    eventually(lambda: reader.board.pulses("RELAY") == 1, that="it pulses")
    assert head(reader, "pulse", "--ms", "10001") == 2


def test_a_firmware_that_works_is_kept(
    reader: Headed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert head(reader, "update", str(changed(tmp_path, "board", newer))) == 0
    said = capsys.readouterr().out
    assert "ファームウェア 9.9.1" in said
    assert "使い続けます" in said
    reader.board.reset()
    again = Head(reader.board.path)
    firmware_of(again)
    assert firmware_of(again) == (9, 9, 1)
    again.close()


def firmware_of(link: Head) -> tuple[int, int, int]:
    while True:
        try:
            link.ask(headlink.PING)
        except OSError:
            continue
        assert link.hello
        return link.hello.firmware


def test_a_head_that_is_busy_is_asked_again(reader: Headed, tmp_path: Path) -> None:
    reader.head.ask(headlink.RELAY, 1_500)
    reader.head.close()
    assert head(reader, "update", str(changed(tmp_path, "board", newer))) == 0
    assert reader.board.pulses("RELAY") == 1


def test_a_firmware_that_cannot_begin_is_left_and_the_former_one_runs(
    reader: Headed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = changed(tmp_path, "head", lambda source: "raise MemoryError\n" + source)
    assert head(reader, "update", str(broken)) == 1
    assert "前のものに戻りました" in capsys.readouterr().err
    link = Head(reader.board.path)
    assert firmware_of(link) == (0, 1, 0)
    link.close()


def test_a_firmware_that_does_not_reach_its_chip_is_not_kept(
    reader: Headed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    update = changed(tmp_path, "board", newer)
    reader.chip.fail_next(*[Fault.COMMAND_LOST] * 8)
    assert head(reader, "update", str(update)) == 1
    assert "the PN532 behind it does not answer" in capsys.readouterr().err
    reader.board.reset()
    link = Head(reader.board.path)
    assert firmware_of(link) == (0, 1, 0)
    link.close()


def test_what_is_no_firmware_or_no_head_is_said_to_be_none(
    reader: Headed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter").write_text("dear head")
    assert head(reader, "update", str(tmp_path / "letter")) == 2
    assert head(reader, "update", str(tmp_path / "nothing")) == 2
    assert main(["head", "state", "--head", "pcsc"]) == 2
    assert main(["head", "state", "--head", "head:/dev/no-such-head"]) == 1
    said = capsys.readouterr().err
    assert said.count("ヘッドのファームウェアではありません") == 2
    assert "pcsc は読み取りヘッドではありません" in said
    assert "cannot be reached" in said


def test_a_card_is_looked_at_through_the_head(
    reader: Headed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["card", "doctor", f"head:{reader.board.path}"]) == 0
    assert f"head:{reader.board.path}" in capsys.readouterr().out
