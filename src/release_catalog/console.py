"""Safe output for terminals: names and messages come from files, callers and other servers."""

import rich.console


def printable(text: str) -> str:
    """Return `text` with escapes in place of control sequences for terminals, such as colours and bidi marks."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def printable_lines(text: str) -> str:
    """Return `text`, which may have several lines, made printable."""
    return "\n".join(map(printable, text.split("\n")))


def errors() -> rich.console.Console:
    """Return standard error as a console that takes no text for markup or for the name of an emoji."""
    return rich.console.Console(stderr=True, markup=False, emoji=False, highlight=False)
