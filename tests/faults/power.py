"""Power cuts: an ext4 in a loop file that forgets, at one instant, all that was not synchronised.

`FS_IOC_SHUTDOWN` without a log flush (Linux, fs/ext4/ioctl.c; xfstests' `godown -n`) stops the
file system dead: what was only in memory never reaches the disk. It models lost writes, not a card
that lies about its cache or tears its own blocks. Needs root and loop devices.
"""

import fcntl
import os
import struct
import subprocess
import time
from pathlib import Path
from typing import Final, Self

FS_IOC_SHUTDOWN: Final = 0x8004587D
"""_IOR('X', 125, __u32), include/uapi/linux/fs.h."""
NO_LOG_FLUSH: Final = 2
SIZE_MB: Final = 32
CLOSING_S_MAX: Final = 10.0
"""A killed process is gone for its parent before the last of its files is closed."""


class Disk:
    """A disk of its own under `folder`; leaving the `with` block takes it away."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError or CalledProcessError where this is not allowed."""
        self.root: Final = folder / "disk"
        self._image: Final = folder / "disk.img"
        self.root.mkdir()
        with self._image.open("wb") as image:
            image.truncate(SIZE_MB << 20)
        _run("mkfs.ext4", "-q", "-F", self._image)
        self.plug_in()

    def plug_in(self) -> None:
        """Mount it, as a start does after a cut: the log is played back."""
        _run("mount", "-o", "loop", self._image, self.root)

    def cut(self) -> None:
        """Take the power away, now. Whoever has files open gets EIO from here on."""
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def pull_out(self) -> None:
        """Unmount it; nobody may have a file open, but the kernel may still be closing one."""
        deadline = time.monotonic() + CLOSING_S_MAX
        while True:
            try:
                _run("umount", self.root)
            except subprocess.CalledProcessError as error:
                if "busy" not in error.stderr or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", self.root], capture_output=True, check=False)


def why_not(folder: Path) -> str | None:
    """Return why power cannot be cut on this machine; None when it can."""
    try:
        with Disk(folder) as disk:
            disk.cut()
    except subprocess.CalledProcessError as error:
        return f"{error.cmd[0]}: {error.stderr.strip()}"
    except OSError as error:
        return str(error)
    return None


def _run(*command: str | Path) -> None:
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    subprocess.run(
        command, capture_output=True, check=True, text=True, env={**os.environ, "PATH": path}
    )
