"""Jobs on a dask cluster: tasks take addresses, and open TileDB where they run."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from ..errors import ArgumentError, ArgumentTypeError, ClusterError
from ._level_jobs import LevelJob, Piece, run_job

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from ._levels import Workers

#: How long the scheduler may take to answer.
CONNECT_S: Final = 5.0
_PULSE_S: Final = 0.2
#: Tasks look this often whether the run was cancelled.
_LOOK_S: Final = 0.3
#: Running tasks get this long to stop, before what they write to is removed.
_STOP_S: Final = 10.0


@contextlib.contextmanager
def cluster_workers(client: Any, uri: str) -> Iterator[Workers]:
    """Lend the workers of a cluster.

    Parameters
    ----------
    client : distributed.Client or str
        A client, or the address of a scheduler, to which a connection is made and
        closed again.
    uri : str
        Address of the image, which the workers have to reach too.

    Raises
    ------
    ClusterError
        If dask.distributed is not installed, the scheduler does not answer within 5 s,
        or has no workers.
    ArgumentError
        If the image is in the memory of this process.
    ArgumentTypeError
        If it is neither a client nor an address.
    """
    if uri.startswith("mem://"):
        msg = (
            f"{uri!r} is in the memory of this process, where a cluster cannot reach "
            "it; make the levels without a client"
        )
        raise ArgumentError(msg)
    if isinstance(client, str):
        client = _connect(client)
        try:
            yield _ClusterWorkers(client)
        finally:
            client.close()
        return
    if not all(
        hasattr(client, name) for name in ("submit", "cancel", "scheduler_info")
    ):
        msg = (
            "client must be a distributed.Client or the address of a scheduler such as "
            f"'tcp://127.0.0.1:8786', got {type(client).__name__}"
        )
        raise ArgumentTypeError(msg)
    if getattr(client, "asynchronous", False):
        msg = "client must not be asynchronous; make one with Client(address)"
        raise ArgumentTypeError(msg)
    yield _ClusterWorkers(client)


def _connect(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as err:
        msg = (
            "A dask cluster needs the package distributed, which is not installed: "
            "pip install 'napari-msimage[dask]'"
        )
        raise ClusterError(msg) from err
    _check_scheduler(address)
    try:
        return Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as err:
        raise _no_scheduler(address, err) from err


def _check_scheduler(address: str) -> None:
    """Check that a scheduler answers: a client would wait for one without end.

    In a thread of its own: whoever calls may have an event loop already.
    """
    from distributed.core import rpc

    async def ask() -> None:
        async with rpc(address, timeout=CONNECT_S) as scheduler:
            await asyncio.wait_for(scheduler.identity(), CONNECT_S)

    async def ask_in_time() -> None:
        await asyncio.wait_for(ask(), CONNECT_S)

    errors: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(ask_in_time())
        except BaseException as err:  # noqa: BLE001 what else answers there can send anything
            errors.append(err)

    thread = threading.Thread(target=work, name="napari-msimage scheduler", daemon=True)
    thread.start()
    thread.join(CONNECT_S + 1)
    if errors or thread.is_alive():
        err = errors[0] if errors else TimeoutError("no answer")
        raise _no_scheduler(address, err) from err


def _no_scheduler(address: str, err: BaseException) -> ClusterError:
    return ClusterError(
        f"No dask scheduler answers at {address!r} ({type(err).__name__}, within "
        f"{CONNECT_S:g} s). Check the address, such as 'tcp://127.0.0.1:8786', and "
        "that the scheduler runs; without one, leave it empty."
    )


class _ClusterWorkers:
    def __init__(self, client: Any) -> None:
        self._client = client
        if not client.scheduler_info().get("workers"):
            msg = (
                f"The dask scheduler at {client.scheduler.address!r} has no workers; "
                "start some, for example with 'dask worker'"
            )
            raise ClusterError(msg)

    def do(
        self, jobs: Sequence[LevelJob]
    ) -> Generator[tuple[int, list[Piece]], None, None]:
        """Do jobs; see `Workers`."""
        from distributed import Event

        event = Event(f"napari-msimage-cancelled-{uuid.uuid4().hex}", self._client)
        futures = {
            self._client.submit(
                _run_on_worker,
                job,
                event.name,
                key=f"{event.name}-{number}",
                pure=False,
                retries=2,
            )
            for number, job in enumerate(jobs)
        }
        pending = set(futures)
        try:
            while pending:
                finished = self._wait(pending)
                pending -= finished
                n_pixels, pieces = 0, []
                for future in finished:
                    more, found = self._result(future)
                    n_pixels += more
                    pieces += found
                    futures.discard(future)
                    future.release()
                yield n_pixels, pieces
        finally:
            if futures:
                self._stop(event, futures)

    def _wait(self, pending: set[Any]) -> set[Any]:
        """Return the futures that are done, after a while an empty set."""
        give_up = time.monotonic() + _PULSE_S
        while True:
            self._check_alive()
            finished = {future for future in pending if future.done()}
            if finished or time.monotonic() > give_up:
                return finished
            time.sleep(_PULSE_S / 10)

    def _check_alive(self) -> None:
        if self._client.status != "running":
            msg = (
                "The connection to the dask scheduler was lost; the levels were not "
                "made. Check the cluster and run again."
            )
            raise ClusterError(msg)

    def _result(self, future: Any) -> tuple[int, list[Piece]]:
        if future.status == "cancelled":
            msg = "The dask cluster has cancelled the work; the levels were not made"
            raise ClusterError(msg)
        err = future.exception() if future.status == "error" else None
        if err is None:
            result: tuple[int, list[Piece]] = future.result()
            return result
        if isinstance(err, ImportError) or type(err).__module__.startswith(
            "distributed"
        ):
            msg = (
                f"A dask worker could not do its work: {type(err).__name__}: {err}. "
                "The workers need napari-msimage, in the same version as here, and "
                "enough memory."
            )
            raise ClusterError(msg) from err
        raise err

    def _stop(self, event: Any, futures: set[Any]) -> None:
        """Stop tasks, and wait for the running ones: they still write."""
        with contextlib.suppress(OSError, TimeoutError):  # the cluster may be gone
            event.set()
            queued = [future for future in futures if future.status == "pending"]
            give_up = time.monotonic() + _STOP_S
            while time.monotonic() < give_up and self._is_processing(queued):
                time.sleep(_PULSE_S / 4)
            self._client.cancel(list(futures))

    def _is_processing(self, futures: list[Any]) -> bool:
        keys = {future.key for future in futures}
        running = self._client.processing()
        return any(keys & set(tasks) for tasks in running.values())


def _run_on_worker(job: LevelJob, event_name: str) -> tuple[int, list[Piece]]:
    """Do a job on a worker; return the root pixels done, and the pieces to keep."""
    n_pixels: list[int] = []
    pieces = run_job(job, _cancelled_on_cluster(event_name), n_pixels.append)
    return sum(n_pixels), pieces


def _cancelled_on_cluster(event_name: str) -> Callable[[], bool]:
    from distributed import Event

    event = Event(event_name)
    last = [time.monotonic() - _LOOK_S]

    def is_cancelled() -> bool:
        if time.monotonic() - last[0] < _LOOK_S:
            return False
        last[0] = time.monotonic()
        return bool(event.is_set())

    return is_cancelled
