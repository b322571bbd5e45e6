"""The door's relay: one pulse at a time, as long as was asked for and never longer.

Upheld: it rests when the head begins · a pulse ends by `tick`, whatever else is heard or fails · a
loop that hangs ends in the head's watchdog, whose reset makes the pin an input, and its pull-down
lets the relay go · another pulse is refused while one lasts.
"""

import headlink


class Relay:
    """Closes and opens `pin`'s relay; high: closed."""

    def __init__(self, pin):
        self._pin = pin
        self._ends_ms = 0
        self.is_closed = False
        self._put(False)

    def ops(self):
        """Return what is carried out here."""
        return {headlink.RELAY: self.pulse}

    def pulse(self, now_ms, ms):
        """Close for 1 to RELAY_MS_MAX ms. Refuses NOT_NOW while closed."""
        if not 0 < ms <= headlink.RELAY_MS_MAX:
            raise headlink.Damaged("no such length")
        if self.is_closed:
            raise headlink.Refused(headlink.NOT_NOW)
        self._ends_ms = now_ms + ms
        self._put(True)
        return ()

    def tick(self, now_ms):
        """Open when the time is over."""
        if self.is_closed and now_ms >= self._ends_ms:
            self._put(False)

    def _put(self, closed):
        self.is_closed = closed
        self._pin.value(1 if closed else 0)
