"""The writer napari calls: path and layer tuples → written addresses."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from ..engines import Progress
    from ._write_watch import LayerWatch

    LayerData = tuple[Any, dict[str, Any], str]

#: Steps of the progress bar.
_STEPS: Final = 1000
_ENDING: Final = ".soma"


def write(path: str, layer_data: Sequence[LayerData]) -> list[str]:
    """Write layers as a SOMA image or scene; return where.

    In the window there is a progress bar that can be cancelled; napari shows what is
    raised as a notification with its sentence.

    Parameters
    ----------
    path : str
        Nothing may be there yet. A name that was typed in the window without the
        ending ``.soma`` gets it; in code see the notes.
    layer_data : sequence of (data, attributes, type)
        All layers to be saved, bottom to top.

    Returns
    -------
    list of str
        The address.

    Raises
    ------
    SaveError
        What is wrong with the layers, that one was changed or removed meanwhile, or
        that saving was cancelled.
    SOMAError
        If they cannot be written.

    Notes
    -----
    Nothing else than an exception brings a single clear message on the screen: of an
    empty list napari 0.9 says that saving has failed, on top of what was told before.

    It is npe2 that finds the writer: to the name of a single layer without an ending it
    adds ``.soma``; of several layers without one, and of another ending, napari itself
    warns that this plugin "is not a valid writer", and this is not called.
    """
    from ..errors import SaveError, SOMAError
    from ._notices import tell
    from ._write_layers import shown_lists
    from ._write_watch import LayerWatch

    shown = [_shown_layer(one) for one in layer_data]
    place = _with_ending(path)
    layers = [
        one if layer is None else _with_late_attributes(one, layer)
        for one, layer in zip(layer_data, shown, strict=True)
    ]
    watch = LayerWatch([layer for layer in shown if layer is not None], shown_lists())
    try:
        written = _write(place, layers, watch)
    except SOMAError as err:
        if not isinstance(err, ValueError):
            raise
        # napari takes a ValueError for "no writer found" and hides it
        raise SaveError(str(err)) from err
    if place != path:
        tell(f"Saved as {place!r}: names of SOMA images end in {_ENDING}.")
    return list(written)


def _with_ending(path: str) -> str:
    """Return a path with the ending that makes napari open it without asking."""
    bare = path.rstrip("/\\")
    is_complete = not bare or bare.lower().endswith(_ENDING)
    return path if is_complete else f"{bare}{_ENDING}"


def _shown_layer(one: LayerData) -> Any:
    """Return the layer in a viewer that a layer tuple was made of, None without one."""
    from ._write_layers import shown_lists

    data, attributes, _ = one
    for layers in shown_lists():
        for layer in layers:
            if layer.data is data and layer.name == attributes.get("name"):
                return layer
    return None


def _with_late_attributes(one: LayerData, layer: Any) -> LayerData:
    """Add what napari leaves out of layer tuples."""
    from ._looks import LATE_ATTRIBUTES

    data, attributes, kind = one
    late = {n: getattr(layer, n) for n in LATE_ATTRIBUTES if hasattr(layer, n)}
    return data, {**attributes, **late}, kind


def _write(path: str, layers: list[LayerData], watch: LayerWatch) -> tuple[str, ...]:
    """Write layers, in the window with a progress bar."""
    from ..engines import run
    from ..errors import SaveError, StoreWarning
    from ._notices import is_interactive, tell
    from ._write_layers import skipped_sentence, write_plan
    from ._write_plan import plan_layers_to_write

    plan = plan_layers_to_write(layers)
    for note in plan.notes:
        tell(note)
    engine = write_plan(path, plan, watch=watch)
    if not is_interactive():
        if plan.skipped:
            warnings.warn(skipped_sentence(plan), StoreWarning, stacklevel=3)
        return run(engine)
    written = _run_with_bar(engine)
    if written is None:
        msg = f"Saving was cancelled; nothing is left at {path!r}."
        raise SaveError(msg)
    if plan.skipped:
        tell(skipped_sentence(plan), "warning")
    return written


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
