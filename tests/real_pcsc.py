"""Debian's pcscd with a reader of its driver vpcd, on which `hw.sim.vicc` lays cards.

It runs in a mount namespace of its own with an empty /run, so it meets neither the machine's own
pcscd nor that of another test, and needs no root. Programs find it by the environment variable
that libpcsclite has for that, which names a link: the library reads it once, and pcscd may be
started again, or another one for a while.
"""

import atexit
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

SOCKET: Final = Path(tempfile.mkdtemp(prefix="kazasu-pcscd-")) / "pcscd.comm"
"""Of this process and the programs that it starts."""
os.environ["PCSCLITE_CSOCK_NAME"] = str(SOCKET)
atexit.register(shutil.rmtree, SOCKET.parent, ignore_errors=True)

DRIVER: Final = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so"
"""Of vsmartcard-vpcd."""
SLOTS: Final = 2
"""vpcd's reader has two, on this port and the next. More than one reader it cannot keep apart."""
PORT_DRAWS_MAX: Final = 50
START_TIMEOUT_S: Final = 20.0
"""It takes 20 ms; two busy cores may be slow."""
STOP_TIMEOUT_S: Final = 5.0
LIBC: Final = ctypes.CDLL(None)
LOOK_S_MAX: Final = 1.0
"""How long a look may take: powering a card up is 20 ms of it."""
LOOK_POLL_S: Final = 0.001
PCSCD: Final = ("pcscd", "--foreground", "--info")
NANOSLEEPS: Final = (b"35 ", b"230 ", b"101 ", b"115 ")
"""nanosleep and clock_nanosleep as /proc/PID/syscall numbers them, on x86-64 and on arm64."""


class Pcscd:
    """One pcscd with one reader. pcscd calls its slots by its name, ` 00 00` and ` 00 01`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.port = _free_ports()
        """Where the first slot takes its card; the second one on the next."""
        self._name = name
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._slots = 0
        self._former = SOCKET.readlink() if SOCKET.is_symlink() else None

    def start(self) -> None:
        """Start it; return when it serves."""
        configuration = self._folder / "reader.conf.d"
        configuration.mkdir(parents=True, exist_ok=True)
        (configuration / "vpcd").write_text(
            f'FRIENDLYNAME "{self._name}"\nDEVICENAME /dev/null:{self.port}\n'
            f"LIBPATH {DRIVER}\nCHANNELID {self.port}\n",  # reader.conf(5)
            "utf-8",
        )
        self._run(configuration, SLOTS)

    def start_without_reader(self) -> None:
        """Start it as if its reader were not plugged in; return when it serves."""
        configuration = self._folder / "no-reader.conf.d"
        configuration.mkdir(parents=True, exist_ok=True)
        self._run(configuration, 0)

    def _run(self, configuration: Path, slots: int) -> None:
        namespace = ["unshare", "--mount"]
        if os.geteuid() != 0:
            namespace += ["--user", "--map-root-user"]
        inside = 'mount -t tmpfs none /run && mkdir /run/pcscd && exec "$@"'
        path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
        with (self._folder / "pcscd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*namespace, "sh", "-c", inside, "sh", *PCSCD, "--config", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PATH": path},
            )
        _link(Path(f"/proc/{self._process.pid}/root/run/pcscd/pcscd.comm"))
        self._wait(self._process)
        self._slots = slots

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        """Return when it takes connections: it starts its readers before."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _listens():
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"pcscd does not start: {self.log}")
            time.sleep(0.005)

    @property
    def log(self) -> str:
        """What it wrote."""
        return (self._folder / "pcscd.log").read_text("utf-8", "replace")

    def look(self) -> None:
        """Let it look at its slots now; return when it has ended former looks and begins this one.

        A real reader's interrupt does so; for vpcd, which has none, pcscd looks every 0.4 s and
        sleeps between, which any signal with a handler ends. This one does nothing else.
        """
        deadline = time.monotonic() + LOOK_S_MAX
        while len(asleep := self._asleep()) < self._slots and time.monotonic() < deadline:
            time.sleep(LOOK_POLL_S)
        for thread in asleep:
            self._wake(thread)

    def _wake(self, thread: int) -> None:
        """Signal this thread, which os.kill cannot; no matter if it has ended."""
        if self._process:
            LIBC.tgkill(self._process.pid, thread, int(signal.SIGUSR1))

    def _asleep(self) -> list[int]:
        """Return the threads that sleep until their next look; none before it has its handler."""
        if self._process is None:
            return []
        home = Path(f"/proc/{self._process.pid}")
        try:
            status = (home / "status").read_text("ascii").split("SigCgt:")[1].split()[0]
            if not int(status, 16) & 1 << signal.SIGUSR1 - 1:
                return []
            tasks = {
                int(task.name): (task / "syscall").read_bytes() for task in home.glob("task/*")
            }
        except (OSError, IndexError):
            return []  # it has ended meanwhile, or may not be seen: it looks in its own time
        return [thread for thread, call in tasks.items() if call.startswith(NANOSLEEPS)]

    def freeze(self) -> None:
        """Let it stand still, as when the machine or its driver hangs."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it at once; nothing is tidied up."""
        self._slots = 0
        if self._process:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
            self._process = None

    def stop(self) -> None:
        """Stop it and wait until it is gone; harmless when it is. The former one is found again."""
        if self._process:
            self.thaw()
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None
        _link(self._former)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()


def _link(target: Path | None) -> None:
    SOCKET.unlink(missing_ok=True)
    if target:
        SOCKET.symlink_to(target)


def _listens() -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(SOCKET))
        except OSError:
            return False
    return True


def _free_ports() -> int:
    """Return the first of SLOTS ports in a row that nobody has."""
    for _ in range(PORT_DRAWS_MAX):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("", port + SLOTS - 1))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no {SLOTS} free ports in a row in {PORT_DRAWS_MAX} draws")
