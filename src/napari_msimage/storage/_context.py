"""TileDB context, timestamps, URIs, and the one translator of TileDB's errors."""

from __future__ import annotations

import contextlib
import datetime
import errno
import functools
import operator
import os
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import unquote

import tiledb

from ..errors import (
    AccessError,
    AlreadyExistsError,
    ArgumentError,
    ArgumentTypeError,
    DoesNotExistError,
    SOMAError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

OpenTimestamp: TypeAlias = "int | datetime.datetime"
ConfigValue: TypeAlias = "str | int | float | bool"

MAX_TIMESTAMP_MS: Final = 2**64 - 1

#: Measured for local stores: no read-ahead around tiles, no heap trimming after each
#: query, memory capped, no signal handlers (Ctrl-C would poison the context), and
#: remote end points that do not answer are given up within seconds.
_DEFAULT_CONFIG: Final[dict[str, str]] = {
    "sm.mem.malloc_trim": "false",
    "sm.mem.total_budget": str(2**30),
    "sm.enable_signal_handlers": "false",
    "vfs.s3.connect_timeout_ms": "1500",
    "vfs.s3.request_timeout_ms": "1500",
    "vfs.s3.connect_max_tries": "2",
}
_LOCAL_CONFIG: Final[dict[str, str]] = {
    "vfs.min_batch_size": "0",
    "vfs.min_batch_gap": "0",
}
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_UNCHANGED: Final[Any] = object()


class SOMATileDBContext:
    """Configuration and default timestamp shared by the objects opened with it.

    Treat it as immutable; `replace` makes a changed copy. Picklable: the TileDB
    context itself is made again where it is needed.

    Parameters
    ----------
    tiledb_config : mapping of str to str or float, optional
        TileDB configuration that overrides the defaults of this package.
    timestamp : int or datetime.datetime, optional
        Milliseconds since 1970-01-01 UTC, or a datetime (naive means local time), used
        when an ``open`` or ``create`` gives none. ``None`` or 0: the time of the call.

    Raises
    ------
    ArgumentError
        If the timestamp is negative or 2**64 or more.
    ArgumentTypeError
        If the timestamp is neither an int nor a datetime, or the configuration is not a
        mapping of names to text and numbers.
    """

    def __init__(
        self,
        tiledb_config: Mapping[str, ConfigValue] | None = None,
        timestamp: OpenTimestamp | None = None,
    ) -> None:
        self._overrides = _config_texts({} if tiledb_config is None else tiledb_config)
        self._timestamp_ms = None if timestamp is None else to_timestamp_ms(timestamp)

    @property
    def tiledb_config(self) -> dict[str, str]:
        """The configuration passed to TileDB: defaults and overrides; a fresh dict."""
        return {**_DEFAULT_CONFIG, **self._overrides}

    @property
    def timestamp_ms(self) -> int | None:
        """Default timestamp in milliseconds since 1970-01-01 UTC, or None."""
        return self._timestamp_ms

    @property
    def timestamp(self) -> datetime.datetime | None:
        """Default timestamp as a UTC datetime, or None."""
        return (
            None if self._timestamp_ms is None else ms_to_datetime(self._timestamp_ms)
        )

    def replace(
        self,
        *,
        tiledb_config: Mapping[str, ConfigValue | None] | None = None,
        timestamp: OpenTimestamp | None = _UNCHANGED,
    ) -> SOMATileDBContext:
        """Return a copy with some values changed.

        Parameters
        ----------
        tiledb_config : mapping, optional
            Entries to change; None as a value takes the entry out.
        timestamp : int, datetime.datetime or None, optional
            New default timestamp; None removes it.
        """
        config: dict[str, ConfigValue] = dict(self._overrides)
        for key, value in (tiledb_config or {}).items():
            if value is None:
                config.pop(key, None)
            else:
                config[key] = value
        new = SOMATileDBContext(config)
        if timestamp is _UNCHANGED:
            new._timestamp_ms = self._timestamp_ms
        elif timestamp is not None:
            new._timestamp_ms = to_timestamp_ms(timestamp)
        return new

    def open_timestamp_ms(self, timestamp: OpenTimestamp | None) -> int | None:
        """Return the explicit timestamp of an ``open`` in ms, or None for "now"."""
        if timestamp is not None and (ms := to_timestamp_ms(timestamp)):
            return ms
        return self._timestamp_ms or None

    def tiledb_ctx(self, uri: str) -> Any:
        """Return the shared TileDB context for reading or writing at `uri`.

        Raises
        ------
        ArgumentError
            If TileDB refuses the configuration.
        """
        config = {**(_LOCAL_CONFIG if is_local(uri) else {}), **self.tiledb_config}
        with storage_errors("use the TileDB configuration", uri):
            # a forked child must not use the threads of its parent's context
            return _shared_ctx(tuple(sorted(config.items())), os.getpid())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SOMATileDBContext):
            return NotImplemented
        return (self._overrides, self._timestamp_ms) == (
            other._overrides,
            other._timestamp_ms,
        )

    def __hash__(self) -> int:
        return hash((tuple(sorted(self._overrides.items())), self._timestamp_ms))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(tiledb_config={self._overrides!r}, "
            f"timestamp={self._timestamp_ms!r})"
        )


@functools.lru_cache(maxsize=32)
def _shared_ctx(config: tuple[tuple[str, str], ...], _pid: int) -> Any:
    return tiledb.Ctx(tiledb.Config(dict(config)))


def _config_texts(config: Any) -> dict[str, str]:
    if not isinstance(config, Mapping) or not all(
        isinstance(key, str) and isinstance(value, str | int | float)
        for key, value in config.items()
    ):
        msg = (
            "tiledb_config must be a mapping of TileDB's setting names to text or "
            f"numbers, got {config!r}"
        )
        raise ArgumentTypeError(msg)
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in config.items()
    }


def check_context(context: SOMATileDBContext | None) -> SOMATileDBContext:
    """Return the context given, or a default one.

    Raises
    ------
    ArgumentTypeError
        If it is neither None nor a `SOMATileDBContext`.
    """
    if context is None:
        return SOMATileDBContext()
    if isinstance(context, SOMATileDBContext):
        return context
    msg = (
        f"context must be a SOMATileDBContext, got {type(context).__name__}; wrap "
        "TileDB settings as SOMATileDBContext(tiledb_config={...})"
    )
    raise ArgumentTypeError(msg)


# Timestamps ---------------------------------------------------------------------


def to_timestamp_ms(timestamp: OpenTimestamp) -> int:
    """Convert an int (ms since 1970-01-01 UTC) or datetime to milliseconds.

    Raises
    ------
    ArgumentTypeError
        If it is neither.
    ArgumentError
        If it is outside [0, 2**64).
    """
    ms: Any = timestamp
    if isinstance(timestamp, datetime.datetime):
        try:
            ms = (timestamp.astimezone() - _EPOCH) // datetime.timedelta(milliseconds=1)
        except (ValueError, OverflowError):  # local time outside the years 1 to 9999
            ms = -1
    try:
        ms = operator.index(ms)
    except TypeError as err:
        msg = (
            "timestamp must be an int (milliseconds since 1970-01-01 UTC) or a "
            f"datetime, got {timestamp!r}"
        )
        raise ArgumentTypeError(msg) from err
    if not 0 <= ms <= MAX_TIMESTAMP_MS:
        msg = (
            "timestamp must be in [0, 2**64) milliseconds since 1970-01-01 UTC, got "
            f"{timestamp!r}"
        )
        raise ArgumentError(msg)
    return int(ms)


def ms_to_datetime(timestamp_ms: int) -> datetime.datetime:
    """Convert milliseconds since 1970-01-01 UTC to an aware UTC datetime."""
    try:
        return _EPOCH + datetime.timedelta(milliseconds=timestamp_ms)
    except OverflowError:
        return datetime.datetime.max.replace(tzinfo=datetime.UTC)


def now_ms() -> int:
    """Return the wall-clock time in milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


# URIs ---------------------------------------------------------------------------

_FILE_ROOTS: Final = ("file:///", "file://localhost/")
_SCHEME: Final = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")


def check_uri(uri: Any) -> str:
    """Return `uri` if TileDB can take it.

    Raises
    ------
    ArgumentTypeError
        If it is not a str (a path object: convert it with ``str()``).
    ArgumentError
        If it is empty or holds a NUL character, or is a ``file://`` address of another
        machine.
    """
    if not isinstance(uri, str):
        msg = f"uri must be a str, got {type(uri).__name__}: {uri!r}; use str(path)"
        raise ArgumentTypeError(msg)
    if not uri or "\0" in uri:
        msg = f"uri must be a non-empty text without NUL characters, got {uri!r}"
        raise ArgumentError(msg)
    if uri.startswith("file://") and not uri.startswith(_FILE_ROOTS):
        msg = (
            f"A file address starts with 'file:///' and the full path, got {uri!r}; "
            "give the plain path instead"
        )
        raise ArgumentError(msg)
    return uri


def is_local(uri: str) -> bool:
    """Tell whether the URI is a local path or a ``file://`` address."""
    return uri.startswith("file://") or not _SCHEME.match(uri)


def normalize_uri(uri: str) -> str:
    """Return the address to hand to TileDB: absolute, without trailing slash.

    Local paths and ``file://`` become absolute paths (``~`` expanded,
    percent-escapes tried only when the literal path does not exist); other schemes
    stay as they are.
    """
    if not is_local(uri):
        return uri.rstrip("/") if uri.count("/") > 2 else uri
    return local_path(uri)


def local_path(uri: str) -> str:
    """Return the absolute local path of a local URI."""
    if not uri.startswith("file://"):
        return os.path.abspath(os.path.expanduser(uri))
    path = uri.removeprefix("file://").removeprefix("localhost")
    if not os.path.exists(path) and os.path.exists(unquote(path)):
        path = unquote(path)
    return os.path.abspath(path)


# Errors -------------------------------------------------------------------------


@contextlib.contextmanager
def storage_errors(action: str, uri: str) -> Iterator[None]:
    """Translate whatever TileDB or the file system raises into our errors.

    Parameters
    ----------
    action : str
        What was being done, as in "open the image".
    uri : str
        Where.
    """
    try:
        yield
    except SOMAError:
        raise
    except Exception as err:
        raise translate_error(err, action, uri) from err


def translate_error(err: Exception, action: str, uri: str) -> SOMAError:
    """Return the error of ours that fits an error of TileDB or the system."""
    text = str(err).strip() or type(err).__name__
    low = text.lower()
    number = err.errno if isinstance(err, OSError) else None
    kind: type[SOMAError] = StorageError
    advice = "The store may be damaged; check it or restore a copy."
    if isinstance(err, MemoryError) or "memory budget" in low or "bad_alloc" in low:
        advice = "Not enough memory for this request; read a smaller part."
    elif number == errno.ENOSPC or "no space left" in low:
        advice = "The disk is full; free some space and try again."
    elif number in (errno.EACCES, errno.EPERM, errno.EROFS) or any(
        word in low
        for word in (
            "permission denied",
            "access denied",
            "forbidden",
            "read-only file",
        )
    ):
        kind, advice = AccessError, "Check the permissions of the store and its folder."
    elif low.startswith("config error"):
        kind, advice = ArgumentError, "Correct this setting in the SOMATileDBContext."
    elif "unsupported uri scheme" in low:
        kind, advice = ArgumentError, "TileDB does not know this kind of address."
    elif "already exists" in low or number == errno.EEXIST:
        kind, advice = AlreadyExistsError, "Choose another place or remove it first."
    elif any(
        word in low for word in ("curl", "timeout", "timed out", "could not resolve")
    ):
        advice = "The server does not answer; check the address and the connection."
    elif number == errno.ENOENT or any(
        word in low for word in ("does not exist", "no such file", "not found")
    ):
        kind, advice = DoesNotExistError, "It may have been moved or removed."
    return kind(f"Cannot {action} at {uri!r}. {advice} (TileDB: {_shorten(text)})")


def _shorten(text: str, limit: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
