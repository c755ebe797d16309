"""Level and member keys, and the directory names made from them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ..errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from collections.abc import Callable

#: What tiledbsoma 2.3 leaves unescaped in directory names, besides letters and digits.
_UNESCAPED: Final = "-_.()^!@+={}~'"
_MAX_KEY_BYTES: Final = 100
_MAX_NAME: Final = 200


def check_level_key(key: Any) -> str:
    """Return the level key if it can name a level; see `check_member_key`."""
    return check_member_key(key, "level key", "the image's own folder", "level1")


def check_member_key(
    key: Any,
    what: str = "member key",
    own_folder: str = "the collection's own folder",
    example: str = "img",
) -> str:
    """Return the key if it can name a member of a group.

    Raises
    ------
    ArgumentTypeError
        If it is not a str.
    ArgumentError
        If it is ``''``, ``'.'``, ``'..'``, starts with ``'__'`` (TileDB's own names),
        holds a NUL character or takes more than 100 bytes in UTF-8.
    """
    if not isinstance(key, str):
        msg = f"A {what} must be a str, got {type(key).__name__}: {key!r}"
        raise ArgumentTypeError(msg)
    reason = ""
    if key in ("", ".", ".."):
        reason = f"it would be {own_folder} or its parent"
    elif key.startswith("__"):
        reason = "names starting with '__' belong to TileDB"
    elif "\0" in key:
        reason = "it holds a NUL character"
    elif len(key.encode("utf-8", "surrogatepass")) > _MAX_KEY_BYTES:
        reason = f"it is longer than {_MAX_KEY_BYTES} bytes"
    elif not key.isprintable() and any(0xD800 <= ord(c) <= 0xDFFF for c in key):
        reason = "it is not valid Unicode text"
    if reason:
        msg = (
            f"Cannot use {key!r} as a {what}: {reason}. Choose another, such as "
            f"{example!r}."
        )
        raise ArgumentError(msg)
    return key


def directory_name(key: str, is_taken: Callable[[str], bool]) -> str:
    """Return the directory for a new member inside its group's folder.

    Percent-encoded as tiledbsoma does it. A directory that is taken, by a member
    deleted before or a leftover, is kept as it is: its history stays readable. A
    comma and a number then make the name unique, and no key can encode to a comma.
    """
    name = quote(key, safe=_UNESCAPED)
    if len(name) > _MAX_NAME:
        name = f"{name[:120]},{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    candidate, number = name, 2
    while is_taken(candidate):
        candidate, number = f"{name},{number}", number + 1
    return candidate
