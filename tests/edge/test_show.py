"""The socket between the halves: nobody waits, whole lines or none, one listener."""

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.panel import LINE_BYTES_MAX, SOCKET_NAME, Counted, Declared, FromTap, Pressed
from edge.show import OUT_BYTES_MAX, Panel

SAID = Counted(name="x" * 40)


@pytest.fixture
def panel(tmp_path: Path) -> Iterator[Panel]:
    opened = Panel(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def link(panel: Panel, tmp_path: Path) -> Iterator[socket.socket]:
    with connect(tmp_path) as connected:
        assert panel.newcomer()
        yield connected


def connect(state: Path) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.settimeout(5)
    connected.connect(str(state / SOCKET_NAME))
    return connected


def hung_up(link: socket.socket) -> bool:
    try:
        return link.recv(1) == b""
    except ConnectionResetError:
        return True


def test_only_the_agents_user_may_connect(panel: Panel, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / SOCKET_NAME).stat().st_mode) == 0o600


def test_a_socket_that_a_crash_left_is_replaced(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / SOCKET_NAME))
    left.close()
    Panel(tmp_path).close()
    assert not (tmp_path / SOCKET_NAME).exists()


def test_without_a_listener_what_is_said_is_gone(panel: Panel) -> None:
    for _ in range(10):
        panel.say(SAID)
    assert panel.heard() == ()


def test_a_listener_that_does_not_listen_loses_whole_lines(
    panel: Panel, link: socket.socket
) -> None:
    for _ in range(20_000):
        panel.say(SAID)
    assert panel.dropped > 0
    read = bytearray()
    line = msgspec.json.encode(SAID) + b"\n"
    while len(read) < (20_000 - panel.dropped) * len(line):
        read += link.recv(65536)
        panel.heard()
    assert bytes(read) == line * (20_000 - panel.dropped)
    assert len(read) > OUT_BYTES_MAX
    panel.say(SAID)
    assert msgspec.json.decode(link.recv(1000), type=FromTap) == SAID


def test_lines_are_heard_in_order_however_they_are_cut(panel: Panel, link: socket.socket) -> None:
    said = [Pressed(button="present-only"), Declared(direction="in"), Declared(direction="")]
    data = b"".join(msgspec.json.encode(one) + b"\n" for one in said)
    heard: list[object] = []
    for at in range(len(data)):
        link.sendall(data[at : at + 1])
        heard += panel.heard()
    assert heard == said


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(min_size=1, max_size=200).filter(lambda line: b"\n" not in line))
def test_a_line_that_is_not_of_the_contract_ends_the_connection(
    panel: Panel, tmp_path: Path, line: bytes
) -> None:
    with connect(tmp_path) as stranger:
        assert panel.newcomer()
        stranger.sendall(line + b"\n")
        assert list(panel.heard()) == []
        assert hung_up(stranger)


def test_a_line_without_end_ends_the_connection(panel: Panel, link: socket.socket) -> None:
    link.sendall(b"x" * (LINE_BYTES_MAX + 1))
    assert list(panel.heard()) == []
    assert hung_up(link)


def test_what_was_said_before_a_bad_line_counts(panel: Panel, link: socket.socket) -> None:
    good = Declared(direction="in")
    link.sendall(msgspec.json.encode(good) + b"\n?\n")
    assert panel.heard() == [good]
    assert hung_up(link)


def test_a_newcomer_takes_the_place_of_the_former_listener(
    panel: Panel, link: socket.socket, tmp_path: Path
) -> None:
    assert not panel.newcomer()
    with connect(tmp_path) as second:
        assert panel.newcomer()
        assert hung_up(link)
        panel.say(SAID)
        assert msgspec.json.decode(second.recv(1000), type=FromTap) == SAID


def test_a_listener_that_left_is_let_go(panel: Panel, link: socket.socket) -> None:
    link.close()
    assert panel.heard() == ()
    panel.say(SAID)
    assert panel.dropped == 0
