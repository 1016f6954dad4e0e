"""What a pool and a worker do, each one state, and the states that may follow."""

from __future__ import annotations

import enum

__all__ = ["AT_REST", "NEXT_OF_POOL", "NEXT_OF_WORKER", "PoolState", "WorkerState"]


class PoolState(enum.Enum):
    """What a pool does."""

    NEW = "new"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"


NEXT_OF_POOL: dict[PoolState, set[PoolState]] = {
    PoolState.NEW: {PoolState.RUNNING, PoolState.STOPPED},
    PoolState.RUNNING: {PoolState.DRAINING, PoolState.STOPPED},
    PoolState.DRAINING: {PoolState.STOPPED},
    PoolState.STOPPED: set(),
}


class WorkerState(enum.Enum):
    """What a worker does."""

    IDLE = "idle"
    PACKING = "packing"
    """Its call is being copied for it, and it does not know yet."""
    RUNNING = "running"
    LEAVING = "leaving"
    """It was told to leave, or was killed."""
    DEAD = "dead"


NEXT_OF_WORKER: dict[WorkerState, set[WorkerState]] = {
    WorkerState.IDLE: {WorkerState.PACKING, WorkerState.RUNNING, WorkerState.LEAVING},
    WorkerState.PACKING: {WorkerState.IDLE, WorkerState.RUNNING, WorkerState.LEAVING},
    WorkerState.RUNNING: {WorkerState.IDLE, WorkerState.LEAVING},
    WorkerState.LEAVING: {WorkerState.DEAD},
    WorkerState.DEAD: set(),
}

AT_REST = {WorkerState.IDLE, WorkerState.DEAD}
"""Nothing is to be expected of it."""
