"""Where ``make fuzz`` keeps what it finds: below ``build/fuzz``, a folder for each target."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def home(target: str) -> Path:
    """Return the folder of a target."""
    return ROOT / "build" / "fuzz" / target


def corpus(target: str) -> Path:
    """Return where the inputs are that reach something new: the next run begins with them."""
    return home(target) / "corpus"


def crashes(target: str) -> Path:
    """Return where the inputs are for which something came out that should not, or nothing in time."""
    return home(target) / "crashes"


def dictionary(target: str) -> Path:
    """Return the words that inputs are made of."""
    return home(target) / "words"


def log(target: str) -> Path:
    """Return what atheris printed in the last run."""
    return home(target) / "log"
