"""The examples of the README and of every page under docs/ run as they stand there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import snippets
from tests.support.repository import ROOT, pages

SECONDS = 60  # for a page; an example that waits for a real host would never end

GOOD = """\
Two blocks share their names.

```python
import urllib.request
url = "https://api.github.com/repos/python/cpython"
```

<!-- example: github-flaky -->
```python
from urllib.error import HTTPError
flaky = "https://api.github.com/repos/python/cpython"
try:
    urllib.request.urlopen(flaky)
except HTTPError as error:
    print("first", error.code)
print("then", urllib.request.urlopen(flaky).status)
print("plain", urllib.request.urlopen(url).status)
```

1. Also in a list, and with `await`:
   ```python
   import asyncio
   await asyncio.sleep(0)
   print("awaited")
   ```

<!-- not run: it would never end -->
```python
while True: ...
```
"""


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_of_a_page_run(page: Path) -> None:
    """Every example of a page does what it says, or at least ends without an error."""
    done = _run(page)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_was_not_run_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Examples that are compiled only are counted and shown with their reason."""
    found = [(page.relative_to(ROOT), example) for page in pages() for example in snippets.examples(page)]
    skipped = [f"{page}:{example.line} ({example.not_run})" for page, example in found if example.not_run]
    with capsys.disabled():
        print(f"\nexamples: {len(found) - len(skipped)} run, {len(skipped)} compiled only", *skipped, sep="\n  ")


def test_blocks_share_a_namespace_and_find_their_server(tmp_path: Path) -> None:
    """Blocks run in order in one namespace, each against the site it asks for, and marked ones do not run."""
    page = _page(tmp_path, GOOD)
    done = _run(page)
    assert done.stderr == ""
    said = [line for line in done.stdout.splitlines() if not line.startswith(str(page))]
    assert said == ["first 503", "then 200", "plain 200", "awaited"]


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("\n\nassert 1 == 2", 'page.md", line 5'),
        ("await never()", "NameError"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", ""),
    ],
)
def test_an_example_that_fails_is_noticed(tmp_path: Path, code: str, complaint: str) -> None:
    """An example that raises, does not compile or exits makes the page fail, with its line in the page."""
    done = _run(_page(tmp_path, f"An example:\n```python\n{code}\n```\n"))
    assert done.returncode != 0
    assert complaint in done.stderr


def test_a_marked_example_must_compile(tmp_path: Path) -> None:
    """An example that is not run is compiled all the same."""
    done = _run(_page(tmp_path, "<!-- not run: it is broken -->\n```python\ndef broken(:\n```\n"))
    assert "SyntaxError" in done.stderr
    assert done.returncode != 0


def test_a_site_that_does_not_exist_is_noticed(tmp_path: Path) -> None:
    """A comment that names an unknown site makes the page fail."""
    done = _run(_page(tmp_path, "<!-- example: nowhere -->\n```python\n```\n"))
    assert "nowhere" in done.stderr
    assert done.returncode != 0


def _page(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text, encoding="utf-8")
    return page


def _run(page: Path) -> subprocess.CompletedProcess[str]:
    with snippets.standing_in() as server:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "BUOY_"))},
            "OTEL_EXPORTER_OTLP_ENDPOINT": server,
        }
        command = [sys.executable, "-m", "tests.support.snippets", str(page), server]
        return subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=SECONDS
        )
