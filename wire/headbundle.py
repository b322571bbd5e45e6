"""A firmware for the reader head as one run of bytes: an index, then its files, one after another.

    "KZH1" · files u8 · of each: length of its name u8 · name · bytes u32 little-endian · the files

This file runs unchanged under CPython and, as the flat module `headbundle`, under MicroPython on
the head, which writes the files while they come and never holds a whole firmware. Files are .mpy
modules: names of lower-case letters, digits and _, so that none leads out of the slot's folder.
"""

import struct

MAGIC = b"KZH1"
SIZE_MAX = 128 * 1024
"""Bytes. Two slots of that size take a fifth of the 1,408 kB file system that MicroPython makes on
a Pico's 2 MB flash; the firmware has about 30 kB."""
FILES_MAX = 24
NAME_MAX = 24
INDEX_MAX = 5 + FILES_MAX * (1 + NAME_MAX + 4)
"""What the head keeps in memory: 701 bytes."""
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_"


def pack(files: dict) -> bytes:  # type: ignore[type-arg]
    """Return the bundle of {name: bytes}, sorted by name. Raises ValueError for what cannot be."""
    index = MAGIC + bytes((_count(len(files)),))
    for name in sorted(files):
        encoded = _name(name.encode()).encode()
        index += bytes((len(encoded),)) + encoded + struct.pack("<I", len(files[name]))
    size = len(index) + sum([len(content) for content in files.values()])
    if size > SIZE_MAX:
        raise ValueError(f"{size} bytes; at most {SIZE_MAX}")
    return index + b"".join([files[name] for name in sorted(files)])


def read_index(data: bytes) -> tuple | None:  # type: ignore[type-arg]
    """Return where the files begin and a list of (name, size), or None if more bytes are needed.

    Raises ValueError for what is no bundle: after INDEX_MAX bytes nothing more is needed.
    """
    if not MAGIC.startswith(data[:4]):
        raise ValueError("no bundle")
    if len(data) < 5:
        return None
    at, files = 5, []
    for _ in range(_count(data[4])):
        if len(data) < at + 1:
            return None
        ends = at + 1 + data[at]
        if data[at] > NAME_MAX:
            raise ValueError("too long a name")
        if len(data) < ends + 4:
            return None
        files.append((_name(data[at + 1 : ends]), struct.unpack("<I", data[ends : ends + 4])[0]))
        at = ends + 4
    if len({name for name, _ in files}) < len(files):
        raise ValueError("a name stands twice")
    return at, files


def unpack(bundle: bytes) -> dict:  # type: ignore[type-arg]
    """Return what was packed. Raises ValueError for anything else."""
    index = read_index(bundle)
    if index is None or len(bundle) > SIZE_MAX:
        raise ValueError("no bundle")
    at, files = index[0], {}
    for name, size in index[1]:
        files[name] = bundle[at : at + size]
        at += size
    if at != len(bundle):
        raise ValueError(f"{len(bundle)} bytes where {at} are expected")
    return files


def _count(files: int) -> int:
    if not 0 < files <= FILES_MAX:
        raise ValueError(f"{files} files; 1 to {FILES_MAX}")
    return files


def _name(encoded: bytes) -> str:
    """Return a module's file name. Raises ValueError for any other, UnicodeError among them."""
    name = encoded.decode()
    stem = name[:-4]
    if name[-4:] != ".mpy" or not stem or len(encoded) > NAME_MAX:
        raise ValueError("no module's name")
    if not all(letter in LETTERS for letter in stem):
        raise ValueError("no module's name")
    return name
