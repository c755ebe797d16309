"""The box behind "Open SOMA image…": an address, or a folder picked from the disk."""

from __future__ import annotations

from typing import Any

_EXAMPLES = "/data/liver.soma    ~/liver.soma    s3://bucket/liver.soma"


def make_open_dialog(parent: Any = None) -> Any:
    """Return a dialog that asks for the address of an image or scene.

    Parameters
    ----------
    parent : QWidget, optional
        The window it belongs to.

    Returns
    -------
    QDialog
        Its ``address`` is the line edit; accepting it needs some text there.
    """
    from qtpy.QtWidgets import (
        QDialog,
        QDialogButtonBox,
        QHBoxLayout,
        QLabel,
        QLineEdit,
        QPushButton,
        QVBoxLayout,
    )

    dialog: Any = QDialog(parent)
    dialog.setObjectName("msimage-open")
    dialog.setWindowTitle("Open SOMA image")
    dialog.setMinimumWidth(560)

    address = QLineEdit(dialog)
    address.setPlaceholderText(_EXAMPLES)
    address.setToolTip("Folder or URI of a SOMA multiscale image, scene or experiment")
    browse = QPushButton("Browse…", dialog)
    browse.setToolTip("Pick the folder on this computer")
    browse.setAutoDefault(False)
    buttons = QDialogButtonBox(dialog)
    cancel: Any = buttons.addButton(QDialogButtonBox.StandardButton.Cancel)
    cancel.setAutoDefault(False)
    accept: Any = buttons.addButton("Open", QDialogButtonBox.ButtonRole.AcceptRole)
    accept.setDefault(True)
    accept.setEnabled(False)

    row = QHBoxLayout()
    row.addWidget(address)
    row.addWidget(browse)
    layout = QVBoxLayout(dialog)
    text = "Folder or URI of a SOMA image, scene or experiment:"
    layout.addWidget(QLabel(text, dialog))
    layout.addLayout(row)
    layout.addWidget(buttons)

    address.textChanged.connect(lambda text: accept.setEnabled(bool(text.strip())))
    browse.clicked.connect(lambda: _browse(dialog, address))
    buttons.accepted.connect(dialog.accept)
    buttons.rejected.connect(dialog.reject)
    dialog.address = address
    return dialog


def _browse(dialog: Any, address: Any) -> None:
    """Fill in a folder that the user picks."""
    from qtpy.QtWidgets import QFileDialog

    start = address.text().strip()
    if folder := QFileDialog.getExistingDirectory(dialog, "Image folder", start):
        address.setText(folder)


def ask_for_uri(parent: Any = None) -> str | None:
    """Ask for the address of an image or scene; None when the user cancels."""
    dialog = make_open_dialog(parent)
    try:
        return dialog.address.text().strip() if dialog.exec() else None
    finally:
        dialog.deleteLater()
