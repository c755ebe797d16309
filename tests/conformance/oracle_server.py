"""The oracle's own process: tiledbsoma, driven by pickles on stdin and stdout.

Run by `oracle.Oracle`. It is a process of its own because tiledbsoma and TileDB-Py each
bring a libtiledb, and the order in which one process loads them matters.

A request is ``(operation, target, name, args, kwargs)``; a target is a handle number, 0
being the tiledbsoma package. Plain values travel as they are, pixels as numpy arrays;
everything else stays here and travels as ``(HANDLE, number, class name)``.
"""

from __future__ import annotations

import datetime
import importlib
import os
import pickle
import sys
import warnings
from collections.abc import ItemsView, KeysView, ValuesView
from typing import Any

import numpy as np

HANDLE = "\0handle"
METHOD = (HANDLE, -1, "method")
_PLAIN = (
    type(None),
    bool,
    int,
    float,
    str,
    bytes,
    slice,
    datetime.datetime,
    np.dtype,
    np.ndarray,
    np.generic,
)


class Server:
    def __init__(self) -> None:
        self.arrow = importlib.import_module("pyarrow")
        self.objects: dict[int, Any] = {0: importlib.import_module("tiledbsoma")}
        self.count = 0

    def serve(self, requests: Any, answers: Any) -> None:
        while True:
            try:
                request = pickle.load(requests)
            except EOFError:
                return
            try:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    value = self.encode(self.perform(*request))
                answer = ("value", value, [str(item.message) for item in caught])
            except Exception as error:  # noqa: BLE001 - every error is an answer
                bases = [cls.__name__ for cls in type(error).__mro__]
                answer = ("error", bases, str(error))
            pickle.dump(answer, answers)
            answers.flush()

    def perform(
        self,
        operation: str,
        target: int,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if operation == "forget":
            for number in args:
                self.objects.pop(number, None)
            return None
        if operation == "import":
            return importlib.import_module(name)
        thing = self.objects[target]
        if operation == "getattr":
            return getattr(thing, name)
        args = tuple(self.decode(value) for value in args)
        kwargs = {key: self.decode(value) for key, value in kwargs.items()}
        if operation == "setattr":
            return setattr(thing, name, args[0])
        if name == "write" and isinstance(args[1], np.ndarray):
            args = (args[0], self.arrow.Tensor.from_numpy(args[1]), *args[2:])
        return getattr(thing, name)(*args, **kwargs) if name else thing(*args, **kwargs)

    def decode(self, value: Any) -> Any:
        if type(value) is tuple and value[:1] == (HANDLE,):
            return self.objects[value[1]]
        if type(value) in (tuple, list):
            return type(value)(self.decode(item) for item in value)
        if type(value) is dict:
            return {key: self.decode(item) for key, item in value.items()}
        return value

    def encode(self, value: Any) -> Any:
        if isinstance(value, self.arrow.Tensor):
            return value.to_numpy().copy()
        if isinstance(value, (*_PLAIN, self.arrow.DataType)):
            return value
        if isinstance(value, KeysView | ValuesView | ItemsView):
            value = list(value)
        if type(value) in (tuple, list):
            return type(value)(self.encode(item) for item in value)
        if type(value) is dict:
            return {key: self.encode(item) for key, item in value.items()}
        if callable(value) and not isinstance(value, type):
            return METHOD
        self.count += 1
        self.objects[self.count] = value
        return (HANDLE, self.count, type(value).__name__)


def main() -> None:
    # Libraries may print; only answers may reach the pipe.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    Server().serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
