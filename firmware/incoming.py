"""A bundle on its way into a slot: its files are written while it comes, piece by piece.

Upheld: no more of it is in memory than its index and one piece · the digest is that of what lies in
flash.
"""

import hashlib

import headbundle

CHUNK = 512
"""Bytes read at once."""


class Incoming:
    """A bundle that is being written into a folder, in order; `have` of `size` bytes are there."""

    def __init__(self, folder, size, open_file):
        self._folder, self._open = folder, open_file
        self.size, self.have = size, 0
        self._index, self._files = b"", []
        self._to_come, self._left, self._file = [], 0, None

    def write(self, piece):
        """Write what comes next. Raises ValueError for what is no bundle of this size."""
        self.have += len(piece)
        if not self._files:
            self._index += piece
            index = headbundle.read_index(self._index)
            if index is None and self.have == self.size:
                raise ValueError("an index without an end")
            if index is None:
                return
            begins, self._files = index
            if begins + sum([size for _, size in self._files]) != self.size:
                raise ValueError("files of another size")
            piece, self._index = self._index[begins:], self._index[:begins]
            self._to_come = list(self._files)
            self._turn()
        while self._file:
            part = piece[: self._left]
            if part:
                self._file.write(part)
            self._left -= len(part)
            piece = piece[len(part) :]
            if self._left:
                return
            self._turn()

    def digest(self):
        """Return the SHA-256 of the index and of what lies in flash."""
        digest = hashlib.sha256(self._index)
        for name, _ in self._files:
            with self._open(self._folder + "/" + name, "rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
        return digest.digest()

    def close(self):
        """Leave it as it is."""
        if self._file:
            self._file.close()
            self._file = None

    def _turn(self):
        """Go on with the next file, if there is one."""
        self.close()
        if self._to_come:
            name, self._left = self._to_come.pop(0)
            self._file = self._open(self._folder + "/" + name, "wb")
