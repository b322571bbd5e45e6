"""Runs a command with what a unit of edge/systemd/ allows, as far as it can be had without systemd.

    python tests/edge/sandbox.py UNIT WRITABLE COMMAND...       as root

Its own network namespace and its own /proc where the unit has them; everything read-only but
WRITABLE; no capability; no page that is writable and executable; the unit's system calls and
address families alone. Not here: users, devices, /tmp. What the unit says is read from it.
"""

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

UNITS: Final = Path(__file__).parents[2] / "edge" / "systemd"
ALLOW: Final = 0x7FFF0000
REFUSE: Final = 0x00050000
"""SCMP_ACT_ALLOW and SCMP_ACT_ERRNO, seccomp.h."""
NOT_EQUAL: Final = 1
FAMILIES: Final = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
PR_SET_MDWE: Final = 65


class _Compare(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("mask", ctypes.c_uint64),
    )


def settings(unit: str, key: str) -> list[str]:
    """Return the values of a key in order."""
    lines = (UNITS / unit).read_text("utf-8").splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def _calls(group: str) -> set[str]:
    said = subprocess.run(
        ["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True
    ).stdout
    names: set[str] = set()
    for word in (line.strip() for line in said.splitlines()[1:]):
        if word.startswith("@"):
            names |= _calls(word)
        elif word and not word.startswith("#"):
            names.add(word)
    return names


def _allowed(unit: str) -> set[str]:
    allowed: set[str] = set()
    for value in settings(unit, "SystemCallFilter"):
        named = {call for group in value.lstrip("~").split() for call in _calls(group)}
        allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed


def _filter(unit: str) -> None:
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(REFUSE | errno.EPERM))
    socket = library.seccomp_syscall_resolve_name(b"socket")
    for name in _allowed(unit):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0 and number != socket:  # not every call is of this machine
            library.seccomp_rule_add_array(context, ALLOW, number, 0, None)
    for family in settings(unit, "RestrictAddressFamilies")[0].split():
        equal = _Compare(0, 4, FAMILIES[family], 0)
        library.seccomp_rule_add_array(context, ALLOW, socket, 1, ctypes.byref(equal))
    if library.seccomp_load(context):
        raise OSError("seccomp_load")


def _read_only_but(writable: str) -> None:
    def mount(*words: str) -> None:
        subprocess.run(["mount", *words], check=True, capture_output=True)

    mount("--make-rprivate", "/")
    mount("--bind", writable, writable)
    for line in Path("/proc/self/mounts").read_text("utf-8").splitlines():
        _, at, kind, *_ = line.split()
        if at != writable and kind not in ("proc", "sysfs", "devpts", "cgroup2"):
            mount("-o", "remount,bind,ro", at)


def main(unit: str, writable: str, *command: str) -> None:
    """Become the command."""
    if not os.environ.get("INSIDE"):
        os.environ["INSIDE"] = "1"
        alone = ["-n"] if settings(unit, "PrivateNetwork") == ["yes"] else []
        os.execvp("unshare", ["unshare", "-m", *alone, sys.executable, __file__, *sys.argv[1:]])
    del os.environ["INSIDE"]
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text("ascii"))
    _read_only_but(writable)
    if settings(unit, "ProcSubset") == ["pid"]:
        subprocess.run(["mount", "-t", "proc", "-o", "subset=pid", "proc", "/proc"], check=True)
    os.nice(sum(map(int, settings(unit, "Nice"))))
    process = ctypes.CDLL(None, use_errno=True)
    for option, value in (
        *((PR_CAPBSET_DROP, capability) for capability in range(last + 1)),
        (PR_SET_NO_NEW_PRIVS, 1),
        (PR_SET_MDWE, 1),
    ):
        if process.prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), f"prctl {option}")
    _filter(unit)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
