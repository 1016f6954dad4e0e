"""The loops that are measured, by name."""

import asyncio
import importlib

NAMES = ("sennit", "uvloop", "rloop", "asyncio")


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    """A new loop of one of the names."""
    if name == "sennit":
        return importlib.import_module("sennit").Reactor()
    if name == "asyncio":
        return asyncio.new_event_loop()
    return importlib.import_module(name).new_event_loop()
