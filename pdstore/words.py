"""Values and names as a person reads them."""

import unicodedata

_NO_LETTERS = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Controls, formats (marks of direction among them), halves of letters, letters of nobody, ends of lines."""


def plain(text: str) -> str:
    """Text without what is no letter: a name in a shared store must not steer a terminal, or turn a line around."""
    if text.isprintable():
        return text
    return "".join(" " if unicodedata.category(letter) in _NO_LETTERS else letter for letter in text)


def number(value: float | int | None, digits: int = 3) -> str:
    """A number for a person; a dash where the store has none."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    if value != 0 and abs(value) < 10**-digits:
        return f"{value:.1e}"
    return f"{value:.{digits}f}"


def counted(count: int, what: str) -> str:
    """A count and a noun, in the singular where it is one."""
    return f"{count:,} {what if count == 1 else what + 's'}"
