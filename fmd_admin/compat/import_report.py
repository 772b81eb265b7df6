"""What an import did, and what it left out and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

#: Each kind in the order of the report.
KINDS = (
    "users",
    "endpoints",
    "requests",
    "outliers",
    "profiles",
    "exceptions",
    "custom graphs",
    "custom graph values",
)

#: Why something is left out where two imports run at once.
TAKEN = "another import brought them over"


@dataclass
class ImportReport:
    """How many of each kind came over in this run; ``left_out`` has (kind, why) → how many."""

    imported: Counter[str] = field(default_factory=Counter)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, kind: str, why: str, number: int = 1) -> None:
        """Count what is left out."""
        if number:
            self.left_out[kind, why] += number

    def state(self) -> tuple[Counter[str], Counter[tuple[str, str]]]:
        """Return what :meth:`go_back` takes."""
        return self.imported.copy(), self.left_out.copy()

    def go_back(self, state: tuple[Counter[str], Counter[tuple[str, str]]]) -> None:
        """Forget what was counted since :meth:`state`."""
        self.imported, self.left_out = state

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        said = ["Imported:"]
        said += [f"  {kind}: {self.imported[kind]:,}" for kind in KINDS]
        if self.left_out:
            said.append("Left out:")
            said += [
                f"  {kind}: {number:,} ({why})" for (kind, why), number in self.left_out.items()
            ]
        return said + self.notes
