"""The layout: which folder may import which, how full a folder may be, and that no imports run in a circle.

Every import counts, also one inside a function; only those for annotations (``if TYPE_CHECKING``) do not.
"""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from mixlm.methods import METHODS


ROOT = Path(__file__).parents[1]
PACKAGES = ("vqvae", "mixlm", "pipelines")  # each imports only from those before it
ORDER = (  # of mixlm, top down; each imports only from those before it
    "errors processes damage shown",
    "data",
    "tasks",
    "model",
    "encoding",
    "methods",
    "run",
    "generation",
    "evaluation",
    "sampling",
    "training",
    "planning",
    "analysis",
    "comparison",
    "report",
)
FILES_AT_THE_TOP, FILES_OF_A_FOLDER, FLOORS = 5, 11, 6
LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 300, 50
FLOOR = {name: number for number, names in enumerate(ORDER) for name in names.split()}
FOLDERS = sorted({path.parent for path in (ROOT / "mixlm").rglob("*.py")} - {ROOT / "mixlm"})


def module_of(path: Path) -> str:
    """Return the name by which a file is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def modules() -> Mapping[str, Path]:
    """Return every file of the three packages by its module's name."""
    return {module_of(path): path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))}


def imported(tree: ast.AST, package: str, known: Mapping[str, Path]) -> Iterator[str]:
    """Yield the modules among ``known`` that a file in ``package`` imports, at any depth."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: -node.level + 1 or None] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{source}.{alias.name}" if f"{source}.{alias.name}" in known else source for alias in node.names]
        yield from (name for name in names if name in known)
        yield from imported(node, package, known)


@cache
def imports() -> Mapping[str, frozenset[str]]:
    """Return for every module those of this project that it imports."""
    found = {}
    for name, path in modules().items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        found[name] = frozenset(imported(ast.parse(path.read_text()), package, modules())) - {name}
    return found


def floors(graph: Mapping[str, frozenset[str]]) -> Mapping[str, int]:
    """Return how high each module stands above those that it imports within ``graph``, from 1.

    Raises:
        ValueError: If imports run in a circle.
    """
    heights: dict[str, int] = {}

    def height(name: str, path: tuple[str, ...] = ()) -> int:
        if name in path:
            raise ValueError(" -> ".join([*path[path.index(name) :], name]))
        if name not in heights:
            below = [height(other, (*path, name)) for other in sorted(graph[name] & graph.keys())]
            heights[name] = 1 + max(below, default=0)
        return heights[name]

    for name in graph:
        height(name)
    return heights


def layer(name: str) -> tuple[int, int]:
    """Return where a module stands: its package, and within mixlm its place in ``ORDER``."""
    package, _, rest = name.partition(".")
    inside = FLOOR[rest.split(".")[0]] if package == "mixlm" and rest else -1
    return PACKAGES.index(package), inside


def test_every_file_at_the_top_and_every_folder_of_mixlm_has_its_place():
    names = {name.split(".")[1] for name in modules() if name.startswith("mixlm.")}
    assert names == FLOOR.keys()


@pytest.mark.parametrize("name", sorted(modules()))
def test_a_module_imports_nothing_that_comes_after_it(name):
    upwards = [other for other in imports()[name] if other != "mixlm" and layer(other) > layer(name)]
    assert not upwards


def test_no_imports_run_in_a_circle():
    inner = {name: others - {"mixlm"} for name, others in imports().items() if name != "mixlm"}
    assert floors(inner)


def test_folders_are_small():
    at_the_top = [path for path in (ROOT / "mixlm").glob("*.py") if path.name != "__init__.py"]
    assert len(at_the_top) <= FILES_AT_THE_TOP
    for folder in FOLDERS:
        inside = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(inside) <= FILES_OF_A_FOLDER, folder


def test_files_and_functions_are_short():
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= LINES_OF_A_FILE, path
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
        long = [node.name for node in functions if node.end_lineno - node.lineno >= LINES_OF_A_FUNCTION]
        assert not long, f"{path}: {long}"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: module_of(folder))
def test_a_folder_has_few_floors(folder):
    own = {module_of(path) for path in folder.glob("*.py")}
    assert max(floors({name: imports()[name] & own for name in own}).values()) <= FLOORS


def test_no_two_files_of_tests_have_one_name():
    """pytest imports them by these alone, and cannot run two of one name together."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_a_circle_is_found_and_the_import_inside_a_function_too():
    source = "def f():\n    from pipelines import cli\n    import vqvae.model.chunk_vqvae\n"
    assert list(imported(ast.parse(source), "mixlm", modules())) == ["pipelines.cli", "vqvae.model.chunk_vqvae"]
    assert list(imported(ast.parse("from . import run"), "mixlm", modules())) == ["mixlm.run"]
    with pytest.raises(ValueError, match="a -> b -> a"):
        floors({"a": frozenset("b"), "b": frozenset("a")})


def test_a_chain_of_imports_counts_its_floors():
    assert floors({"a": frozenset("bc"), "b": frozenset("c"), "c": frozenset()}) == {"a": 3, "b": 2, "c": 1}


def test_nothing_that_trains_or_generates_asks_for_a_methods_name():
    """What a method does is its own business, so that another one needs no change there."""
    names = METHODS.keys() - {"pause"}  # which is a kind of token, too
    folders = [ROOT / "mixlm" / name for name in ("model", "generation", "training")]
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        compared = (
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, (ast.Compare, ast.Match))
        )
        held = {part.value for node in compared for part in ast.walk(node) if isinstance(part, ast.Constant)}
        assert not held & names, path
