"""Memory that two processes can see: files without a name, written once, mapped privately.

Nothing here has a name in any file system: when the last descriptor and the last mapping are gone,
also because of `kill -9`, the memory is free.
"""

from __future__ import annotations

import fcntl
import functools
import mmap
import os
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["fill", "map_privately"]

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
"""What is written stays as it is: a mapping can neither change nor lose its end (SIGBUS)."""


def fill(parts: Iterable[tuple[int, memoryview]], size: int) -> int:
    """A sealed memory file with parts at their offsets.

    Returns:
        Its descriptor, which is the caller's to close.
    """
    descriptor = os.memfd_create("sennit", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        for begin, part in parts:
            offset, left = begin, part
            while left:
                # One call writes at most 2 GiB.
                written = os.pwrite(descriptor, left, offset)
                offset, left = offset + written, left[written:]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@functools.cache
def _libc() -> Any:
    # Only who sends large objects needs it.
    import ctypes  # noqa: PLC0415

    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    numbers = (ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64)
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *numbers)
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return libc


def map_privately(descriptor: int, size: int) -> memoryview:
    """The bytes of a memory file; what is written to them nobody else sees (copy on write).

    The mapping lives as long as a view of it, and holds no descriptor: `mmap.mmap` would keep one
    for each object, and a program that keeps a thousand arrays has not that many.

    Raises:
        OSError: There is no address space left.
    """
    import ctypes  # noqa: PLC0415 - see _libc

    libc = _libc()
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    address = libc.mmap(None, size, protection, mmap.MAP_PRIVATE, descriptor, 0)
    if address == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, f"{size:,} bytes cannot be mapped: {os.strerror(number)}")
    array = (ctypes.c_ubyte * size).from_address(address)
    # Every view holds the array, so this happens when the last of them is gone.
    weakref.finalize(array, libc.munmap, address, size).atexit = False
    return memoryview(array).cast("B")
