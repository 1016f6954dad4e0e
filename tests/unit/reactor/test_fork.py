"""Fork: the child is told, may make a reactor of its own, and does not disturb the parent."""

import pytest

# Each program prints what the child and then the parent have to say.
CHILD_IS_TOLD = """
    import os, sennit
    loop = sennit.Reactor()
    pid = os.fork()
    if not pid:
        for act in (loop.run_forever, lambda: loop.add_reader(0, print)):
            try:
                act()
            except RuntimeError as error:
                print(error, flush=True)
        loop.close()
        os._exit(0)
    os.waitpid(pid, 0)
    loop.call_soon(print, "parent runs")
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
"""

CHILD_HAS_ITS_OWN = """
    import asyncio, os, sennit

    async def main():
        await asyncio.sleep(0)
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await reader.read()
        writer.close()
        server.close()
        return "own reactor"

    loop = sennit.Reactor()

    def fork():
        pid = os.fork()
        if not pid:
            print(sennit.run(main()), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        print("parent goes on")
        loop.stop()

    loop.call_soon(fork)
    loop.run_forever()
    loop.close()
"""

PARENT_IS_UNDISTURBED = """
    import asyncio, os, signal, socket, sys
    import sennit

    async def main():
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, print, "the parent has got a signal")
        reading, writing = socket.socketpair()
        heard = loop.create_future()
        loop.add_reader(reading, lambda: heard.done() or heard.set_result(reading.recv(100)))

        async def serve(reader, writer):
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"once")
        pid = os.fork()
        if not pid:
            # Everything that a child may do to what it has inherited.
            os.kill(os.getpid(), signal.SIGUSR1)
            server.close()
            loop.remove_reader(reading)
            loop.call_soon_threadsafe(print, "never")
            {end}
        await loop.run_in_executor(None, os.waitpid, pid, 0)
        writing.send(b"reader works")
        print(await heard)
        writer.write(b" only\\n")
        print(await reader.read())
        writer.close()
        loop.remove_signal_handler(signal.SIGUSR1)
        loop.remove_reader(reading)
        reading.close()
        writing.close()
        server.close()

    try:
        sennit.run(main())
    finally:
        print("end", flush=True)
"""


def test_the_child_is_told_and_the_parent_goes_on(program):
    result = program(CHILD_IS_TOLD)
    assert result.stderr == ""
    first, second, last = result.stdout.splitlines()
    assert "made before a fork" in first
    assert "make a new one in the child" in second
    assert last == "parent runs"


def test_the_child_may_make_its_own_inside_of_the_parents_callback(program):
    result = program(CHILD_HAS_ITS_OWN)
    assert (result.stdout, result.stderr) == ("own reactor\nparent goes on\n", "")


@pytest.mark.parametrize(
    ("end", "child_says"),
    [
        ("os._exit(0)", []),
        ("loop.set_exception_handler(lambda *_: None); sys.exit(0)", ["end"]),
    ],
)
def test_the_parent_is_undisturbed(program, end, child_says):
    result = program(PARENT_IS_UNDISTURBED.format(end=end))
    lines = result.stdout.splitlines()
    assert lines[: len(child_says)] == child_says, result.stderr
    assert lines[len(child_says) :] == ["b'reader works'", "b'once only\\n'", "end"]
    assert result.returncode == 0, result.stderr


def test_a_loop_that_forks_as_its_last_act(program):
    result = program(
        """
        import multiprocessing, os, sennit

        def work(pipe):
            pipe.send(sennit.run(answer()))

        async def answer():
            return os.getpid()

        async def main():
            context = multiprocessing.get_context("fork")
            here, there = context.Pipe()
            process = context.Process(target=work, args=(there,))
            process.start()
            print(here.recv() == process.pid)
            process.join()

        sennit.run(main())
        """
    )
    assert (result.stdout, result.stderr) == ("True\n", "")
