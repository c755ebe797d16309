"""tiledbsoma as a live oracle: its objects, from a process of its own.

`Oracle` looks like the tiledbsoma package and its objects look like tiledbsoma's, so
that one test can be run against it and against this package. Only two things are
changed on the way: tensors arrive as numpy arrays, and ``write`` takes them.
"""

from __future__ import annotations

import builtins
import contextlib
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from .oracle_server import HANDLE, METHOD

__all__ = ["Oracle", "Remote", "UpstreamError", "upstream_error_class"]


class UpstreamError(Exception):
    """Any error of the oracle; also an instance of the built-ins of the original."""


class UpstreamSOMAError(UpstreamError):
    """tiledbsoma.SOMAError."""


class UpstreamDoesNotExistError(UpstreamSOMAError):
    """tiledbsoma.DoesNotExistError."""


class UpstreamAlreadyExistsError(UpstreamSOMAError):
    """tiledbsoma.AlreadyExistsError."""


_SOMA_ERRORS = {
    "DoesNotExistError": UpstreamDoesNotExistError,
    "AlreadyExistsError": UpstreamAlreadyExistsError,
    "SOMAError": UpstreamSOMAError,
}


def upstream_error_class(base_names: list[str]) -> type[UpstreamError]:
    """Return a class that has the bases of an error of the oracle."""
    for name in base_names:
        if name in _SOMA_ERRORS:
            return _SOMA_ERRORS[name]
        builtin = getattr(builtins, name, None)
        if builtin not in (None, Exception, BaseException, object):
            return type(name, (UpstreamError, builtin), {})
    return UpstreamError


class Remote:
    """An object in the oracle's process, used like the object itself."""

    def __init__(self, oracle: Oracle, number: int, class_name: str) -> None:
        vars(self).update(_oracle=oracle, _number=number, _class_name=class_name)

    def __getattr__(self, name: str) -> Any:
        value = self._oracle.request("getattr", self._number, name)
        if value is not METHOD:
            return value

        def method(*args: Any, **kwargs: Any) -> Any:
            return self._call(name, *args, **kwargs)

        return method

    def __setattr__(self, name: str, value: Any) -> None:
        self._oracle.request("setattr", self._number, name, value)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self._oracle.request("call", self._number, name, *args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call("", *args, **kwargs)

    def __repr__(self) -> str:
        return str(self._call("__repr__"))

    def __getitem__(self, key: Any) -> Any:
        return self._call("__getitem__", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._call("__setitem__", key, value)

    def __delitem__(self, key: Any) -> None:
        self._call("__delitem__", key)

    def __contains__(self, key: Any) -> bool:
        return bool(self._call("__contains__", key))

    def __len__(self) -> int:
        return int(self._call("__len__"))

    def __iter__(self) -> Any:
        # A mapping iterates its keys, a coordinate space its axes.
        if self._class_name == "CoordinateSpace":
            return iter(self.axes)
        return iter(self._call("keys"))

    def __matmul__(self, other: Any) -> Any:
        return self._call("__matmul__", other)

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self._call("close")


class Oracle:
    """The tiledbsoma package in a process of its own.

    Parameters
    ----------
    log : Path
        Where the process writes what it prints.
    """

    SOMAError = UpstreamSOMAError
    DoesNotExistError = UpstreamDoesNotExistError
    AlreadyExistsError = UpstreamAlreadyExistsError

    def __init__(self, log: Path) -> None:
        self._log = log
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("oracle_server.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
            )
        self._handles: list[int] = []
        self.warnings: list[str] = []
        self._package = Remote(self, 0, "module")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._package, name)

    def module(self, name: str) -> Remote:
        """Return a module of the oracle's process, such as ``pyarrow``."""
        return self.request("import", 0, name)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a Python expression in the oracle's process."""
        names = {"tiledbsoma": self._package}
        return self.module("builtins").eval(expression, names)

    def request(
        self, operation: str, number: int, name: str, *args: Any, **kwargs: Any
    ) -> Any:
        """Send one request; return the answer or raise the oracle's error."""
        message = (operation, number, name, _pack(args), _pack(kwargs))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()
            answer = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError) as error:
            text = f"The oracle died: {self._log.read_text(errors='replace')}"
            raise RuntimeError(text) from error
        if answer[0] == "error":
            raise upstream_error_class(answer[1])(answer[2])
        self.warnings = answer[2]
        return self._unpack(answer[1])

    def _unpack(self, value: Any) -> Any:
        if type(value) is tuple and value[:1] == (HANDLE,):
            if value == METHOD:
                return METHOD
            self._handles.append(value[1])
            return Remote(self, value[1], value[2])
        if type(value) in (tuple, list):
            return type(value)(self._unpack(item) for item in value)
        if type(value) is dict:
            return {key: self._unpack(item) for key, item in value.items()}
        return value

    def forget_all(self) -> None:
        """Let go of every object, so that nothing stays open between tests."""
        self.request("forget", 0, "", *self._handles)
        self._handles.clear()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _pack(value: Any) -> Any:
    if isinstance(value, Remote):
        return (HANDLE, value._number, value._class_name)
    if type(value) in (tuple, list):
        return type(value)(_pack(item) for item in value)
    if type(value) is dict:
        return {key: _pack(item) for key, item in value.items()}
    return value
