"""How a second terminal reaches a demo that runs: a Unix socket, one JSON line each way.

The socket lies in a folder that belongs to this user alone (mode 0700), named after the demo's
process, so several demos can run. What a broken demo left behind is passed over.
"""

import asyncio
import os
import socket
import stat
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

LINE_BYTES_MAX: Final = 4096
ANSWER_S_MAX: Final = 5.0
"""A demo answers at once; this covers a machine that is very busy."""
NONE_RUNS: Final = "no demo is running: start one with scripts/demo"
STILL_STARTING: Final = "still starting: try again when the addresses are printed"


class NoDemo(Exception):
    """There is no demo to talk to, or more than one; the sentence says what to do."""


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of a demo."""

    do: Literal["kill", "cut", "hold"]
    name: str
    seconds: float = 0.0
    card: str = ""
    """Which card is held, for `hold`."""


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of it, in a sentence."""

    done: bool
    said: str


def runtime_folder() -> Path:
    """Return this user's folder for sockets, made when missing.

    `XDG_RUNTIME_DIR` where the system gives one, else a folder in the place for temporary files.
    Raises PermissionError when somebody else owns it.
    """
    given = os.environ.get("XDG_RUNTIME_DIR")
    base = Path(given) if given and Path(given).is_dir() else Path(tempfile.gettempdir())
    folder = base / f"kazasu-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not this user's own folder: remove it")
    return folder


def socket_path(pid: int) -> Path:
    """Return the path of the socket of the demo that runs as process `pid`."""
    return runtime_folder() / f"demo-{pid}.sock"


async def serve(path: Path, obey: Callable[[Order], Awaitable[Answer]]) -> asyncio.Server:
    """Take orders at a path where nothing is, until the server is closed; then remove the path."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), ANSWER_S_MAX)
            answer = await obey(msgspec.json.decode(line, type=Order))
        except (msgspec.MsgspecError, TimeoutError, ValueError) as error:
            answer = Answer(done=False, said=f"not understood: {error}")
        writer.write(msgspec.json.encode(answer) + b"\n")
        writer.close()

    return await asyncio.start_unix_server(connected, path, limit=LINE_BYTES_MAX)


def send(order: Order, pid: int | None = None) -> Answer:
    """Give an order to the demo that runs, or to that of process `pid`. Raises NoDemo."""
    with _connect(pid) as connection:
        connection.settimeout(ANSWER_S_MAX + order.seconds)
        connection.sendall(msgspec.json.encode(order) + b"\n")
        with connection.makefile("rb") as lines:
            line = lines.readline(LINE_BYTES_MAX)
    if not line:
        raise NoDemo("the demo ended before it answered")
    return msgspec.json.decode(line, type=Answer)


def _connect(pid: int | None) -> socket.socket:
    found = []
    pattern = f"demo-{'*' if pid is None else pid}.sock"
    for path in sorted(runtime_folder().glob(pattern)):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(ANSWER_S_MAX)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()  # its demo is gone
        else:
            found.append((path, connection))
    if len(found) == 1:
        return found[0][1]
    for _, connection in found:
        connection.close()
    if not found:
        raise NoDemo(NONE_RUNS if pid is None else f"no demo runs as process {pid}")
    pids = ", ".join(path.stem.removeprefix("demo-") for path, _ in found)
    raise NoDemo(f"more than one demo is running: say which with --pid ({pids})")
