"""What pytest offers by itself where Buoy is installed, and what it costs those who do not use it."""

from pathlib import Path

from tests.integration.testing import foreign_project
from tests.support import snippets
from tests.support.repository import ROOT

RUNS_COROUTINES = "from tests.conftest import pytest_pyfunc_call\n"
USING = """
import asyncio, buoy

def test_it(buoy_aioresponses):
    \"""It.\"""
    async def main():
        async with buoy.Provider("shop", base_url="https://api.shop.example") as shop:
            assert await shop.get("/a") == {"a": 1}

    buoy_aioresponses.get("https://api.shop.example/a", payload={"a": 1})
    asyncio.run(main())
"""


def test_the_fixture_is_there_without_configuration(tmp_path: Path) -> None:
    """In a project that says nothing of Buoy to pytest, a test may ask for the fixture."""
    assert "1 passed" in foreign_project.run(tmp_path, test_shop=USING)


def test_who_does_not_use_it_does_not_pay(tmp_path: Path) -> None:
    """In a run of pytest with the plugin, and without a test that uses it, none of it but the plugin is imported."""
    test = """
import sys
def test_it():
    assert "buoy_pytest" in sys.modules
    assert {"buoy", "aiohttp", "aioresponses"}.isdisjoint(sys.modules)
"""
    only_ours = ("-p", "buoy", "--disable-plugin-autoload")  # another's plugin may well import aiohttp
    assert "1 passed" in foreign_project.run(tmp_path, *only_ours, test_other=test)


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    """Without aioresponses the fixture fails and says what to install; other tests run."""
    hiding = "import sys\nsys.modules['aioresponses'] = None\n"
    said = foreign_project.run(tmp_path, conftest=hiding, test_shop=f"{USING}\ndef test_other():\n    pass\n")
    assert "aioresponses is not installed; pip install 'buoy[testing]' brings it" in said
    assert "1 passed, 1 error" in said


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    """The tests that the page shows pass as they stand there, all in one file and one process."""
    found = [each.code for each in snippets.examples(ROOT / "docs/how-to/testing.md") if "def test_" in each.code]
    shown = sum(code.count("def test_") for code in found)
    assert shown > 3
    said = foreign_project.run(tmp_path, conftest=RUNS_COROUTINES, test_page="\n".join(found))
    assert f" {shown} passed" in said, said
