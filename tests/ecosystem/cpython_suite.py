"""CPython's own asyncio tests with a Reactor for a loop; a program that `test_cpython_suite` runs.

It prints one line for each test: its name and what became of it.
"""

import asyncio
import gc
import sys
import unittest
import warnings

from test.test_asyncio import (
    test_buffered_proto,
    test_events,
    test_server,
    test_streams,
)
from test.test_asyncio import utils as test_utils

import sennit


class Events(test_events.EventLoopTestsMixin, test_utils.TestCase):
    """The contract of an event loop."""

    def create_event_loop(self):
        return sennit.Reactor()


class Handles(test_events.HandleTests):
    """Handles, mostly asyncio's own."""


class Timers(test_events.TimerTests):
    """Timer handles, mostly asyncio's own."""


class Streams(test_streams.StreamTests):
    """Streams."""

    def setUp(self):
        super().setUp()
        self.loop.close()
        self.loop = sennit.Reactor()
        self.set_event_loop(self.loop)


class BufferedProtocols(test_buffered_proto.BaseTestBufferedProtocol, unittest.TestCase):
    """Protocols with a buffer of their own."""

    def new_loop(self):
        return sennit.Reactor()


class Servers(test_server.BaseStartServer, unittest.TestCase):
    """`start_server` in all its ways."""

    def new_loop(self):
        return sennit.Reactor()


CASES = (Events, Handles, Timers, Streams, BufferedProtocols, Servers)


class Lines(unittest.TestResult):
    """One line a test: `name outcome`, and why on the error stream."""

    def _say(self, test, outcome, reason=""):
        name = test.id().partition(".")[2]
        print(name, outcome, flush=True)
        if reason:
            print(f"{name}: {reason}", file=sys.stderr)

    def addSuccess(self, test):  # noqa: N802 - unittest's name
        self._say(test, "passed")

    def addSkip(self, test, reason):  # noqa: N802 - unittest's name
        self._say(test, "skipped")

    def addFailure(self, test, err):  # noqa: N802 - unittest's name
        self._say(test, "failed", self._exc_info_to_string(err, test))

    addError = addFailure  # noqa: N815 - unittest's name

    def stopTest(self, test):  # noqa: N802 - unittest's name
        # What a failed test has left behind must not end in the next one.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def main():
    asyncio.set_event_loop_policy(sennit.EventLoopPolicy())
    suite = unittest.TestSuite(map(unittest.defaultTestLoader.loadTestsFromTestCase, CASES))
    suite.run(Lines())


if __name__ == "__main__":
    main()
