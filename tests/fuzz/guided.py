"""One target under atheris: inputs that reach new code are kept and changed further. Run by ``tests.fuzz``.

`python -m tests.fuzz.guided TARGET SECONDS`, with what atheris needs below ``build/fuzz/TARGET``. It ends the process.
"""

import importlib
import sys
from collections.abc import Callable
from typing import Any

from tests.fuzz.places import corpus, crashes, dictionary, home

LONGEST = 4096  # bytes of an input
SLOW = 5  # seconds for one input
MEMORY = 1024  # MiB
WORD = 64  # bytes of a word, the most that libFuzzer takes


def main(name: str, seconds: int) -> None:
    """Run the target named for about so many seconds."""
    atheris: Any = importlib.import_module("atheris")
    # Only what is imported in here is watched.
    with atheris.instrument_imports(include=["buoy.http", "http_sf"]):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    target = next(target for target in targets if target.name == name)
    _prepare(name, target.seeds, target.words)
    options = (
        f"-max_total_time={seconds}",
        f"-timeout={SLOW}",
        f"-rss_limit_mb={MEMORY}",
        f"-max_len={LONGEST}",
        f"-dict={dictionary(name)}",
        f"-artifact_prefix={crashes(name)}/",
        "-print_final_stats=1",
    )
    run: Callable[[bytes], None] = target
    atheris.Setup([sys.argv[0], str(corpus(name)), *options], run)
    atheris.Fuzz()


def _prepare(name: str, seeds: tuple[bytes, ...], words: tuple[bytes, ...]) -> None:
    for folder in (home(name), corpus(name), crashes(name)):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus(name) / f"seed-{number}").write_bytes(seed)
    lines = ('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words if 0 < len(word) <= WORD)
    dictionary(name).write_text("".join(lines), encoding="ascii")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
