"""What the tests of processes let workers do; a module, so that workers can import it."""

import contextvars
import os
import signal
import sys
import time
from pathlib import Path

place = contextvars.ContextVar("place", default="nowhere")
here: list[int] = []


class SturdyError(Exception):
    """Travels whole."""


class FragileError(Exception):
    """Can be pickled, and not be rebuilt."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class SealedError(Exception):
    """Cannot be pickled."""

    def __reduce__(self):
        raise RuntimeError("it is sealed")


class MuteError(Exception):
    """Has no text."""

    def __str__(self):
        raise RuntimeError("no word")


def same(value, **more):
    return (value, more) if more else value


def raise_it(kind, *args):
    raise kind(*args)


def raise_from(cause):
    try:
        raise_it(KeyError, cause)
    except KeyError as error:
        raise SturdyError("it has a cause") from error


def pid():
    return os.getpid()


def modules():
    return set(sys.modules)


def remember(value):
    here.append(value)
    return list(here)


def where():
    return place.get()


def kill_oneself(number=signal.SIGKILL):
    os.kill(os.getpid(), number)
    signal.pause()


def leave(code):
    sys.exit(code)


def drop_out(code):
    os._exit(code)


def give_lambda():
    return lambda: None


def increase(array):
    array += 1
    return array


def total(parts):
    return [int(part.sum()) for part in parts]


def count(path, word):
    """Append a line; small appends do not mix."""
    with Path(path).open("a") as file:
        file.write(f"{word}\n")
    return word


def hold(folder, result=None, deaf=False):
    """Say that it runs, and wait to be let go."""
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    started = os.open(f"{folder}/started", os.O_RDWR)
    go = os.open(f"{folder}/go", os.O_RDWR)
    try:
        os.write(started, b"%20d" % os.getpid())
        os.read(go, 1)
    finally:
        os.close(started)
        os.close(go)
    return result


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def busy():
    """Computes for ever without letting another thread in."""
    return sum(range(10**14))


def at_exit(path):
    import atexit  # noqa: PLC0415 - the worker's

    atexit.register(lambda: count(path, "left"))
    return time.monotonic() > 0
