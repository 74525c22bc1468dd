"""The page of the doctor's checks, from the table that the command works by."""

from buoy.telemetry.diagnosis.checks import CHECKS

_HEAD = """\
<!-- Generated from sdk/buoy/telemetry/diagnosis/checks.py by `make generate`; edit that. -->
# The checks of `buoy doctor`

What each is named in the output, how bad it is, what is lost and why, and how to mend it. A problem makes the command
end with 1; a warning may be meant so. How to use it: [buoy doctor](../how-to/doctor.md).

| check | severity | what is lost, and why | fix |
|---|---|---|---|
"""


def doctor() -> str:
    """Return the page: every check."""
    return _HEAD + "".join(f"| `{row.name}` | {row.severity} | {row.loses} | {row.fix} |\n" for row in CHECKS)
