"""Another firmware for a head by the agent's own command: kept, refused, or left again."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.cli import main
from edge.head import HeadGone
from edge.head_update import UpdateFailed, update
from hw.head_firmware import ROOT, bundle, compiler
from tests.conftest import Eventually
from tests.edge.head_kit import Headed, headed
from wire import headbundle, headlink

FORMER = (0, 1, 0)
NEWER = "FIRMWARE = (9, 9, 9)\nFORMER = ("


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Headed]:
    with headed(tmp_path, paced=False) as one:
        yield one


@pytest.fixture(scope="module")
def firmware() -> dict[str, bytes]:
    return headbundle.unpack(bundle())


def changed(firmware: dict[str, bytes], folder: Path, module: str, old: str, new: str) -> bytes:
    """A bundle with one module changed."""
    source = (ROOT / "firmware" / f"{module}.py").read_text()
    assert old in source
    path = folder / f"{module}.py"
    path.write_text(source.replace(old, new, 1))
    subprocess.run([compiler(), path], check=True)
    return headbundle.pack({**firmware, f"{module}.mpy": path.with_suffix(".mpy").read_bytes()})


def version(box: Headed, eventually: Eventually) -> tuple[int, ...]:
    """Restart the head, and return what runs then."""
    openings = box.head.openings
    box.board.reset()

    def is_greeted_anew() -> bool:
        with contextlib.suppress(HeadGone):
            box.head.ask(headlink.PING)
        return box.head.is_open and box.head.openings > openings

    eventually(is_greeted_anew, that="the head is back")
    assert box.head.hello
    return box.head.hello.firmware


def test_a_head_is_updated_and_keeps_it(
    box: Headed, tmp_path: Path, firmware: dict[str, bytes], eventually: Eventually
) -> None:
    newer = changed(firmware, tmp_path, "board", "FIRMWARE = (", NEWER)
    steps: list[str] = []
    update(box.head, newer, steps.append)
    assert "firmware 9.9.9" in steps[2]
    assert version(box, eventually) == (9, 9, 9)
    update(box.head, headbundle.pack(firmware), print)
    assert version(box, eventually) == FORMER


def test_an_update_that_cannot_begin_is_told(
    box: Headed, tmp_path: Path, firmware: dict[str, bytes]
) -> None:
    broken = changed(firmware, tmp_path, "board", "import sys", "import nowhere")
    with pytest.raises(UpdateFailed, match="former firmware"):
        update(box.head, broken, print)


def test_a_head_whose_chip_is_silent_does_not_keep_it(
    box: Headed, tmp_path: Path, firmware: dict[str, bytes], eventually: Eventually
) -> None:
    deaf = changed(firmware, tmp_path, "nfc", "self._uart.write(frame(", "(frame(")
    deaf = headbundle.pack(headbundle.unpack(deaf) | {"board.mpy": newer_board(firmware, tmp_path)})
    with pytest.raises(UpdateFailed, match="chip is silent"):
        update(box.head, deaf, print)
    assert version(box, eventually) == FORMER


def newer_board(firmware: dict[str, bytes], folder: Path) -> bytes:
    newer = changed(firmware, folder, "board", "FIRMWARE = (", NEWER)
    return bytes(headbundle.unpack(newer)["board.mpy"])


def test_a_head_that_is_busy_is_asked_again(box: Headed, firmware: dict[str, bytes]) -> None:
    box.head.ask(headlink.RELAY, 1_500)
    update(box.head, headbundle.pack(firmware), print)
    assert box.board.pulses("RELAY") == 1


def test_what_is_no_firmware_is_not_begun(box: Headed) -> None:
    with pytest.raises(UpdateFailed, match="no firmware"):
        update(box.head, b"KZH1 and more", print)
    assert not box.head.is_open


def test_the_command_tells_what_the_head_is_and_updates_it(
    box: Headed, tmp_path: Path, firmware: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"head:{box.board.path}"
    assert main(["head", path]) == 0
    assert "firmware 0.1.0" in capsys.readouterr().out
    file = tmp_path / "head.kzh"
    file.write_bytes(changed(firmware, tmp_path, "board", "FIRMWARE = (", NEWER))
    assert main(["head", path, "--update", str(file)]) == 0
    assert "firmware 9.9.9" in capsys.readouterr().out
    file.write_bytes(b"nothing")
    assert main(["head", path, "--update", str(file)]) == 1
    assert "no firmware" in capsys.readouterr().err
    assert main(["head", "head:/dev/nowhere"]) == 1
