"""What is on this machine already: the program that a variable names, or one on the PATH, if its version will do."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tools.binaries.programs import Program, Version, shown
from tools.binaries.running import Unavailable, say

ANSWERS_WITHIN = 60.0  # seconds for `--version`: a cold disk and a busy machine


def named(program: Program) -> Path | None:
    """Return what the variable names, if it is set. One that will not do is an error: it was named on purpose."""
    value = os.environ.get(program.variable)
    if not value:
        return None
    path = Path(value).expanduser().absolute()
    if complaint := unfit(path, program):
        raise Unavailable(f"{program.variable} names {complaint}\n{program.advice()}")
    return path


def on_path(program: Program) -> Path | None:
    """Return the first program on the PATH that will do; say of the others why not."""
    for name in (program.file, *program.aliases):
        where = shutil.which(name)
        if where is None:
            continue
        complaint = unfit(Path(where), program)
        if not complaint:
            return Path(where).absolute()
        say(f"{program.file}: on the PATH is {complaint}; not taken")
    return None


def unfit(path: Path, program: Program) -> str:
    """Return why ``path`` will not do, or nothing."""
    if not path.is_file():
        return f"{path}, which is no file"
    version = version_of(path)
    if version is None:
        return f"{path}, which does not run, or does not say its version"
    if not program.fits(version):
        return f"{path} of version {shown(version)}; needed is {program.wanted()}"
    return ""


def version_of(path: Path) -> Version | None:
    """Return the version that the program prints, or None where it prints none."""
    try:
        done = subprocess.run(
            [path, "--version"],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=ANSWERS_WITHIN,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(rb"version v?(\d+)\.(\d+)\.(\d+)", done.stdout)
    if match is None:
        return None
    major, minor, patch = map(int, match.groups())
    return major, minor, patch
