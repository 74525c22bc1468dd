"""The project's own rules, those that no linter knows."""

import ast
import importlib.metadata
import re
import statistics
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from buoy.version import __version__
from tests.support.repository import ROOT, files, modules, texts

VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}

# Written in two parts, so that this file passes its own test.
REGISTRIES = [
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "npmjs" + ".org",
    "npmjs" + ".com",
    "crates" + ".io",
    "proxy.golang" + ".org",  # modules are named by the rest of it
    "sum.golang" + ".org",
    "maven" + ".org",
    "debian" + ".org",
]
LOCK_FILES = {"uv.lock", "poetry.lock", "Pipfile.lock", "pdm.lock", "pylock.toml", "package-lock.json", "yarn.lock"}
MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:root|home|Users|work)/")

# What `import buoy` may bring in, beside the standard library: the four dependencies and what they stand on.
LIGHT = {
    "buoy",
    *("aiohttp", "aiohappyeyeballs", "aiosignal", "attr", "frozenlist", "idna", "multidict", "propcache", "yarl"),
    *("opentelemetry", "typing_extensions"),
    *("annotated_types", "pydantic", "pydantic_core", "typing_inspection"),
    "http_sf",
    "structlog",
}
# A compiled package names its C runtime as a module of its own; so does the standard library its build.
RUNTIME = re.compile(r"_?cython_.*|_sysconfigdata_.*")


def test_version_is_in_one_place() -> None:
    """What is installed has the version of ``version.py``, and nothing else of what is built states one."""
    assert importlib.metadata.version("buoy") == __version__
    built = [(name, text) for name, text in texts() if name.startswith("sdk/") or name == "pyproject.toml"]
    stating = [name for name, text in built if f'"{__version__}"' in text]
    assert stating == ["sdk/buoy/version.py"]


def test_modules_say_what_they_own() -> None:
    """Every module begins with a docstring."""
    assert [path for path in modules("sdk/buoy", "tests", "tools") if not ast.get_docstring(_parsed(path))] == []


def test_names_say_what_is_inside() -> None:
    """No module and no folder has a name under which anything would fit."""
    parts = {(path.stem, *path.relative_to(ROOT).parts[:-1]) for path in modules("sdk/buoy", "tests", "tools")}
    assert [names for names in parts if VAGUE & set(names)] == []


def test_every_test_states_its_promise() -> None:
    """Every test function has a docstring of one sentence."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules("tests")
        if path.name.startswith("test_")
        for node in ast.walk(_parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_no_invisible_characters() -> None:
    """No text has characters that a reader cannot see or would take for another: bidi marks, odd spaces, controls."""
    assert [found for name, text in texts() for found in _invisible(name, text)] == []


def _invisible(name: str, text: str) -> list[str]:
    return [
        f"{name}: U+{ord(character):04X}"
        for character in sorted(set(text) - set("\n\t "))
        if unicodedata.category(character) in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}
    ]


def test_no_file_names_a_registry_or_a_machine() -> None:
    """The repository installs and runs anywhere: no registry host, no lock file, no path of somebody's machine."""
    found = []
    for name, text in texts():
        found += [f"{name}: {host}" for host in REGISTRIES if host in text]
        found += [f"{name}:{text[: match.start()].count(chr(10)) + 1}" for match in MACHINE_PATH.finditer(text)]
    assert found == []
    assert [path.name for path in files() if path.name in LOCK_FILES] == []


def test_commands_of_the_pages_exist() -> None:
    """Every ``make`` command named in a page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        (name, target)
        for name, text in texts()
        if name.endswith(".md")
        for target in re.findall(r"(?:`|^\s*\$? ?)make ([a-z][a-z-]*)", text, re.MULTILINE)
    }
    assert {target for _, target in named} >= {"demo", "test"}
    assert sorted(pair for pair in named if pair[1] not in targets) == []


def test_import_is_light() -> None:
    """``import buoy`` brings in no OTel SDK, no exporter, and no extra that was not asked for."""
    program = "import sys; before = set(sys.modules); import buoy; print(*(set(sys.modules) - before))"
    loaded = set(subprocess.check_output([sys.executable, "-c", program], text=True).split())
    roots = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert sorted(root for root in roots - LIGHT if not RUNTIME.fullmatch(root)) == []
    assert sorted(name for name in loaded if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))) == []


def test_sizes_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Sizes are a guide for the eye, not a gate: they are shown, with the largest of each kind."""
    sizes, lengths = [], []
    for path in modules("sdk/buoy"):
        name = str(path.relative_to(ROOT))
        sizes.append((path.read_text(encoding="utf-8").count("\n"), name))
        lengths += [
            ((node.end_lineno or node.lineno) - node.lineno + 1, f"{name}:{node.name}")
            for node in ast.walk(_parsed(path))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
    with capsys.disabled():
        print("\nsdk/buoy:", _summary("files", sizes), "|", _summary("functions", lengths))
    assert sizes


def _summary(kind: str, measured: list[tuple[int, str]]) -> str:
    lines = [size for size, _ in measured]
    largest, name = max(measured)
    return f"{len(lines)} {kind}, median {statistics.median(lines):.0f} lines, largest {largest} ({name})"


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
