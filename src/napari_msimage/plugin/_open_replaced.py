"""Images whose replacing was interrupted: they lie complete beside their address."""

from __future__ import annotations

import os

from ..engines import REPLACED_MARK, find_replaced, restore_replaced
from ..errors import DoesNotExistError, SOMAError
from ..storage import is_local, normalize_uri
from ._notices import tell


def replaced_at(uri: str) -> tuple[str, str, bool] | None:
    """Return what belongs to an address where nothing is, or None.

    Returns
    -------
    destination : str
        The address as a local path.
    path : str
        Where the image or scene lies that was there.
    is_abandoned : bool
        Whether the program that moved it aside has ended.
    """
    try:
        destination = normalize_uri(os.path.expanduser(uri))
    except SOMAError:
        return None
    if not is_local(destination):
        return None
    found = find_replaced(destination)
    return None if found is None else (destination, *found)


def explain_missing(uri: str) -> DoesNotExistError | None:
    """Return an error that says where the image is that is not at an address any more.

    None where none was moved aside.
    """
    found = replaced_at(uri)
    if found is None:
        return None
    destination, path, is_abandoned = found
    name = os.path.basename(destination)
    if is_abandoned:
        msg = (
            f"There is nothing at {uri!r}, because replacing it was interrupted. What "
            f"was there is complete, beside it: {path!r}. Rename that folder to "
            f"{name!r} to get it back; saving to {name!r} again does so first."
        )
    else:
        msg = (
            f"There is nothing at {uri!r} at the moment: another program is replacing "
            f"it. Try again soon. If that does not help, and nobody is saving to "
            f"{name!r}, rename the folder {path!r} beside it to {name!r} to get back "
            "what was there."
        )
    return DoesNotExistError(msg)


def notes_on_place(uri: str) -> list[str]:
    """Return a note for whoever opens what was moved aside by its temporary name."""
    address = uri.rstrip("/\\")
    place, mark, _ = address.rpartition(REPLACED_MARK)
    if not mark:
        return []
    return [
        f"This was at {place!r}, and was moved aside to be replaced, which was "
        f"interrupted if it is still here. If {place!r} is missing, rename the folder "
        f"to that; else what is there now is newer."
    ]


def offer_to_restore(uri: str) -> None:
    """Ask a person whether to move back what an interrupted swap has moved aside.

    Nothing is asked while the program that moved it may be alive.

    Raises
    ------
    SOMAError
        If it cannot be moved.
    """
    found = replaced_at(uri)
    if found is None:
        return
    destination, path, is_abandoned = found
    if is_abandoned and ask_about_restoring(uri, path):
        restore_replaced(destination)
        tell(f"{uri!r} is back as it was before replacing it was interrupted.")


def ask_about_restoring(uri: str, path: str) -> bool:
    """Ask whether a replaced image is to be moved back to its address."""
    from qtpy.QtWidgets import QApplication, QMessageBox

    box = QMessageBox(QApplication.activeWindow())
    box.setObjectName("msimage-restore")
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("Replacing was interrupted")
    box.setText(
        f"There is nothing at {uri!r}, because replacing it was interrupted. What was "
        "there is complete, beside it."
    )
    box.setInformativeText(f"{path}\n\nMove it back, and open it?")
    box.setStandardButtons(
        QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No
    )
    box.setDefaultButton(QMessageBox.StandardButton.No)
    return bool(box.exec() == QMessageBox.StandardButton.Yes)
