"""Names and texts as they stand in a statement of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable


def identifier(*names: str) -> str:
    """A quoted name, with its schema where two are given.

    Raises:
        ValueError: A name is empty or has a NUL character, which PostgreSQL does not store.
    """
    for name in names:
        if not name or "\0" in name:
            raise ValueError(f"{name!r} is no name in PostgreSQL.")
    return ".".join(['"' + name.replace('"', '""') + '"' for name in names])


def literal(text: str) -> str:
    """A quoted text that means the same whatever ``standard_conforming_strings`` says.

    Raises:
        ValueError: It has a NUL character, which PostgreSQL does not store.
    """
    if "\0" in text:
        raise ValueError(f"{text!r} is no text in PostgreSQL.")
    quoted = text.replace("'", "''")
    if "\\" in quoted:
        return " E'" + quoted.replace("\\", "\\\\") + "'"
    return f"'{quoted}'"


def array(texts: Iterable[str], kind: str = "text") -> str:
    """An array of quoted texts."""
    return f"ARRAY[{', '.join(map(literal, texts))}]::{kind}[]"


def block(body: str) -> str:
    """The body of a function between dollar quotes that do not occur in it."""
    tag = "cache_core"
    while f"${tag}$" in body:
        tag += "_"
    return f"${tag}$\n{body}\n${tag}$"
