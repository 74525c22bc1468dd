"""The page of deliveries and that of the recipes: fresh, complete, and what the tests really run."""

from pathlib import Path

import pytest

from tests.integration.delivery.table import SECTIONS
from tests.support.repository import ROOT
from tools import delivery

RECIPES = sorted(path for path in (Path(__file__).parent / "recipes").glob("*.py") if path.stem != "__init__")


def test_the_page_is_fresh() -> None:
    """What the repository shows is what the table says, and so what the tests measure."""
    assert delivery.delivery() == (ROOT / "docs" / "reference" / "delivery.md").read_text(encoding="utf-8")


def test_the_page_has_every_situation() -> None:
    """Each row is a line of the page."""
    lines = delivery.delivery().splitlines()
    named = [row.situation for section in SECTIONS for row in section.rows]
    assert [name for name in named if not any(line.startswith(f"| {name} | ") for line in lines)] == []


def test_the_tables_are_tables() -> None:
    """Every line of a table has as many cells as its head."""
    assert {7} == {line.count("|") for line in delivery.delivery().splitlines() if line.startswith("|")}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_stands_in_the_page_as_it_runs(recipe: Path) -> None:
    """The block of the page is the program that the table runs, letter for letter, and a row runs it."""
    page = (ROOT / "docs" / "how-to" / "forking.md").read_text(encoding="utf-8")
    assert f"```python\n{recipe.read_text(encoding='utf-8')}```\n" in page
    running = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.py"))
    assert f"recipes.{recipe.stem}" in running or f'gunicorn("{recipe.stem}"' in running
