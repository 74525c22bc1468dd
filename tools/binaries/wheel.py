"""`python -m tools.binaries.wheel [FOLDER]`: the wheel `buoy-sidecar` for this platform, with the collector built here.

It is put together in a copy of exporter/wheel, so that the checkout stays as it is.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.binaries.building import build, built, place
from tools.binaries.licences import FILE
from tools.binaries.programs import PROGRAMS
from tools.binaries.recipes import EXPORTER
from tools.binaries.running import TAIL, Unavailable, say

ROOT = EXPORTER.parent
# A static program asks nothing of the C library, so both kinds of Linux take it: the oldest that pip knows by name, for
# Go asks for a kernel of 3.2. On macOS it is the oldest that this Go supports.
PLATFORMS = {
    "linux/amd64": "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64",
    "linux/arm64": "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
    "darwin/amd64": "macosx_12_0_x86_64",
    "darwin/arm64": "macosx_12_0_arm64",
}


def make(folder: Path) -> Path:
    """Return the wheel, made in ``folder``. Raises :class:`Unavailable`, :class:`OSError`."""
    where = place("collector")
    program = built(where, PROGRAMS["collector"]) or build(where, PROGRAMS["collector"])
    platform = PLATFORMS.get(where.go.platform)
    if platform is None:
        raise Unavailable(f"there is no name for a wheel of {where.go.platform}; known are {', '.join(PLATFORMS)}")
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "wheel")
        shutil.copytree(EXPORTER / "wheel", source, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(program, source / "buoy_sidecar" / program.name)
        shutil.copy2(program.with_name(FILE), source / FILE)
        shutil.copy2(ROOT / "LICENSE", source / "LICENSE")
        done = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder.absolute())],
            check=False,
            cwd=source,
            env=os.environ | {"BUOY_SIDECAR_PLATFORM": platform},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    if done.returncode:
        raise Unavailable("\n".join(["the wheel could not be made", *done.stdout.splitlines()[-TAIL:]]))
    return max(folder.glob("buoy_sidecar-*.whl"), key=lambda path: path.stat().st_mtime)


def main(arguments: Sequence[str]) -> int:
    """Make the wheel in the folder that is named, or in `dist`."""
    folder = Path(arguments[0]) if arguments else ROOT / "dist"
    try:
        wheel = make(folder)
    except (OSError, Unavailable) as error:
        say(f"buoy-sidecar: {error}")
        return 1
    say(f"{wheel}: {wheel.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
