"""Ending a process with SIGKILL at its n-th change of the file system."""

from __future__ import annotations

import itertools
import os
import signal
import sys

CHANGES = {
    "os.rename",
    "os.mkdir",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.truncate",
    "shutil.rmtree",
    "shutil.copyfile",
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def die_at(point):
    """End this process at the n-th change of the file system that Python makes."""
    left = itertools.count(point - 1, -1)
    removed = itertools.count()

    def hook(event, args):
        is_change = event in CHANGES or (event == "open" and args[2] & WRITING)
        if event in ("os.remove", "os.rmdir") and args[1] != -1:
            # within shutil.rmtree, where one file is like the next
            is_change = next(removed) % 9 == 0
        if is_change and not next(left):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def survives(work, *args):
    """Do something in a forked child; tell whether it was not killed."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work(*args)
            code = 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, -signal.SIGKILL):
        raise SystemExit(f"the victim failed with {status}: {args}")
    return status == 0
