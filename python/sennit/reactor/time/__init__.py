"""Calls at a time of their own: once and later, again and again, and long work in small steps."""

from sennit.reactor.time.cooperator import CooperativeTask, Cooperator, cooperate
from sennit.reactor.time.delayed_call import DelayedCall, call_later, defer_later
from sennit.reactor.time.looping_call import LoopingCall

__all__ = [
    "CooperativeTask",
    "Cooperator",
    "DelayedCall",
    "LoopingCall",
    "call_later",
    "cooperate",
    "defer_later",
]
