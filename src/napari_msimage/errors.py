"""Every exception and warning class that napari-msimage raises.

All errors descend from `SOMAError` and from the built-in that a caller would expect,
so both ``except SOMAError`` and, say, ``except ValueError`` work.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class SOMAError(Exception):
    """Base of all errors of this package (same name as upstream's)."""

    def __str__(self) -> str:
        """Return the message as it was written (``KeyError`` would quote it)."""
        return str(self.args[0]) if len(self.args) == 1 else super().__str__()


class DoesNotExistError(SOMAError, FileNotFoundError):
    """There is nothing at the URI, or something that is not a group or array."""


class AlreadyExistsError(SOMAError, FileExistsError):
    """Something is already stored at the URI."""


class BusyError(SOMAError, BlockingIOError):
    """Somebody else is changing the image at this moment."""


class FormatError(SOMAError, ValueError):
    """The store is there, but does not follow the SOMA format."""


class AccessError(SOMAError, PermissionError):
    """The operating system or object store refuses the access."""


class StorageError(SOMAError, OSError):
    """Reading or writing failed: damaged file, full disk, dead connection."""


class ModeError(SOMAError, io.UnsupportedOperation):
    """The object is closed, or open in a mode that does not allow the operation."""


class ArgumentError(SOMAError, ValueError):
    """An argument has a value that makes no sense here."""


class ArgumentTypeError(SOMAError, TypeError):
    """An argument has the wrong type."""


class RegionError(ArgumentError):
    """A region is malformed, or does not overlap the image."""


class LevelKeyError(SOMAError, KeyError):
    """No level (or metadata entry) has this key, or it is taken."""


class MemberKeyError(SOMAError, KeyError):
    """A collection has no member of this key, or it is taken; or no transform to it."""


class MemberAttributeError(SOMAError, AttributeError):
    """A scene has no ``img``, ``obsl`` or ``varl``."""


class LevelIndexError(SOMAError, IndexError):
    """No level has this index."""


class UnsupportedError(SOMAError, NotImplementedError):
    """A valid wish that this version cannot fulfil."""


class ConsentError(SOMAError, PermissionError):
    """Part of an image or scene is elsewhere, and nobody agreed to reading it there.

    Parameters
    ----------
    message : str
        What, where, and how to agree.
    members : mapping of str to str
        Keys and addresses of the levels or members.
    """

    def __init__(self, message: str, members: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.members = dict(members or {})


class SaveError(SOMAError, RuntimeError):
    """Layers cannot be saved as they are; not a ValueError, which napari hides."""


class ClusterError(SOMAError, ConnectionError):
    """A cluster cannot be reached, went away, or its workers cannot do the work."""


class StoreWarning(UserWarning):
    """Something in a store was skipped or adjusted."""
