"""The computer's supply: orderly ends, and a last rung for one that hangs out of anyone's reach.

MOVES is all that can happen. Upheld: a computer is cut only when it said that it is going and is
gone, or when its time is over · every state but ON and OFF ends by itself · the supply comes back
with the ignition, whatever was asked before · one that is silent is cut at most three times an
hour, each time after longer, and never before it asked to be watched nor while the head is updated
· the head's own restart cuts nothing: the switch's enable is pulled up.
"""

import headlink

ON, LEAVING, STAYING, GOING, CYCLING, CUT, DOWN, OFF = (
    "on",  # supplied, ignition on
    "leaving",  # ignition off: the computer is to say what it does
    "staying",  # it said that it has to finish something
    "going",  # it said that it is shutting down
    "cycling",  # likewise, and wants to begin again
    "cut",  # without supply, for a moment
    "down",  # the same, and stays so
    "off",  # without supply until the ignition is on
)
IGNITION_ON, IGNITION_OFF, GONE, LATE, SILENT = (
    "ignition-on",
    "ignition-off",
    "gone",
    "late",
    "silent",
)

MOVES = {
    ON: {
        headlink.STAY: ON,
        headlink.OFF: GOING,
        headlink.CYCLE: CYCLING,
        IGNITION_OFF: LEAVING,
        SILENT: CUT,
    },
    LEAVING: {
        headlink.STAY: STAYING,
        headlink.OFF: GOING,
        headlink.CYCLE: CYCLING,
        IGNITION_ON: ON,
        GONE: DOWN,
        LATE: DOWN,
    },
    STAYING: {
        headlink.STAY: STAYING,
        headlink.OFF: GOING,
        headlink.CYCLE: CYCLING,
        IGNITION_ON: ON,
        GONE: DOWN,
        SILENT: DOWN,
        LATE: DOWN,
    },
    GOING: {headlink.OFF: GOING, headlink.CYCLE: CYCLING, GONE: DOWN, LATE: DOWN},
    CYCLING: {headlink.CYCLE: CYCLING, GONE: CUT, LATE: CUT},
    CUT: {LATE: ON},
    DOWN: {LATE: OFF},
    OFF: {IGNITION_ON: ON},
}
"""From a state, by what POWER asks or what is sensed, to a state. What is not here does not happen;
POWER is refused then."""

BOUNDS_MS = {
    # The agent answers within 4 s. Where ignition is the only supply the super-capacitor carries 20
    # (hw/data/power.toml), 3 of them until the ignition counts: who says nothing now never will.
    LEAVING: 10_000,
    # Ten minutes at 3 W take 0.5 Wh of a vehicle's battery: a day's entries are long delivered.
    STAYING: 600_000,
    # What systemd takes for all to end, and three times as long as it takes on a Pi.
    GOING: 30_000,
    CYCLING: 30_000,
    # The Pi's 5 V are below 0.5 V by then, so that it begins from nothing.
    CUT: 5_000,
    DOWN: 5_000,
}
"""After so long in a state it is LATE."""
SUPPLIED = (ON, LEAVING, STAYING, GOING, CYCLING)

GONE_MS = 1_000
"""PI_RUNNING low: gpio-poweroff is the kernel's last word; the card may still write its own."""
PATIENCE_MS, PATIENCE_MS_MAX = 600_000, 6 * 3_600_000
"""Silence before a second cut in a row, doubled with each more: by then a Pi has started, checked
its disk and asked to be watched. Ten, twenty and forty minutes make three cuts an hour at most, six
hours four a day for one that is dead."""
CALM_MS = 3_600_000
"""A computer that is heard so long after a cut has recovered: the next cut is a first one."""


class Power:
    """Keeps `switch` (the enable of the computer's 5 V, high: on) by `running` and what is asked.

    `ignition()` and `is_updating()` tell of other parts; `note` keeps a fault.
    """

    def __init__(self, switch, running, ignition, is_updating, note):
        self._switch, self._running = switch, running
        self._ignition, self._is_updating, self._note = ignition, is_updating, note
        self._watch_ms = 0
        self._heard_ms = 0
        self._cuts, self._cut_ms = 0, 0
        self._ran, self._low_ms = False, None
        self.state, self._since_ms = ON, 0
        self._switch.value(1)

    def ops(self):
        """Return what is carried out here."""
        return {headlink.POWER: self.power, headlink.WATCH: self.watch}

    def heard(self, now_ms):
        """Take note that the computer lives."""
        self._heard_ms = now_ms
        if self._cuts and now_ms - self._cut_ms >= CALM_MS:
            self._cuts = 0

    def power(self, now_ms, wish):
        """Follow STAY, OFF or CYCLE. Refuses NOT_NOW what MOVES has not."""
        if wish not in (headlink.STAY, headlink.OFF, headlink.CYCLE):
            raise headlink.Damaged("no such wish")
        if not self._move(now_ms, wish):
            raise headlink.Refused(headlink.NOT_NOW)
        return ()

    def watch(self, _now_ms, seconds):
        """Cut a computer that asks nothing for so long; 0: never."""
        if 0 < seconds < headlink.WATCH_S_MIN:
            raise headlink.Damaged("too short")
        self._watch_ms = seconds * 1000
        return ()

    def tick(self, now_ms):
        """Make the first move that what is sensed allows."""
        self._look(now_ms)
        for event in (
            IGNITION_ON if self._ignition() else IGNITION_OFF,
            GONE if self._is_gone(now_ms) else None,
            SILENT if self._is_silent(now_ms) else None,
            LATE if self._is_late(now_ms) else None,
        ):
            if self._move(now_ms, event):
                return

    def _move(self, now_ms, event):
        """Go where MOVES leads. Returns False if it leads nowhere."""
        state = MOVES[self.state].get(event)
        if state is None:
            return False
        if event == SILENT:
            self._cuts, self._cut_ms = self._cuts + 1, now_ms
            self._note("was-cut")
        if state != self.state:
            self.state, self._since_ms = state, now_ms
            self._switch.value(1 if state in SUPPLIED else 0)
        return True

    def _look(self, now_ms):
        """Take note of the computer's own word that it runs."""
        if self.state not in SUPPLIED:
            self._ran, self._low_ms = False, None
            self._heard_ms = now_ms
        elif self._running.value():
            self._ran, self._low_ms = True, None
        elif self._low_ms is None:
            self._low_ms = now_ms

    def _is_gone(self, now_ms):
        """Tell whether it ran since it got its supply, and does no more."""
        return self._ran and self._low_ms is not None and now_ms - self._low_ms >= GONE_MS

    def _is_late(self, now_ms):
        return self.state in BOUNDS_MS and now_ms - self._since_ms >= BOUNDS_MS[self.state]

    def _is_silent(self, now_ms):
        if not self._watch_ms or self._is_updating():
            return False
        silence_ms = self._watch_ms
        if self._cuts:
            longer_ms = min(PATIENCE_MS << min(self._cuts - 1, 16), PATIENCE_MS_MAX)
            silence_ms = max(silence_ms, longer_ms)
        return now_ms - self._heard_ms >= silence_ms
