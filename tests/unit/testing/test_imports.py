"""What the test kit imports, and when: in every environment with Buoy, pytest loads the plugin in every run."""

import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint

from buoy_pytest import buoy_aioresponses
from tests.support.repository import ROOT

LOADED = "import sys; before = set(sys.modules); {}; print(*{{m.partition('.')[0] for m in set(sys.modules) - before}})"


def test_the_plugin_brings_nothing_in() -> None:
    """Importing the plugin imports neither Buoy nor anything that Buoy stands on: pytest is there already."""
    assert {"buoy_pytest"} == set(_said(LOADED.format("import buoy_pytest"), first="import pytest").split())


def test_the_entry_point_is_the_plugin() -> None:
    """The wheel tells pytest of a plugin that exists and has the fixture."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = about["project"]["entry-points"]["pytest11"]
    assert list(named) == ["buoy"]
    assert buoy_aioresponses is EntryPoint("buoy", named["buoy"], "pytest11").load().buoy_aioresponses


def test_the_kit_needs_no_test_framework() -> None:
    """``buoy.testing`` is there without pytest and without aioresponses, which says how to get it when it is used."""
    program = """
import buoy.testing
buoy.testing.ScriptedProvider()
try:
    with buoy.testing.aioresponses():
        print("unreachable")
except ModuleNotFoundError as error:
    print(error)
"""
    hidden = "import sys; sys.modules.update(pytest=None, aioresponses=None)"
    assert _said(program, first=hidden) == "aioresponses is not installed; pip install 'buoy[testing]' brings it"


def test_the_kit_loads_aioresponses_late() -> None:
    """Who uses the scripted provider only does not pay for aioresponses."""
    assert "aioresponses" not in _said(LOADED.format("import buoy.testing")).split()


def _said(program: str, *, first: str = "") -> str:
    command = [sys.executable, "-c", f"{first}\n{program}"]
    return subprocess.check_output(command, text=True, cwd=ROOT).strip()
