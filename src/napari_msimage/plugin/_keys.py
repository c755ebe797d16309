"""The keyboard shortcut, bound the first time the plugin is used in a viewer.

napari reads key bindings of manifests but does not connect them.
"""

from __future__ import annotations

from typing import Any, Final

#: Exports the current view; free in napari 0.9, and in no browser's or editor's habits.
SHORTCUT: Final = "Control-Alt-E"


def bind_keys(viewer: Any) -> None:
    """Bind the shortcut in a viewer, unless something else is bound to it.

    To be called wherever the plugin is used first: when it opens an image, a form or
    runs a command.
    """
    from napari.utils.key_bindings import coerce_keybinding

    # widgets get the viewer behind a proxy that warns of private attributes
    viewer = getattr(viewer, "__wrapped__", viewer)
    if coerce_keybinding(SHORTCUT) not in viewer.keymap:
        viewer.bind_key(SHORTCUT, _on_key)


def _on_key(viewer: Any) -> None:
    """Export the current view with the last settings."""
    from ._export_command import export_view_of

    export_view_of(viewer)
