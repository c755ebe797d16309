"""How much room a destination has."""

from __future__ import annotations

import os
import shutil


def free_bytes(path: str) -> int | None:
    """Return the free space around a local path, None if that is not known."""
    folder = os.path.dirname(path)
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
