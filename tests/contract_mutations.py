# ruff: noqa: T201  a command line
"""Does the contract suite bite? Plants defects in copies of the connectors and wants a test to fail for each.

    python tests/contract_mutations.py [connector ...]

On demand: some thirty defects a connector, a few seconds each. Exits 1 where a defect survives, which means that the
suite must get better, or that the defect is none: then EQUIVALENT says why.
"""

from __future__ import annotations

import ast
import copy
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

ROOT = Path(__file__).parents[1]
CONNECTORS = ROOT / "src" / "runlake" / "connectors"

EQUIVALENT: dict[tuple[str, str], str] = {
    ("airflow", "give an open one an end"): "the server shows no end of an open run, and the ledger keeps none",
    ("clarifeye", "< for <= or the like (2)"): "one request more at the end of a list of which no row can be read",
}
"""Defects that change nothing that anyone could see, and why."""

Function = ast.AsyncFunctionDef | ast.FunctionDef
Mutant = tuple[str, ast.Module]
FLIPPED: dict[type[ast.cmpop], ast.cmpop] = {ast.Lt: ast.LtE(), ast.LtE: ast.Lt(), ast.Gt: ast.GtE(), ast.GtE: ast.Gt()}


def planted(tree: ast.Module, label: str, find: Callable[[ast.Module], list[Callable[[], None]]]) -> Iterator[Mutant]:
    """One mutant per change that `find` offers on a copy of the module."""
    for number in range(len(find(copy.deepcopy(tree)))):
        mutated = copy.deepcopy(tree)
        find(mutated)[number]()
        yield label if number == 0 else f"{label} ({number + 1})", ast.fix_missing_locations(mutated)


def functions(tree: ast.AST) -> list[Function]:
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def named(tree: ast.AST, name: str) -> list[Function]:
    return [function for function in functions(tree) if function.name == name]


def bodies(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        for part in ("body", "orelse", "finalbody"):
            if isinstance(getattr(node, part, None), list):
                yield getattr(node, part)


def yields(tree: ast.AST) -> list[tuple[list[ast.stmt], int]]:
    return [
        (body, at)
        for body in bodies(tree)
        for at, statement in enumerate(body)
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Yield)
    ]


def calls(tree: ast.AST, *names: str) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) in names]


def keywords(tree: ast.AST, name: str, *of: str) -> list[ast.keyword]:
    return [keyword for call in calls(tree, *of) for keyword in call.keywords if keyword.arg == name]


def parsed(text: str) -> ast.stmt:
    return ast.parse(text).body[0]


def setter(holder: ast.AST, field: str, value: object) -> Callable[[], None]:
    return lambda: setattr(holder, field, value)


def inserted(body: list[ast.stmt], at: int, *statements: ast.stmt) -> Callable[[], None]:
    return lambda: body.__setitem__(slice(at, at), statements)


# --- the defects -----------------------------------------------------------------------------------------------------


def first_page_only(tree: ast.Module) -> list[Callable[[], None]]:
    return [
        inserted(body, at + 1, ast.Return())
        for pages in named(tree, "pages")
        for body, at in yields(pages)
        if body[at] is not pages.body[-1]
    ]


def page_twice(tree: ast.Module) -> list[Callable[[], None]]:
    return [inserted(body, at, body[at]) for pages in named(tree, "pages") for body, at in yields(pages)]


def other_comparison(tree: ast.Module) -> list[Callable[[], None]]:
    return [
        setter(node, "ops", [FLIPPED[type(node.ops[0])]])
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and type(node.ops[0]) in FLIPPED
    ]


def tables(tree: ast.Module) -> list[ast.AST]:
    """What the status tables are built from: the calls and the dicts that hold `RunStatus` values."""

    def values(node: ast.AST) -> list[ast.expr]:
        if isinstance(node, ast.Dict):
            return node.values
        return [keyword.value for keyword in node.keywords] if isinstance(node, ast.Call) else []

    return [node for node in ast.walk(tree) if any("RunStatus." in ast.unparse(v)[:10] for v in values(node))]


def missing_word(tree: ast.Module) -> list[Callable[[], None]]:
    def shorten(mapping: ast.Dict) -> None:
        del mapping.keys[0], mapping.values[0]

    def drop(table: ast.AST) -> Callable[[], None]:
        if isinstance(table, ast.Call):
            return setter(table, "keywords", table.keywords[1:])
        mapping = cast(ast.Dict, table)
        return lambda: shorten(mapping)

    return [drop(table) for table in tables(tree)]


def failure_as_success(tree: ast.Module) -> list[Callable[[], None]]:
    return [
        setter(node, "attr", "SUCCEEDED")
        for table in tables(tree)
        for node in ast.walk(table)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "RunStatus.FAILED"
    ][:1]


def swallowed_error(tree: ast.Module) -> list[Callable[[], None]]:
    """`try: … except Exception: return` around each statement that asks the vendor."""

    def swallow(body: list[ast.stmt], at: int, nothing: str) -> Callable[[], None]:
        guarded = cast(ast.Try, parsed(f"try:\n    pass\nexcept Exception:\n    {nothing}"))
        guarded.body = [body[at]]
        return lambda: body.__setitem__(at, guarded)

    found = []
    for function in functions(tree):
        nothing = "return" if any(isinstance(node, ast.Yield) for node in ast.walk(function)) else "return []"
        for body in bodies(function):
            for at, statement in enumerate(body):
                head = ast.unparse(getattr(statement, "iter", statement))
                simple = isinstance(statement, (ast.Assign, ast.Expr, ast.Return))
                loop = isinstance(statement, (ast.For, ast.AsyncFor))
                if (simple or loop) and re.search(r"http\.(get|post|items)\(", head):
                    found.append(swallow(body, at, nothing))
    return found


def no_steps(tree: ast.Module) -> list[Callable[[], None]]:
    nothing = ast.Constant(None)
    given = [setter(keyword, "value", nothing) for keyword in keywords(tree, "steps", "Run", "replace", "Page")]
    later = [
        setter(node, "value", nothing)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith(".steps")
    ]
    return given + later


def end_although_open(tree: ast.Module) -> list[Callable[[], None]]:
    """The end is given whether or not the run, or the step, is final."""
    return [
        setter(keyword, "value", keyword.value.body)
        for keyword in keywords(tree, "finished_at", "Run", "Step")
        if isinstance(keyword.value, ast.IfExp)
    ]


def end_is_the_start(tree: ast.Module) -> list[Callable[[], None]]:
    return [
        setter(keyword, "value", start.value)
        for call in calls(tree, "Run", "Step")
        for keyword in call.keywords
        for start in call.keywords
        if keyword.arg == "finished_at" and start.arg in {"started_at", "created_at", "vendor_status"}
    ][:2]


def whole_payload(tree: ast.Module) -> list[Callable[[], None]]:
    last = max(at for at, statement in enumerate(tree.body) if isinstance(statement, (ast.Import, ast.ImportFrom)))
    opened = ast.parse('class _Open(Wire):\n    model_config = {"extra": "allow"}\n\nWire = _Open').body
    excluded = [
        setter(keyword, "value", ast.Constant(False))
        for keyword in keywords(tree, "exclude", "Field")
        if ast.unparse(keyword.value) == "True"
    ]
    return [inserted(tree.body, last + 1, *opened), *excluded[-1:]]


def link_not_checked(tree: ast.Module) -> list[Callable[[], None]]:
    def bare(call: ast.Call) -> Callable[[], None]:
        def change() -> None:
            call.func, call.args = ast.Name("str", ast.Load()), call.args

        return change

    return [bare(call) for call in calls(tree, "http.link", "http.relative")]


def id_not_quoted(tree: ast.Module) -> list[Callable[[], None]]:
    def bare(call: ast.Call) -> Callable[[], None]:
        return lambda: setattr(call, "func", ast.Attribute(call.args.pop(0), "format", ast.Load()))

    return [
        bare(call)
        for call in calls(tree, "path")
        if "runs" in ast.unparse(call) or "executions" in ast.unparse(call) or "Instances" in ast.unparse(call)
    ][:4]


def ignored(tree: ast.Module, argument: str) -> list[Callable[[], None]]:
    return [
        inserted(pages.body, 0, parsed(f"{argument} = None"))
        for pages in named(tree, "pages")
        if any(isinstance(node, ast.Name) and node.id == argument for node in ast.walk(pages))
    ]


def one_feed_only(tree: ast.Module) -> list[Callable[[], None]]:
    returned = [
        (node, ast.unparse(node.value))
        for feeds in named(tree, "feeds")
        for node in ast.walk(feeds)
        if isinstance(node, ast.Return) and node.value
    ]
    return [
        setter(node, "value", ast.parse(f"({text})[:1]", mode="eval").body)
        for node, text in returned
        if text.count("Feed(") > 1 or " for " in text
    ]


def field_forgotten(tree: ast.Module) -> list[Callable[[], None]]:
    kept = {"pipeline_id", "run_id", "step_id", "vendor_status", "steps", "finished_at"}
    empty = {"labels": "{}", "metrics": "{}"}
    return [
        setter(keyword, "value", ast.parse(empty.get(keyword.arg, "None"), mode="eval").body)
        for call in calls(tree, "Run", "Step")
        for keyword in call.keywords
        if keyword.arg and keyword.arg not in kept
    ]


def probe_asks_nothing(tree: ast.Module) -> list[Callable[[], None]]:
    return [inserted(probe.body, 0, parsed("return 'nothing'")) for probe in named(tree, "probe")]


def wrong_order(tree: ast.Module) -> list[Callable[[], None]]:
    return [
        setter(node, "attr", "NEWEST_FIRST")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"Order.UNSORTED", "Order.UPDATED_SINCE"}
    ][:1]


DEFECTS: dict[str, Callable[[ast.Module], list[Callable[[], None]]]] = {
    "read only the first page": first_page_only,
    "yield a page twice": page_twice,
    "< for <= or the like": other_comparison,
    "drop a status word": missing_word,
    "map a failed word to succeeded": failure_as_success,
    "swallow an error": swallowed_error,
    "drop the steps": no_steps,
    "give an open one an end": end_although_open,
    "take the end from elsewhere": end_is_the_start,
    "store the whole payload": whole_payload,
    "follow a link unchecked": link_not_checked,
    "quote no id": id_not_quoted,
    "ignore the cursor": lambda tree: ignored(tree, "cursor"),
    "ignore since": lambda tree: ignored(tree, "since"),
    "walk the first feed only": one_feed_only,
    "claim another order": wrong_order,
    "forget a field": field_forgotten,
    "probe without asking": probe_asks_nothing,
}


# --- the trial -------------------------------------------------------------------------------------------------------


def failing(name: str, package: Path, deselected: list[str], *, all_of_them: bool = False) -> list[str]:
    """The tests that fail with the package in `package` in place of the real one; without `all_of_them` the first."""
    suites = ["tests/test_contract.py"]
    own = Path("tests") / "connectors" / f"test_{name}.py"
    suites += [str(own)] if (ROOT / own).exists() else []
    options = ["-q", "--tb=no", "-p", "no:cacheprovider", "-k", name, *([] if all_of_them else ["-x"])]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *suites, *options, *(f"--deselect={test}" for test in deselected)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    failed = re.findall(r"^(?:FAILED|ERROR) (\S.*?\]|\S+)", done.stdout, re.MULTILINE)
    if done.returncode == 0:
        return []
    return failed or ["(the module does not load)"]


def trial(name: str) -> tuple[int, int]:
    """Prints a table; how many defects were caught, and of how many."""
    source = (CONNECTORS / f"{name}.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    caught = planted_in_all = 0
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder)
        shutil.copytree(ROOT / "src" / "runlake", package / "runlake", ignore=shutil.ignore_patterns("__pycache__"))
        victim = package / "runlake" / "connectors" / f"{name}.py"
        already = failing(name, package, [], all_of_them=True)
        for test in already:
            print(f"{name:11} already red, left out: {test}")
        for label, find in DEFECTS.items():
            mutants = list(planted(tree, label, find))
            if not mutants:
                print(f"{name:11} {label:36} not applicable")
            for mutant, mutated in mutants:
                if (name, mutant) in EQUIVALENT:
                    print(f"{name:11} {mutant:36} equivalent: {EQUIVALENT[name, mutant]}")
                    continue
                victim.write_text(ast.unparse(mutated), encoding="utf-8")
                try:
                    found = failing(name, package, already)
                except subprocess.TimeoutExpired:
                    found = ["(never ends)"]
                planted_in_all += 1
                caught += bool(found)
                verdict = f"caught by {found[0].rpartition('::')[2]}" if found else "SURVIVED"
                print(f"{name:11} {mutant:36} {verdict}", flush=True)
                if not found:
                    print(changed(ast.unparse(tree), ast.unparse(mutated)))
    return caught, planted_in_all


def changed(before: str, after: str) -> str:
    old = set(before.splitlines())
    return "\n".join(f"{'':12}+ {line.strip()}" for line in after.splitlines() if line not in old)


def main() -> int:
    names = sys.argv[1:] or sorted(file.stem for file in CONNECTORS.glob("[!_]*.py"))
    scores = {name: trial(name) for name in names}
    for name, (caught, planted_in_all) in scores.items():
        print(f"{name:11} {caught} of {planted_in_all} defects caught")
    return int(any(caught < planted_in_all for caught, planted_in_all in scores.values()))


if __name__ == "__main__":
    sys.exit(main())
