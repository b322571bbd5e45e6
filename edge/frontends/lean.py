"""Imported before nfcpy, of which a part is left out: the security of its peer-to-peer mode (LLCP).

nfcpy also writes down what cards say: its logger is silenced here, before it can speak.

`nfc.llcp.sec` looks for the machine's own OpenSSL by running the linker's tools at every start, and
loads it beside the one that `cryptography` brings. No card needs it: nfcpy itself goes without
when it finds none, which is what it is told here.
"""

import logging
import sys
import types
from typing import Final

LEFT_OUT: Final = "nfc.llcp.sec"


def leave_out() -> None:
    """Let nfcpy, which is not imported yet, find no OpenSSL for its peer-to-peer mode."""
    module = types.ModuleType(LEFT_OUT)
    module.OpenSSL = None  # type: ignore[attr-defined]  # nfcpy 1.0.4: src/nfc/llcp/llc.py, 299
    sys.modules.setdefault(LEFT_OUT, module)


leave_out()
logging.getLogger("nfc.clf").setLevel(logging.CRITICAL)  # nfcpy itself sets `nfc` to INFO
