"""Every limit that both ends of the wire must agree on, with its unit and its reason.

A payload over its limit is refused whole by the receiver; a sender never makes one.
"""

from typing import Final

ENTRY_BYTES_MAX: Final = 8192
"""One entry as encoded JSON. A tap has about 350 bytes; a ride of RIDERS_MAX with every field at
its longest, of characters that JSON writes with six bytes, 7,950: no entry fails to be kept for
its length."""

RIDERS_MAX: Final = 9
"""Of one ride: the largest taxi has ten seats (道路運送法施行規則, 第3条の2: 乗車定員11人未満)."""

BATCH_ENTRIES_MAX: Final = 200
"""Entries in one batch: about 70 kB/s of JSON per reader while it drains a backlog."""

BATCH_BYTES_MAX: Final = 64 * 1024
"""Encoded entries of one batch; the envelope around them adds about 400 bytes."""

PAYLOAD_BYTES_MAX: Final = 80 * 1024
"""Any MQTT payload: the largest batch with its envelope, and a margin. The broker's limit too."""

LOST_MAX: Final = 1_000_000
"""Numbers that one batch may declare lost; more than a reader writes in years."""

SEQUENCE_MAX: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 8259, section 6)."""

AT_MS_MAX: Final = 253_370_764_800_000
"""9999-01-01 UTC: the last year that a calendar can name, so that no instant breaks a rule."""

ROSTER_ROWS_MAX: Final = 4_000_000
"""Rows of one roster: no Japanese municipality has more residents (Yokohama: 3.8 million)."""

ROSTER_HEADER_BYTES_MAX: Final = 256 * 1024
"""The signed header of a roster, with its rule tables."""

PERIODS_MAX: Final = 4
"""Periods in which one booking counts: a day, a week, a month and a year."""

USAGE_HEADER_BYTES_MAX: Final = 256 * 1024
"""The signed header of a usage file: 64 journals of each of 50 readers at a place are 210 kB."""

USAGE_JOURNALS_MAX: Final = 64
"""Journals of one reader that a usage file names: one a day and restart, of 40 days."""

KEYS_BYTES_MAX: Final = 64 * 1024
"""Sealed programme keys of one reader: 18 programmes of two epochs are about 4 kB."""

NAMES_MAX: Final = 4_000
"""Cards whose holders a gate may show by name: 1,000 people with four cards each."""

NAMES_BYTES_MAX: Final = 1024 * 1024
"""Sealed names of one gate: NAMES_MAX of 40 characters of four bytes each (UTF-8) are 0.8 MB."""

FRONT_END_PATH: Final = (
    r"^(pcsc(:[^:]{1,80})?"
    r"|pn532:/dev/[A-Za-z0-9/._-]{1,80}(@(115200|230400|460800|921600))?"
    r"|head(:[A-Za-z0-9/._-]{1,200})?(@(115200|230400|460800|921600))?"
    r"|usb(:[0-9A-Fa-f]{1,4}){0,2}"
    r"|udp:[A-Za-z0-9.-]{1,253}:[0-9]{1,5})$"
)
"""What a reader's front end may be called; `edge/frontends/opening.py` says what each form is."""

PROGRAMMES_PER_PLACE_MAX: Final = 18
"""All programmes of the core at one reader."""

DESK_WAIT_MS_MAX: Final = 120_000
"""How long a desk may ask a reader for a card: a purse has been searched by then, and a reader that
nobody takes the request back from serves others again."""

DESK_CARDS_MAX: Final = 10
"""Ways in which one card is known to one programme: five schemes under two key epochs."""

CARD_CERTIFICATE_BYTES_MAX: Final = 4096
"""A card's certificate: those that public readers print have 1,200 to 1,600 bytes. The commands
that read it count to here as well: READ BINARY without a short file id."""

GPSD_ADDRESS: Final = r"^([a-z0-9.-]{1,253}:[0-9]{1,5})?$(?!\n)"
"""Where a vehicle's gpsd listens; empty: it has none."""
