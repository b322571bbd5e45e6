"""Another firmware into the slot that is not in use, and the way back if it is no good.

A bundle (`headbundle`) comes in pieces; its files are written while they come. Upheld: the slot
that is kept is never written to · the hash is checked over what lies in flash, and only then is the
other slot put on trial, by one rename · on trial nothing can be updated, so the way back stays
whole · a trial that is not said to be healthy in time ends by itself · power may go at any write,
and the flash may refuse any.
"""

import os

import headbundle
import headlink
from incoming import Incoming

TRIAL_MS = 300_000
"""The agent opens the link anew in seconds; a Pi that begins anew meanwhile needs two minutes."""
IDLE_MS = 60_000
"""Without a piece for so long an update has been given up: the computer is watched again."""
ANSWER_MS = 200
"""From END's answer to the restart: it has gone over the line by then."""


class Update:
    """Runs from `slot` ("a" or "b"); `disk` and `open_file` are os and open, from main.py's folder.

    `is_free()` is true while nothing goes on that a slow write or a restart would disturb;
    `restart()` restarts the head; `note` keeps a fault.
    """

    def __init__(self, slot, is_free, restart, note, disk=os, open_file=open):
        self._slot, self._other = slot, "b" if slot == "a" else "a"
        self._is_free, self._restart = is_free, restart
        self._disk, self._open = disk, open_file
        self._incoming, self._hash, self._heard_ms = None, b"", 0
        self._restart_ms = None
        tried = self._read("tried")
        self.is_trial = tried == slot != (self._read("slot") or "a")
        if tried == self._other:
            note("fell-back")

    def ops(self):
        """Return what is carried out here."""
        return {
            headlink.UPDATE_BEGIN: self._borne(self.begin),
            headlink.UPDATE_DATA: self._borne(self.data),
            headlink.UPDATE_END: self._borne(self.end),
            headlink.HEALTHY: self._borne(self.healthy),
        }

    @property
    def is_under_way(self):
        """True from BEGIN on, until the restart or until it is given up."""
        return self._incoming is not None or self._restart_ms is not None

    def begin(self, now_ms, size, sha256):
        """Empty the other slot for so many bytes. Refuses NOT_NOW on trial or while not free."""
        if self.is_trial or self._restart_ms is not None or not self._is_free():
            raise headlink.Refused(headlink.NOT_NOW)
        if not 0 < size <= headbundle.SIZE_MAX:
            raise headlink.Damaged("no such size")
        self._drop()
        self._clear()
        self._incoming = Incoming(self._other, size, self._open)
        self._hash, self._heard_ms = sha256, now_ms
        return ()

    def data(self, now_ms, offset, piece):
        """Take the next piece; one that was taken is taken again. Refuses NOT_NOW as `begin`."""
        if self._incoming is None or not self._is_free():
            raise headlink.Refused(headlink.NOT_NOW)
        self._heard_ms = now_ms
        ends = offset + len(piece)
        if ends <= self._incoming.have:
            return ()
        if offset != self._incoming.have or ends > self._incoming.size:
            raise headlink.Damaged("not the next piece")
        if not self._is_written(piece):
            self._drop()
            raise headlink.Damaged("no bundle that fits")
        return ()

    def end(self, now_ms):
        """Put the other slot on trial and restart. Raises Damaged for another hash: it is over.

        Refuses NOT_NOW before the last piece, and as `begin`.
        """
        incoming = self._incoming
        if incoming is None or incoming.have != incoming.size or not self._is_free():
            raise headlink.Refused(headlink.NOT_NOW)
        self._drop()
        if incoming.digest() != self._hash:
            raise headlink.Damaged("another hash")
        self._put("trial", self._other)
        self._restart_ms = now_ms + ANSWER_MS
        return ()

    def healthy(self, _now_ms):
        """Keep what runs: begin from it from now on."""
        if self.is_trial:
            self._put("slot", self._slot)
            self.is_trial = False
        return ()

    def tick(self, now_ms):
        """Restart when that is due; give up what nobody goes on with."""
        if self._incoming and now_ms - self._heard_ms >= IDLE_MS:
            self._drop()
        due = self._restart_ms is not None and now_ms >= self._restart_ms
        if (due or (self.is_trial and now_ms >= TRIAL_MS)) and self._is_free():
            self._restart()

    def _borne(self, do):
        """Return `do` as it is asked for: what the flash refuses ends the update, not the head."""

        def done(now_ms, *values):
            try:
                return do(now_ms, *values)
            except OSError:
                self._drop()
            raise headlink.Damaged("the flash takes no more")

        return done

    def _is_written(self, piece):
        try:
            self._incoming.write(piece)
        except (OSError, ValueError):
            return False
        return True

    def _drop(self):
        """Give up what comes; what lies there is emptied by the next BEGIN."""
        incoming, self._incoming = self._incoming, None
        try:
            if incoming:
                incoming.close()
        except OSError:  # a flash that is full may say so only then
            pass

    def _clear(self):
        """Empty the other slot, and forget that anything was tried."""
        for name in self._disk.listdir("."):
            if name in ("trial", "tried"):
                self._disk.remove(name)
        if self._other not in self._disk.listdir("."):
            self._disk.mkdir(self._other)
        for name in self._disk.listdir(self._other):
            self._disk.remove(self._other + "/" + name)

    def _put(self, path, text):
        """Write a small file, whole or not at all: it appears by its renaming."""
        with self._open("new", "w") as file:
            file.write(text)
        self._disk.rename("new", path)

    def _read(self, path):
        try:
            with self._open(path, "r") as file:
                return file.read(8)
        except OSError:
            return ""
