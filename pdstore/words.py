"""Values and names as a person reads them."""

import unicodedata


def plain(text: str) -> str:
    """Text without control characters: a name in a shared store must not steer a terminal."""
    return "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in text)


def number(value: float | int | None, digits: int = 3) -> str:
    """A number for a person; a dash where the store has none."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    if value != 0 and abs(value) < 10**-digits:
        return f"{value:.1e}"
    return f"{value:.{digits}f}"
