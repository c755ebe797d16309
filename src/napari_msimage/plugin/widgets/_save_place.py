"""Places to save at: free ones to propose, picked ones, and how they are called."""

from __future__ import annotations

import os
import re
from typing import Any, Final

from .._image_keys import image_keys

_SUFFIX: Final = re.compile(r"(?i)(?<=.)\.(soma|tdb|tiledb)$")
_QUOTED: Final = re.compile(r"""(["'])(.+)\1""")


def free_place(folder: str, name: str) -> str:
    """Return a place in a folder, or below an address, that nothing is at.

    Only local ones are looked at.

    Parameters
    ----------
    folder : str
        Local folder or URI.
    name : str
        Of a layer; what no folder can be called is left out.
    """
    (key,) = image_keys([_SUFFIX.sub("", name)], ["image"])
    place, number = os.path.join(folder, f"{key}.soma"), 2
    while "://" not in folder and os.path.lexists(os.path.expanduser(place)):
        place = os.path.join(folder, f"{key}-{number}.soma")
        number += 1
    return place


def last_folder() -> str:
    """Return the folder that something was saved in last, by napari or by us."""
    from napari.utils.history import get_save_history

    return str(get_save_history()[0])


def remember_folder_of(place: str) -> str:
    """Return the folder or address that a place is in; napari's dialogs start there."""
    folder = os.path.split(place.rstrip("/"))[0]
    if "://" not in place:
        from napari.utils.history import update_save_history

        update_save_history(os.path.abspath(os.path.expanduser(place)))
    return folder


def pick_place(parent: Any, place: str, default_folder: str) -> str:
    """Ask for a folder, and return a place in it; "" if the user has changed his mind.

    A TileDB object is a place itself.

    Parameters
    ----------
    parent : QWidget
        Whose dialog it is.
    place : str
        What was filled in before.
    default_folder : str
        Where to start if that is nowhere.
    """
    from qtpy.QtWidgets import QFileDialog

    folder, name = os.path.split(place.rstrip("/"))
    folder = os.path.expanduser(folder)
    start = folder if os.path.isdir(folder) else default_folder
    picked: str = QFileDialog.getExistingDirectory(parent, "Folder to save in", start)
    if not picked or os.path.isfile(os.path.join(picked, "__tiledb_group.tdb")):
        return picked
    return os.path.join(picked, name or "image.soma")


def unquoted(text: str) -> str:
    """Return a place as typed, without the quotes that file managers copy along."""
    text = text.strip()
    match = _QUOTED.fullmatch(text)
    return match[2].strip() if match else text


def full_place(place: str) -> str:
    """Return a place as messages call it: in full, if it was typed as relative."""
    is_full = "://" in place or os.path.isabs(os.path.expanduser(place))
    return place if is_full else os.path.abspath(place)
