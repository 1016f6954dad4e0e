"""Signals: handlers in the loop, other people's wake-up descriptors, Ctrl-C."""

import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

import sennit


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Whatever a test does to a signal is undone."""
    kept = {sig: signal.getsignal(sig) for sig in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)}
    yield
    for sig, handler in kept.items():
        signal.signal(sig, handler)
    assert signal.set_wakeup_fd(-1) == -1


@pytest.fixture
def wakeup() -> Iterator[socket.socket]:
    """Somebody else's wake-up descriptor; the end to read from."""
    receiver, sender = socket.socketpair()
    receiver.setblocking(False)
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno())
    yield receiver
    signal.set_wakeup_fd(-1)
    receiver.close()
    sender.close()


def test_a_handler_runs_in_the_loop_with_its_arguments(reactor):
    seen = []
    reactor.add_signal_handler(signal.SIGUSR1, lambda *args: (seen.append(args), reactor.stop()), 1)
    reactor.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
    reactor.run_forever()
    assert seen == [(1,)]


def test_a_signal_wakes_a_sleeping_loop(reactor):
    reactor.add_signal_handler(signal.SIGUSR1, reactor.stop)
    sender = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1))
    reactor.call_soon(sender.start)
    reactor.run_forever()
    sender.join()


def test_a_signal_before_the_run_is_kept(reactor):
    reactor.add_signal_handler(signal.SIGUSR1, reactor.stop)
    os.kill(os.getpid(), signal.SIGUSR1)
    reactor.run_forever()


def test_a_signal_between_two_runs_is_kept(reactor, turns):
    seen = []
    reactor.add_signal_handler(signal.SIGUSR1, seen.append, "signal")
    turns(1)
    os.kill(os.getpid(), signal.SIGUSR1)
    turns(2)
    assert seen == ["signal"]


def test_a_new_handler_replaces_the_old(reactor, turns):
    seen = []
    reactor.add_signal_handler(signal.SIGUSR1, seen.append, "old")
    reactor.add_signal_handler(signal.SIGUSR1, seen.append, "new")
    os.kill(os.getpid(), signal.SIGUSR1)
    turns(2)
    assert seen == ["new"]


def test_a_handler_can_be_removed(reactor):
    reactor.add_signal_handler(signal.SIGUSR1, print)
    reactor.add_signal_handler(signal.SIGINT, print)
    assert reactor.remove_signal_handler(signal.SIGUSR1) is True
    assert reactor.remove_signal_handler(signal.SIGUSR1) is False
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    assert reactor.remove_signal_handler(signal.SIGINT) is True
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_closing_gives_the_signals_up(reactor):
    reactor.add_signal_handler(signal.SIGUSR1, print)
    reactor.close()
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_a_failing_handler_is_reported(reactor, turns, reported):
    reactor.add_signal_handler(signal.SIGUSR1, lambda: 1 / 0)
    os.kill(os.getpid(), signal.SIGUSR1)
    turns(2)
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]


def test_what_cannot_be_caught_is_refused(reactor):
    async def coroutine():
        pass

    with pytest.raises(RuntimeError, match="cannot be caught"):
        reactor.add_signal_handler(signal.SIGKILL, print)
    with pytest.raises(ValueError, match="invalid signal number"):
        reactor.add_signal_handler(10_000, print)
    with pytest.raises(TypeError, match="sig must be an int"):
        reactor.add_signal_handler("USR1", print)
    with pytest.raises(TypeError, match="coroutines"):
        reactor.add_signal_handler(signal.SIGUSR1, coroutine)
    with pytest.raises(ValueError, match="invalid signal number"):
        reactor.remove_signal_handler(10_000)


def test_only_the_main_thread_may_add_handlers(reactor):
    errors = []

    def intrude():
        try:
            reactor.add_signal_handler(signal.SIGUSR1, print)
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=intrude)
    thread.start()
    thread.join()
    assert "main thread" in errors[0]


def test_a_loop_of_another_thread_gets_its_signal(reactor):
    seen = []
    reactor.add_signal_handler(
        signal.SIGUSR1, lambda: (seen.append(threading.get_ident()), reactor.stop())
    )
    running = threading.Event()
    reactor.call_soon(running.set)
    thread = threading.Thread(target=reactor.run_forever)
    thread.start()
    running.wait()
    os.kill(os.getpid(), signal.SIGUSR1)
    thread.join()
    assert seen == [thread.ident]


def test_a_plain_handler_still_works(reactor):
    seen = []
    signal.signal(signal.SIGUSR2, lambda number, _frame: (seen.append(number), reactor.stop()))
    reactor.call_soon(os.kill, os.getpid(), signal.SIGUSR2)
    reactor.run_forever()
    assert seen == [signal.SIGUSR2]


def test_an_error_of_a_plain_handler_leaves_the_loop(reactor):
    def fail(_number, _frame):
        raise LookupError

    signal.signal(signal.SIGUSR2, fail)
    gate = threading.Lock()
    gate.acquire()
    sender = threading.Thread(target=lambda: (gate.acquire(), os.kill(os.getpid(), signal.SIGUSR2)))
    sender.start()
    # Native code: no callback in Python is there to be interrupted instead of the loop.
    reactor.call_soon(gate.release)
    with pytest.raises(LookupError):
        reactor.run_forever()
    sender.join()


def test_somebody_elses_descriptor_gets_its_bytes_and_is_put_back(reactor, wakeup):
    reactor.add_signal_handler(signal.SIGUSR1, reactor.stop)
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    reactor.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
    reactor.run_forever()
    assert wakeup.recv(10) == bytes([signal.SIGUSR1])
    after = signal.set_wakeup_fd(-1)
    assert after == before


def test_somebody_elses_descriptor_that_was_closed_meanwhile_is_forgotten(reactor):
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno())
    reactor.call_soon(sender.close)
    reactor.call_soon(reactor.stop)
    reactor.run_forever()
    receiver.close()
    assert signal.set_wakeup_fd(-1) == -1


def test_a_descriptor_that_was_set_meanwhile_stays(reactor):
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    reactor.call_soon(signal.set_wakeup_fd, sender.fileno())
    reactor.call_soon(reactor.stop)
    reactor.run_forever()
    assert signal.set_wakeup_fd(-1) == sender.fileno()
    receiver.close()
    sender.close()


CTRL_C = """
    import asyncio, os, signal, sys
    import sennit

    async def main():
        try:
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            print("cancelled")
            raise

    {run}
"""


@pytest.mark.parametrize("run", ["sennit.run(main())", "asyncio.run(main())"])
def test_ctrl_c_cancels_and_then_interrupts(program, run):
    result = program(CTRL_C.format(run=run))
    assert result.stdout == "cancelled\n"
    assert result.stderr.rstrip().endswith("KeyboardInterrupt")
    assert result.returncode == -signal.SIGINT


def test_ctrl_c_gets_through_to_a_busy_loop(program):
    result = program(
        """
        import os, signal, threading
        import sennit

        loop = sennit.Reactor()

        def again():
            loop.call_soon(again)

        loop.call_soon(again)
        loop.call_soon(threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start)
        try:
            loop.run_forever()
        except KeyboardInterrupt:
            print("interrupted")
        loop.close()
        """
    )
    assert (result.stdout, result.stderr) == ("interrupted\n", "")


def test_two_reactors_after_each_other_share_the_signals():
    for _ in range(2):
        reactor = sennit.Reactor()
        reactor.add_signal_handler(signal.SIGUSR1, reactor.stop)
        reactor.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
        reactor.run_forever()
        reactor.close()
