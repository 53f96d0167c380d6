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


def printable_json(line: bytes) -> bytes:
    """Return JSON with escapes in place of control sequences for terminals; its meaning is the same."""
    if line.isascii() and b"\x7f" not in line:
        return line  # in JSON, other control characters are escaped anyway
    text = line.decode()
    # All lines end with a line break; a text in JSON can't contain one.
    return "".join(each if each.isprintable() or each == "\n" else _escape(each) for each in text).encode()


def _escape(character: str) -> str:
    """Return the escape of a character in JSON, which knows only those of UTF-16."""
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def errors() -> rich.console.Console:
    """Return standard error as a console that takes no text for markup or for the name of an emoji."""
    return rich.console.Console(stderr=True, markup=False, emoji=False, highlight=False)
