"""A small disk: a tmpfs of its own, which a test can fill to the last byte and empty again."""

import errno
import subprocess
from pathlib import Path
from typing import Final, Self

BALLAST: Final = "ballast"


class SmallDisk:
    """A tmpfs mounted at `root`; leaving the `with` block takes it away."""

    def __init__(self, root: Path, size_kb: int) -> None:
        """Raises CalledProcessError where this is not allowed."""
        self.root: Final = root
        root.mkdir(parents=True, exist_ok=True)
        options = f"size={size_kb}k,mode=700"
        command: list[str | Path] = ["mount", "-t", "tmpfs", "-o", options, "kazasu-test", root]
        subprocess.run(command, capture_output=True, check=True, text=True)

    def fill(self) -> None:
        """Take every byte that is left."""
        with (self.root / BALLAST).open("ab", buffering=0) as ballast:
            try:
                while ballast.write(bytes(4096)):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def make_room(self) -> None:
        """Give the bytes back that `fill` took."""
        (self.root / BALLAST).unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", self.root], capture_output=True, check=True)


def why_not(folder: Path) -> str | None:
    """Return why nothing can be mounted on this machine; None when it can."""
    try:
        with SmallDisk(folder / "small", 64):
            return None
    except subprocess.CalledProcessError as error:
        return f"mount: {error.stderr.strip()}"
    except OSError as error:
        return str(error)
