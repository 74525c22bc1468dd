"""A project of somebody who uses Buoy: a folder with tests of its own, run by pytest as they would run it."""

import subprocess
import sys
from pathlib import Path

from tests.support.repository import ROOT


def run(folder: Path, *arguments: str, **files: str) -> str:
    """Write ``files`` (their names without ending), run pytest there, and return what it said."""
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", encoding="utf-8")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    where = ["-c", str(folder / "pytest.ini"), "--rootdir", str(folder), str(folder)]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *where, *arguments]
    # In the root, so that a relative PYTHONPATH still finds the SDK.
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=120)
    return done.stdout + done.stderr
