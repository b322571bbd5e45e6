"""The beginning: which slot, how often a trial, and what ends in a restart."""

import os
import sys

import machine
import main


def put(path, text):
    with open(path, "w") as file:
        file.write(text)


def slot(name, source):
    os.mkdir(name)
    put(name + "/head.py", source)


def begun():
    """Begin as a board that was restarted does; return whether it restarts."""
    sys.modules.pop("head", None)
    path = list(sys.path)
    try:
        main.begin()
    except machine.Restarted:
        return True
    finally:
        sys.path[:] = path
    return False


def said():
    return main.read("said")


SAYS = "def run():\n    with open('said', 'w') as file:\n        file.write(%r)\n"


def test_a_head_that_was_never_updated_begins_from_a():
    slot("a", SAYS % "a")
    assert begun()
    assert said() == "a"


def test_the_kept_slot_is_begun_each_time():
    slot("a", SAYS % "a")
    slot("b", SAYS % "b")
    put("slot", "b")
    for _ in range(3):
        begun()
        assert said() == "b"


def test_a_trial_is_begun_once_and_used_up_before_it_begins():
    slot("a", SAYS % "a")
    slot("b", "import os\nassert 'trial' not in os.listdir('.')\n" + SAYS % "b")
    put("trial", "b")
    begun()
    assert said() == "b"
    assert main.read("tried") == "b"
    begun()
    assert said() == "a"


def test_whatever_a_slot_raises_ends_in_a_restart():
    for number, source in enumerate(
        ("raise ValueError", "import nowhere", "def run(:", "def run():\n    raise SystemExit", "")
    ):
        slot("a", source)
        assert begun(), source
        os.rename("a", f"done{number}")


def test_a_trial_that_fails_leads_back():
    slot("a", SAYS % "a")
    slot("b", "raise MemoryError")
    put("trial", "b")
    assert begun()
    assert begun()
    assert said() == "a"


def test_the_watchdog_runs_before_the_slot_does():
    slot("a", "import machine\nassert machine.watchdogs\n" + SAYS % "a")
    begun()
    assert said() == "a"
    assert machine.watchdogs == [main.WATCHDOG_MS]
    assert main.WATCHDOG_MS <= 8_388


def test_the_strap_leaves_everything_to_the_developer():
    slot("a", SAYS % "a")
    put("trial", "b")
    machine.strap = 0
    assert not begun()
    assert said() == ""
    assert machine.watchdogs == []
    assert main.read("trial") == "b"


def test_markers_that_say_nonsense_are_passed_over():
    slot("a", SAYS % "a")
    slot("b", SAYS % "b")
    for trial, kept, begins in (
        ("c", "b", "b"),
        ("", "b", "b"),
        ("../b", "", "a"),
        ("x", "y", "a"),
    ):
        put("trial", trial)
        put("slot", kept)
        begun()
        assert said() == begins, (trial, kept)
