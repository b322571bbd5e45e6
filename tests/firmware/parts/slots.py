"""A head's file system: two slots in the present folder, and a disk whose power may go."""

import os

FORMER = {"head.mpy": b"former head " * 60, "face.mpy": b"former face"}
LATTER = {"head.mpy": b"latter head " * 90, "face.mpy": b"", "nfc.mpy": b"latter nfc " * 40}


class Cut(BaseException):
    """The power is gone."""


class Disk:
    """os and open, for so many steps that change something."""

    def __init__(self, steps=1_000_000):
        self.left = steps

    def step(self):
        if not self.left:
            raise Cut
        self.left -= 1

    def closed(self):
        """A file that was written is closed."""

    def rename(self, one, other):
        self.step()
        os.rename(one, other)

    def remove(self, path):
        self.step()
        os.remove(path)

    def mkdir(self, path):
        self.step()
        os.mkdir(path)

    def listdir(self, path):
        return os.listdir(path)

    def open(self, path, mode):
        if "w" in mode:
            self.step()
        return File(self, open(path, mode), "w" in mode)


class Refusing(Disk):
    """A flash that takes so many changes, and refuses one: full, or worn out."""

    def step(self):
        self.left -= 1
        if self.left == 0:
            raise OSError(28)

    def closed(self):
        self.step()  # littlefs may only then notice


class File:
    """An open file; power that goes while it is written leaves half of it."""

    def __init__(self, disk, file, written):
        self.disk, self.file, self.written = disk, file, written

    def read(self, size):
        return self.file.read(size)

    def write(self, data):
        try:
            self.disk.step()
        except Cut:
            self.file.write(data[: len(data) // 2])
            self.file.close()
            raise
        self.file.write(data)

    def close(self):
        self.file.close()
        if self.written:
            self.disk.closed()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def fill(slot, files):
    """Make a slot of files."""
    os.mkdir(slot)
    for name, content in files.items():
        with open(slot + "/" + name, "wb") as file:
            file.write(content)


def content(slot):
    """Return what lies in a slot."""
    files = {}
    for name in os.listdir(slot):
        with open(slot + "/" + name, "rb") as file:
            files[name] = file.read()
    return files


def fresh(folder):
    """Go to a new head, whose firmware is FORMER in a."""
    os.mkdir(folder)
    os.chdir(folder)
    fill("a", FORMER)
