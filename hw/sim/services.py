"""The real processes of a demo: started, watched, restarted when they die, stopped by their ids.

Each runs in a session of its own with its output in a file. None outlives the demo: it is asked to
end, then killed; and should the demo itself be killed, the kernel ends them (`setpriv
--pdeathsig`, where util-linux has it). What dies by itself or by `kill` is started again after
RESTART_S, as systemd would on a reader.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

RESTART_S: Final = 2.0
"""systemd's RestartSec of the reader's units."""
STOP_S_MAX: Final = 5.0
"""How long a process may take to end when asked; then it is killed."""
READY_S_MAX: Final = 60.0
"""Four readers and the fleet start in 10 s on two idle cores."""
LOG_LINES_SHOWN: Final = 12
POLL_S: Final = 0.1


class ServiceDied(Exception):
    """A process ended or did not become ready; the text holds its last lines."""


class CommandFailed(Exception):
    """A command of ours did not do its work; the text holds what it said."""


def leashed(command: Sequence[str]) -> list[str]:
    """Return a command that ends when the thread that started it ends, where the system can."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", *command] if setpriv else list(command)


async def run_command(
    *command: str, log: Path, typed: bytes = b"", statuses: Sequence[int] = (0,)
) -> bytes:
    """Run a command to its end and return its output; what it complains goes to the log.

    `typed` is its standard input. Raises CommandFailed when its status is none of `statuses`.
    """
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *leashed(command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        try:
            output, _ = await process.communicate(typed)
        finally:
            if process.returncode is None:
                process.kill()
    if process.returncode not in statuses:
        said = output.decode(errors="replace").strip()
        raise CommandFailed(f"{' '.join(command)}\n{said}\n{last_lines(log)}")
    return output


def last_lines(log: Path) -> str:
    """Return the end of a log, for a person to read."""
    if not log.exists():
        return "(it wrote nothing)"
    lines = log.read_text("utf-8", errors="replace").splitlines()
    return "\n".join(lines[-LOG_LINES_SHOWN:]) or "(it wrote nothing)"


class Service:
    """One process that is to run until `stop`."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name: Final = name
        self.log: Final = log
        self.starts = 0
        self._command = leashed(command)
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """True while the process runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it, and again whenever it ends. Raises OSError when there is no such program."""
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep())

    async def _spawn(self) -> None:
        self.starts += 1
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def _keep(self) -> None:
        while self._process:
            await self._process.wait()
            await asyncio.sleep(RESTART_S)
            await self._spawn()

    def kill(self) -> None:
        """Kill it with SIGKILL, and its children; it is started again."""
        self._signal(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask it to end, kill it when it does not, and leave it ended."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if not self._process or not self.alive:
            return
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), STOP_S_MAX)
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        """Signal the whole session's process group, which our child leads."""
        if self._process and self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def until(self, ready: Callable[[], Awaitable[bool]]) -> None:
        """Wait until it is ready. Raises ServiceDied when it ends or does not get there in time."""
        deadline_s = asyncio.get_running_loop().time() + READY_S_MAX
        while not await ready():
            if not self.alive or self.starts > 1:
                raise ServiceDied(f"{self.name} ended at its start:\n{last_lines(self.log)}")
            if asyncio.get_running_loop().time() > deadline_s:
                raise ServiceDied(f"{self.name} does not get ready:\n{last_lines(self.log)}")
            await asyncio.sleep(POLL_S)


async def listens(port: int) -> bool:
    """Tell whether something takes connections at a port of this machine."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def says(log: Path, what: str) -> bool:
    """Tell whether a process has written in its log that it is ready, as the fleet's do."""
    return f"{what} ready" in await asyncio.to_thread(log.read_text, "utf-8", "replace")


class Services:
    """All of them by name, in groups that can be killed together."""

    def __init__(self) -> None:
        self.groups: dict[str, list[Service]] = {}

    def add(self, service: Service, *groups: str) -> Service:
        """Take in a service under its own name and the names of its groups."""
        for group in dict.fromkeys((service.name, *groups)):
            self.groups.setdefault(group, []).append(service)
        return service

    def kill(self, name: str) -> list[Service]:
        """Kill a group; return what was killed. Raises KeyError for an unknown name."""
        for service in self.groups[name]:
            service.kill()
        return self.groups[name]

    def every(self) -> Iterable[Service]:
        """Each service once, in the order of their start."""
        return dict.fromkeys(service for group in self.groups.values() for service in group)

    async def stop(self) -> None:
        """Stop all of them, at the same time."""
        await asyncio.gather(*(service.stop() for service in self.every()))


def system_program(name: str) -> str:
    """Return the path of a Debian package's server; users' own PATH leaves /usr/sbin out.

    Raises FileNotFoundError saying what to install.
    """
    path = shutil.which(
        name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    )
    if path is None:
        raise FileNotFoundError(f"{name} is not installed: sudo apt-get install {name}")
    return path


def script(name: str) -> str:
    """Return the path of a console script of the environment that this program runs in."""
    return str(Path(sys.executable).with_name(name))
