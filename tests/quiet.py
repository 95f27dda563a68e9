"""Who is told how far a publication is, and does not care."""


class Quiet:
    """A `pdstore.sharing.publish.Progress` that says nothing."""

    def step(self, what: str) -> None:
        """Nothing."""

    def copying(self, total: int) -> None:
        """Nothing."""

    def copied(self, size: int) -> None:
        """Nothing."""
