"""The one door to the compiled module."""

from sennit._native import core

__all__ = ["core"]
