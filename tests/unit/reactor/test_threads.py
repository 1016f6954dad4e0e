"""Threads: several reactors at once, and the one door from outside."""

import asyncio
import threading
import time

import sennit


def start_all(threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_several_reactors_run_at_once():
    together = threading.Barrier(4)
    results = []

    async def main(index):
        # All four must be inside for any of them to go on.
        await asyncio.get_running_loop().run_in_executor(None, together.wait)
        results.append((index, sennit.current_reactor()))

    start_all([threading.Thread(target=sennit.run, args=(main(index),)) for index in range(4)])
    assert sorted(index for index, _ in results) == [0, 1, 2, 3]
    assert len({id(loop) for _, loop in results}) == 4


def test_a_call_from_another_thread_wakes_a_sleeping_loop(reactor):
    caller = threading.Thread(target=reactor.call_soon_threadsafe, args=(reactor.stop,))
    reactor.call_soon(caller.start)
    reactor.run_forever()
    caller.join()


def test_nothing_is_lost_from_many_threads(reactor):
    senders, each = 8, 5000
    seen = [[] for _ in range(senders)]
    left = [senders * each]

    def receive(sender, value):
        seen[sender].append(value)
        left[0] -= 1
        if not left[0]:
            reactor.stop()

    def send(sender):
        for value in range(each):
            reactor.call_soon_threadsafe(receive, sender, value)

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(senders)]
    for thread in threads:
        thread.start()
    reactor.run_forever()
    for thread in threads:
        thread.join()
    assert seen == [list(range(each))] * senders


def test_a_ping_pong_between_two_loops():
    loops = [sennit.Reactor(), sennit.Reactor()]
    left = [2000]

    def hit(side):
        left[0] -= 1
        if left[0] <= 0:
            for loop in loops:
                loop.call_soon_threadsafe(loop.stop)
        else:
            loops[1 - side].call_soon_threadsafe(hit, 1 - side)

    loops[0].call_soon(hit, 0)
    start_all([threading.Thread(target=loop.run_forever) for loop in loops])
    assert left[0] <= 0
    for loop in loops:
        loop.close()


def test_a_coroutine_can_be_handed_to_a_running_loop(reactor):
    async def double(value):
        await asyncio.sleep(0)
        return value * 2

    thread = threading.Thread(target=reactor.run_forever)
    thread.start()
    futures = [asyncio.run_coroutine_threadsafe(double(index), reactor) for index in range(100)]
    assert [future.result() for future in futures] == [index * 2 for index in range(100)]
    reactor.call_soon_threadsafe(reactor.stop)
    thread.join()


def test_a_busy_loop_lets_other_threads_in(reactor):
    ran = []

    def again():
        if ran:
            reactor.stop()
        else:
            reactor.call_soon(again)

    thread = threading.Thread(target=ran.append, args=(True,))
    reactor.call_soon(again)
    reactor.call_soon(thread.start)
    reactor.run_forever()
    thread.join()


def test_a_loop_may_run_in_one_thread_after_another(reactor):
    async def who():
        return threading.get_ident()

    idents = []
    for _ in range(3):
        thread = threading.Thread(
            target=lambda: idents.append(reactor.run_until_complete(who()) == threading.get_ident())
        )
        thread.start()
        thread.join()
    assert idents == [True] * 3


def test_the_same_loop_cannot_run_twice(reactor):
    errors = []

    def intrude():
        try:
            reactor.run_forever()
        except RuntimeError as error:
            errors.append(str(error))
        reactor.call_soon_threadsafe(reactor.stop)

    thread = threading.Thread(target=intrude)
    reactor.call_soon(thread.start)
    reactor.run_forever()
    thread.join()
    assert errors == ["This event loop is already running"]


def test_a_loop_in_a_daemon_thread_does_not_hurt_the_end(program):
    source = """
        import sys, threading, time
        import sennit

        started = threading.Event()

        def main():
            loop = sennit.Reactor()
            work = {work}

            def again():
                work()
                loop.call_soon(again)

            loop.call_soon(started.set)
            loop.call_soon(again)
            loop.run_forever()

        class Late:
            def __del__(self, sleep=time.sleep):
                # Lets the daemon run into the interpreter's end.
                sleep(0.02)

        threading.Thread(target=main, daemon=True).start()
        started.wait()
        sys.late = Late()
        print("end")
    """
    for work in ("lambda: sum(range(3000))", "lambda: time.sleep(0)", "lambda: None"):
        result = program(source.format(work=work))
        assert (result.returncode, result.stdout, result.stderr) == (0, "end\n", ""), work


def test_time_can_be_read_from_any_thread(reactor):
    seen = []
    start_all([threading.Thread(target=lambda: seen.append(reactor.time())) for _ in range(4)])
    assert max(seen) <= reactor.time() <= time.monotonic()
