"""Progress records that engines yield, and a loop that drains an engine."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far an engine has come."""

    done: int
    """Finished units of work, in ``[0, total]``."""
    total: int
    """Units of work in all."""

    @property
    def fraction(self) -> float:
        """Finished part, in ``[0, 1]``; 1 when there was nothing to do."""
        return self.done / self.total if self.total else 1.0


def run(
    engine: Generator[Progress, None, T],
    report: Callable[[Progress], object] | None = None,
) -> T:
    """Drain an engine and return its result.

    The engine is closed, and so cleans up, also when ``report`` raises.

    Parameters
    ----------
    engine : generator of Progress
        Work in small units.
    report : callable, optional
        Called with the progress after each unit.

    Returns
    -------
    object
        What the engine returns.
    """
    try:
        while True:
            try:
                progress = next(engine)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if report is not None:
                report(progress)
    finally:
        engine.close()
