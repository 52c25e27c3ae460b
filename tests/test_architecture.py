"""Who may import whom (arrows never turn), and who may know a vendor by name."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import runlake

PACKAGE = Path(runlake.__file__).parent

LAYERS = [
    {"model", "errors", "formats"},
    {"secret", "http", "store"},
    {"connector"},
    {"connectors"},
    {"config", "cron", "sync", "alerts", "report", "explain", "metrics"},
    {"daemon", "web", "demo"},
    {"cli", "__main__"},
]
"""A part may import those above its own line and, without going in circles, those on it. A name here need not exist."""

VENDORS = [path.stem for path in (PACKAGE / "connectors").glob("[!_]*.py")]

MAY_NAME_A_VENDOR = {
    "cli.py": "the demo's text",
    "demo.py": "says which emulated vendors it starts",
}


def imports(file: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it, by their full names."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names)


def part(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def arrows() -> dict[str, set[str]]:
    """Each part of the package and the parts it imports."""
    found: dict[str, set[str]] = {}
    parts = {part(file) for file in PACKAGE.rglob("*.py")} - {"__init__"}
    for file in PACKAGE.rglob("*.py"):
        names = {name.split(".")[1] for name in imports(file) if name.startswith("runlake.")}
        found.setdefault(part(file), set()).update(names & parts - {part(file)})
    return found


def test_every_part_has_its_place() -> None:
    assert set(arrows()) <= set.union(*LAYERS) | {"emulator", "__init__"}, "say in LAYERS where a new part stands"


def test_arrows_never_turn() -> None:
    layer = {name: number for number, names in enumerate(LAYERS) for name in names}
    wrong = [
        f"{importer} imports {imported}"
        for importer, all_imported in arrows().items()
        for imported in all_imported - {"emulator"}
        if importer not in {"emulator", "__init__"} and layer[imported] > layer[importer]
    ]
    assert wrong == []
    TopologicalSorter(arrows()).prepare()  # raises CycleError


def test_the_language_and_the_errors_import_nothing_of_ours() -> None:
    assert arrows()["model"] == arrows()["errors"] == arrows()["__init__"] == set()


def test_connectors_know_the_contract_and_neither_each_other_nor_the_ledger() -> None:
    assert arrows()["connectors"] <= {"connector", "errors", "http", "model", "secret"}
    for file in (PACKAGE / "connectors").glob("*.py"):
        assert not [name for name in imports(file) if name.startswith("runlake.connectors")], file


def test_the_emulator_stands_alone_and_only_what_shows_it_knows_it() -> None:
    assert arrows()["emulator"] == set()
    assert {name for name, imported in arrows().items() if "emulator" in imported} <= {"cli", "demo"}


def knowing(library: str) -> set[str]:
    files = [file for file in PACKAGE.rglob("*.py") if "emulator" not in file.parts]
    return {part(file) for file in files if library in {name.split(".")[0] for name in imports(file)}}


def test_only_http_knows_httpx() -> None:
    assert knowing("httpx") == {"http"}


def test_only_the_store_knows_duckdb() -> None:
    assert knowing("duckdb") <= {"store"}


def test_no_core_file_names_a_vendor() -> None:
    vendor = re.compile(rf"(?<![a-z])({'|'.join(VENDORS)})(?![a-z])", re.IGNORECASE)
    suffixes = {".py", ".sql", ".toml", ".html", ".txt", ".css", ".js", ".svg", ".j2"}
    named = [
        f"{file.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for file in sorted(PACKAGE.rglob("*"))
        if file.suffix in suffixes
        and part(file) not in {"connectors", "emulator"}
        and str(file.relative_to(PACKAGE)) not in MAY_NAME_A_VENDOR
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if vendor.search(line)
    ]
    assert named == []


def test_the_package_imports_without_any_connector(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "runlake", ignore=shutil.ignore_patterns("__pycache__", "emulator"))
    for file in (tmp_path / "runlake" / "connectors").glob("[!_]*"):
        file.unlink()
    modules = [
        ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for file in sorted(PACKAGE.rglob("*.py"))
        if part(file) not in {"connectors", "emulator", "demo"} and file.stem != "__main__"
    ]
    script = "\n".join(f"import {module}" for module in modules)
    script += "\nimport runlake.connector\nassert not runlake.connector.connectors()\nprint(runlake.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path))
