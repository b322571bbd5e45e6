"""Bundles: what was packed comes out, in whatever pieces; nothing else comes in."""

import headbundle
from slots import FORMER, LATTER


def fails(call, *values):
    try:
        call(*values)
    except ValueError:
        return True
    return False


def test_what_was_packed_is_unpacked():
    for files in (FORMER, LATTER, {"a.mpy": b""}):
        assert headbundle.unpack(headbundle.pack(files)) == files


def test_the_index_is_read_as_soon_as_it_is_there():
    bundle = headbundle.pack(LATTER)
    begins, files = headbundle.read_index(bundle)
    assert files == [(name, len(LATTER[name])) for name in sorted(LATTER)]
    for size in range(begins):
        assert headbundle.read_index(bundle[:size]) is None
    assert headbundle.read_index(bundle[:begins]) == (begins, files)


def test_the_largest_index_is_as_long_as_is_said():
    names = [f"m{number:019}.mpy" for number in range(headbundle.FILES_MAX)]
    assert len(names[0]) == headbundle.NAME_MAX
    bundle = headbundle.pack(dict.fromkeys(names, b""))
    assert len(bundle) == headbundle.INDEX_MAX


def test_a_name_that_is_no_modules_is_refused():
    bundle = headbundle.pack({"abcdef.mpy": b"x"})
    for name in (
        b"../a_.mpy",
        b"/abcd.mpy",
        b"abcdef.py_",
        b".mpy.mpy_",
        b"Abcde.mpy",
        b"a\0c.mpy_",
    ):
        assert fails(headbundle.unpack, bundle.replace(b"abcdef.mpy", (name + b"_")[:10])), name
    for name in ("main.py", ".mpy", "a/b.mpy", "ヘッド.mpy", "a" * 21 + ".mpy"):
        assert fails(headbundle.pack, {name: b""}), name
    assert fails(headbundle.unpack, bundle.replace(b"abcdef", b"ab\xff\xfeef"))


def test_what_is_no_bundle_is_refused():
    bundle = headbundle.pack(FORMER)
    assert fails(headbundle.unpack, b"")
    assert fails(headbundle.unpack, b"KZH2" + bundle[4:])
    assert fails(headbundle.unpack, bundle + b"x")
    assert fails(headbundle.unpack, bundle[:-1])
    assert fails(headbundle.unpack, bundle[:4] + b"\0")
    assert fails(headbundle.unpack, bundle[:4] + b"\xff" + bundle[5:])
    twice = headbundle.pack({"aa.mpy": b"", "bb.mpy": b""}).replace(b"bb", b"aa")
    assert fails(headbundle.unpack, twice)


def test_too_much_is_not_packed():
    assert fails(headbundle.pack, {})
    assert fails(headbundle.pack, {f"a{n}.mpy": b"" for n in range(headbundle.FILES_MAX + 1)})
    assert fails(headbundle.pack, {"a.mpy": bytes(headbundle.SIZE_MAX)})
