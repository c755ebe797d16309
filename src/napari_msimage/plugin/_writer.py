"""The writer napari calls: path and layer tuples → written addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from ..engines import Progress
    from ._write_plan import LayersPlan

    LayerData = tuple[Any, dict[str, Any], str]

#: Steps of the progress bar.
_STEPS: Final = 1000


def write(path: str, layer_data: Sequence[LayerData]) -> list[str]:
    """Write layers as a SOMA image or scene; return where.

    In the window there is a progress bar that can be cancelled; napari shows what is
    raised as a notification with its sentence.

    Parameters
    ----------
    path : str
        Ends in ``.soma``; nothing may be there yet.
    layer_data : sequence of (data, attributes, type)
        All layers to be saved, bottom to top.

    Returns
    -------
    list of str
        The address.

    Raises
    ------
    SaveError
        What is wrong with the layers, or that saving was cancelled.
    SOMAError
        If they cannot be written.

    Notes
    -----
    Nothing else than an exception brings a single clear message on the screen: of an
    empty list napari 0.9 says that saving has failed, on top of what was told before.
    """
    from ..errors import SaveError, SOMAError
    from ._notices import is_interactive
    from ._write_layers import write_layers

    layers = [_with_late_attributes(one) for one in layer_data]
    try:
        if is_interactive():
            return _write_with_bar(path, layers)
        return write_layers(path, layers)
    except SOMAError as err:
        if not isinstance(err, ValueError):
            raise
        # napari takes a ValueError for "no writer found" and hides it
        raise SaveError(str(err)) from err


def _with_late_attributes(one: LayerData) -> LayerData:
    """Add what napari leaves out of layer tuples, if the layer is in a viewer."""
    from ._looks import LATE_ATTRIBUTES

    data, attributes, kind = one
    for layer in _layers_of_viewers():
        if layer.data is data and layer.name == attributes.get("name"):
            late = {n: getattr(layer, n) for n in LATE_ATTRIBUTES if hasattr(layer, n)}
            return data, {**attributes, **late}, kind
    return one


def _layers_of_viewers() -> list[Any]:
    from ._notices import has_window
    from ._overview_job import open_viewers

    if not has_window():
        return []
    return [layer for viewer in open_viewers() for layer in viewer.layers]


def _write_with_bar(path: str, layers: list[LayerData]) -> list[str]:
    from ..errors import SaveError
    from ._notices import tell
    from ._write_layers import skipped_sentence, write_plan
    from ._write_plan import plan_layers_to_write

    plan: LayersPlan = plan_layers_to_write(layers)
    for note in plan.notes:
        tell(note)
    written = _run_with_bar(write_plan(path, plan))
    if written is None:
        msg = f"Saving was cancelled; nothing is left at {path!r}."
        raise SaveError(msg)
    if plan.skipped:
        tell(skipped_sentence(plan), "warning")
    return list(written)


def _run_with_bar(
    engine: Generator[Progress, None, tuple[str, ...]],
) -> tuple[str, ...] | None:
    """Drain an engine in this thread, while the window stays alive; None: cancelled."""
    from napari.utils import cancelable_progress

    bar = cancelable_progress(total=_STEPS, desc="Saving as SOMA")
    shown = 0
    try:
        while not bar.is_canceled:
            try:
                step = next(engine)
            except StopIteration as stop:
                written: tuple[str, ...] = stop.value
                return written
            now = int(step.fraction * _STEPS)
            if now > shown:
                # napari's bar lets the window paint when its value changes
                bar.update(now - shown)
                shown = now
        return None
    finally:
        engine.close()
        bar.close()
