"""What was taken from sources and what was left out, in the order in which data flows."""

from dataclasses import dataclass, field


@dataclass
class Counts:
    """What a command took from its sources and what it left out.

    Attributes
    ----------
    taken, left_out : dict of str to int
        In words → how many.
    notes : list of str
        What a user should know.
    """

    taken: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, reason: str, count: int) -> None:
        """Count what is left out; nothing left out is not mentioned."""
        if count:
            self.left_out[reason] = self.left_out.get(reason, 0) + int(count)
