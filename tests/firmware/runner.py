"""Runs one test function of a file, under CPython or MicroPython: runner.py FILE FUNCTION."""

import sys

path, name = sys.argv[1:]
sys.path.insert(0, path.rsplit("/", 1)[0])
with open(path) as file:
    source = file.read()
scope = {"__name__": "test"}
exec(compile(source, path, "exec"), scope)
scope[name]()  # type: ignore[operator]
