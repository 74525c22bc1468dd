"""Which programs there are, how each is named by a variable and on the PATH, and which of its versions will do."""

from typing import NamedTuple

Version = tuple[int, int, int]


class Program(NamedTuple):
    """A program of others."""

    file: str
    """What it is called, in our cache and on the PATH."""
    variable: str
    """The environment variable that names one."""
    recipe: str
    """What builds it, together with others of the same modules."""
    first: Version
    below: Version
    aliases: tuple[str, ...] = ()
    """What others call theirs."""

    def fits(self, version: Version) -> bool:
        """Tell whether what we have for it was written for this version too."""
        return self.first <= version < self.below

    def wanted(self) -> str:
        """Return which versions fit, in words."""
        return f"{shown(self.first)} or later, below {shown(self.below)}"

    def advice(self) -> str:
        """Return what helps whoever has none."""
        return f"What helps: `make tools`, or {self.variable}=/path/to/{self.file} ({self.wanted()})"


def shown(version: Version) -> str:
    """Return a version as its program prints it."""
    return ".".join(map(str, version))


# The collector renames options and components from one minor version to the next: ours is written for this one.
_COLLECTOR = ((0, 159, 0), (0, 160, 0))
# 3.16: `anchored` needs no flag any more, and the tests of what was counted stand on it.
_PROMETHEUS = ((3, 16, 0), (4, 0, 0))
_ALERTMANAGER = ((0, 31, 0), (1, 0, 0))

PROGRAMS = {
    "collector": Program("buoy-collector", "BUOY_COLLECTOR", "collector", *_COLLECTOR, ("otelcol-contrib",)),
    "prometheus": Program("prometheus", "BUOY_PROMETHEUS", "prometheus", *_PROMETHEUS),
    "promtool": Program("promtool", "BUOY_PROMTOOL", "prometheus", *_PROMETHEUS),
    "alertmanager": Program("alertmanager", "BUOY_ALERTMANAGER", "alertmanager", *_ALERTMANAGER),
    "amtool": Program("amtool", "BUOY_AMTOOL", "alertmanager", *_ALERTMANAGER),
    "gateway": Program("buoy-gateway", "BUOY_GATEWAY", "gateway", *_COLLECTOR, ("otelcol-contrib",)),
}
