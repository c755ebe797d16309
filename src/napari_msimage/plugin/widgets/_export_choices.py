"""The fields of the "Export region" form, filled in from a viewer."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...errors import SOMAError
from .._export_settings import ENDINGS, ExportSettings
from .._export_wish import (
    SourceChoice,
    format_of_ending,
    free_place,
    source_of_layer,
    with_ending,
)
from ._export_fields import ExportFields

if TYPE_CHECKING:
    from .._export_preview import ExportPreview

_TITLE: Final = "Export region"


class ExportChoices(ExportFields):
    """Offers what a viewer has: images, planes, bounds, and a place for the file.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    settings : ExportSettings
        Of the last export.
    on_change : callable
        Called when the wish changes.
    on_region : callable
        Called when the user has chosen another source of regions.
    """

    def __init__(
        self,
        viewer: Any,
        settings: ExportSettings,
        on_change: Callable[[], object],
        on_region: Callable[[], object],
    ) -> None:
        self._viewer = viewer
        self._preview: ExportPreview | None = None
        self._shown: ExportPreview | None = None
        self._shown_key: Any = None
        self._choices: list[SourceChoice] = []
        self._proposed = ""
        self._folder = settings.folder
        super().__init__(settings, self._image_choices, on_change, on_region)
        self.format.changed.connect(self._on_format)
        self.destination.changed.connect(self._on_destination)
        self.browse.changed.connect(self._browse)

    @property
    def is_running(self) -> bool:
        """Whether an export runs; nothing is filled in meanwhile."""
        return False

    @property
    def is_outlined(self) -> bool:
        """Whether a region has an outline that is not just its box."""
        preview = self._preview
        return preview is not None and any(
            r.outline is not None for r in preview.regions
        )

    # The image

    def _image_choices(self, _: Any = None) -> list[tuple[str, str]]:
        names = [choice.name for choice in self._choices]
        return [
            (
                choice.name
                if names.count(choice.name) == 1
                else f"{choice.name} ({number})",
                choice.key,
            )
            for number, choice in enumerate(self._choices, start=1)
        ]

    @property
    def _source(self) -> SourceChoice | None:
        """The chosen image."""
        key = self.image.value
        return next((c for c in self._choices if c.key == key), None)

    def _name_of_source(self) -> str:
        source = self._source
        return source.name if source is not None else ""

    def _selected_key(self) -> str | None:
        """Return the image of the selected layer, else the topmost one."""
        active = self._viewer.layers.selection.active
        found = source_of_layer(self._choices, active) if active is not None else None
        if found is None and self._choices:
            found = self._choices[0]
        return found.key if found is not None else None

    # The region

    def _fill_bounds(self, preview: ExportPreview) -> None:
        """Fill in the bounds of the region before, or of the whole image."""
        from .._export_bounds import bounds_in_words

        if preview.layer is None or not self.place.is_typed:
            return

        region = preview.regions[0] if len(preview.regions) == 1 else None
        names, lower, upper = bounds_in_words(
            preview.layer.source, region, is_world=self.place.region.value == "world"
        )
        self.place.fill_bounds(names, lower, upper)

    def _show_planes(self, preview: ExportPreview) -> None:
        """Name the axis that is not on the canvas, if there is one."""
        layer, view = preview.layer, preview.snapshot.view
        if layer is None:
            return
        offset = len(view.order) - layer.n_axes
        shown = {axis - offset for axis in view.order[-2:]}
        hidden = [i for i, axis in enumerate(layer.axes) if axis not in shown]
        if len(layer.axes) < 3 or view.n_displayed != 2 or not hidden:
            self.place.show_planes("", 0)
            return
        axis = hidden[0]
        self.place.show_planes(layer.source.spatial_names[axis], layer.shapes[0][axis])

    def _show_channels(self, preview: ExportPreview) -> None:
        layer = preview.layer
        if layer is None or preview.snapshot.displayed is not None:
            return
        source = layer.source
        axis = source.channel_axis
        n_channels = 1 if axis is None else source.shape(0)[axis]
        names = source.channel_names or [f"channel {i}" for i in range(n_channels)]
        key = (self.image.value, self.channel_axis.value)
        self.channels.show(names if n_channels > 1 else (), key)

    def _is_other_level(self) -> bool:
        """Tell whether the screen shows another level than what was planned."""
        from .._export_request import level_of_wish
        from .._region_frame import view_state

        shown = self._shown
        if shown is None or shown.layer is None:
            return True
        view = view_state(self._viewer)
        try:
            level = level_of_wish(shown.layer, shown.regions, shown.wish, view)
        except SOMAError:
            return True
        return level != shown.level

    # The destination

    def _propose_destination(self) -> None:
        """Fill in a free place named like the image, unless somebody has typed one."""
        typed = self.destination.value.strip()
        source = self._source
        is_typed = typed not in ("", self._proposed)
        if source is None or self.is_running or is_typed:
            return
        target = self.format.value
        if target not in ENDINGS:
            return
        name = source.name if len(source.layers) == 1 else source.layers[0].name
        if source.name.endswith(" channels)"):
            name = source.name.rpartition(" (")[0]
        folder = self._folder or _last_folder()
        self._proposed = free_place(folder, name, target, fields=self._fields())
        self._fill(self.destination, self._proposed)

    def _fields(self) -> str:
        """Return what tells files of several regions apart: numbers, and labels."""
        layer = self.place.shapes_layer
        if not self.place.is_drawn or layer is None or self._n_shapes() < 2:
            return ""
        has_texts = any(map(str, np.atleast_1d(layer.text.values)))
        has_labels = len(layer.features.columns) > 0 or has_texts
        return "_{index}_{region}" if has_labels else "_{index}"

    def _n_shapes(self) -> int:
        layer = self.place.shapes_layer
        if layer is None:
            return 0
        is_all = self.place.region.value == "shapes"
        return int(layer.nshapes) if is_all else len(layer.selected_data)

    def _on_format(self, _: Any = None) -> None:
        """Give the destination another ending, and show what applies."""
        if self._is_filling:
            return
        self.fill_format()
        typed, target = self.destination.value, self.format.value
        if typed.strip() == self._proposed:
            self._propose_destination()
        else:
            self._fill(self.destination, with_ending(typed, target))
        self.show_what_applies(is_outlined=self.is_outlined)
        self._tell()

    def _on_destination(self, _: Any = None) -> None:
        """Follow the ending that was typed."""
        if self._is_filling:
            return
        typed = format_of_ending(self.destination.value.strip())
        if typed is not None and typed != self.format.value:
            self._fill(self.format, typed)
            self.fill_format()
            self.show_what_applies(is_outlined=self.is_outlined)
        self._tell()

    def _browse(self) -> None:
        from qtpy.QtWidgets import QFileDialog

        typed, target = self.destination.value.strip(), self.format.value
        ending = ENDINGS.get(target, "")
        start = os.path.expanduser(typed)
        if not typed or not os.path.isdir(os.path.dirname(start)):
            start = os.path.join(self._folder or _last_folder(), f"region{ending}")
        picked, _ = QFileDialog.getSaveFileName(
            self.native,
            _TITLE,
            start,
            f"{target} (*{ending})",
            options=QFileDialog.Option.DontConfirmOverwrite,  # asked before the run
        )
        if picked:
            known = format_of_ending(picked) is not None
            self.destination.value = picked if known else with_ending(picked, target)


def _last_folder() -> str:
    from napari.utils.history import get_save_history

    return str(get_save_history()[0])
