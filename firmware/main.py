"""Begins the firmware: the slot that is kept, or, once, the one that is on trial.

It stands beside the slots, is in no update, and so does as little as can be. Upheld: a trial is
used up before it begins, so whatever ends it leads back to the slot that is kept · what the slot
raises, and a slot that hangs before its loop begins, end in a restart · with the strap at REPL
nothing begins at all, for developers.

    slot    "a" or "b": begin from that folder; without it from a
    trial   the same, written last of all by an update: begin from it once
    tried   what `trial` was, renamed; still there after a return: it fell back
"""

import os
import sys

import machine

REPL = 22
"""The pin, as in hw/ (a test holds them together): pins.py lies in a slot, which may be broken."""
WATCHDOG_MS = 8_388
"""The RP2040's longest (machine.WDT); from here on only the loop in head.py feeds it."""
SLOTS = ("a", "b")


def read(path):
    """Return what a small file says; empty: there is none."""
    try:
        with open(path) as file:
            return file.read(8)
    except OSError:
        return ""


def chosen():
    """Return the folder to begin from, and use up a trial."""
    on_trial = ""
    try:
        os.rename("trial", "tried")
        on_trial = read("tried")
    except OSError:
        pass
    for slot in (on_trial, read("slot")):
        if slot in SLOTS:
            return slot
    return SLOTS[0]


def begin():
    """Serve for ever, or begin again."""
    if machine.Pin(REPL, machine.Pin.IN, machine.Pin.PULL_UP).value() == 0:
        return
    machine.WDT(timeout=WATCHDOG_MS)
    try:
        sys.path.insert(0, chosen())
        import head

        head.run()
    except Exception as error:  # noqa: BLE001
        sys.print_exception(error)  # to who has the serial line: a developer, or the virtual board
    finally:
        machine.reset()


if __name__ == "__main__":
    begin()
