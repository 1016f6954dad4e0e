"""The keys of session tickets change: told to a program whose wall clock is moved."""

import os
import shutil
import socket
import subprocess
import sys
import textwrap

import pytest

# Stands before the C library's clock_gettime, and moves the clock of the calendar only.
CLOCK = r"""
#define _GNU_SOURCE
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
long clock_shift = 0;
int clock_gettime(clockid_t which, struct timespec *to) {
    int result = syscall(SYS_clock_gettime, which, to);
    if (result == 0 && which == CLOCK_REALTIME) to->tv_sec += clock_shift;
    return result;
}
"""

PROGRAM = textwrap.dedent(
    """
    import asyncio, ctypes, sys
    import sennit
    from sennit import net

    clock, certificate, key = sys.argv[1:]
    shift = ctypes.c_long.in_dll(ctypes.CDLL(clock), "clock_shift")

    class Brief(net.Protocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.write(b"resumed" if self.tls.resumed else b"anew")
            self.close()

    async def move(stream):
        shift.value = int(await stream.readline()) * 3600
        await stream.write(b"moved")

    async def main():
        tls = net.ServerTls(certificate=certificate, key=key)
        await net.listen(Brief, "unix:tls.sock", tls=tls)
        await net.listen(move, "unix:clock.sock")
        print("ready", flush=True)
        await asyncio.Event().wait()

    sennit.run(main())
    """
)


class Server:
    """A server of TLS whose clock can be moved."""

    def __init__(self, folder, certificates):
        self.folder = folder
        (folder / "clock.c").write_text(CLOCK)
        library = folder / "clock.so"
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("there is no C compiler")
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-o", library, folder / "clock.c"],
            check=True,
            timeout=60,
        )
        files = [library, certificates.path("server.pem"), certificates.path("server.key")]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *files],
            cwd=folder,
            env={**os.environ, "LD_PRELOAD": str(library)},
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout.readline() == b"ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.process.kill()
        self.process.communicate()

    def move(self, hours):
        """Set the clock so many hours ahead."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(60)
            sock.connect(str(self.folder / "clock.sock"))
            sock.sendall(b"%d\n" % hours)
            assert sock.recv(100) == b"moved"

    def ask(self, openssl, option, version):
        """What the server says of a session that is kept, or asked for again."""
        flags = [f"-tls{version.replace('.', '_')}", "-quiet", option, self.folder / "session"]
        command = [openssl, "s_client", "-unix", self.folder / "tls.sock", *flags]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60, input=b"")
        return done.stdout


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_ticket_is_good_until_its_key_has_changed_twice(peer, certificates, tmp_path, version):
    openssl = peer("openssl")
    with Server(tmp_path, certificates) as server:
        assert server.ask(openssl, "-sess_out", version) == b"anew"
        assert server.ask(openssl, "-sess_in", version) == b"resumed"
        server.move(7)  # the keys change every six hours, and the one before is still known
        assert server.ask(openssl, "-sess_in", version) == b"resumed"
        server.move(14)
        assert server.ask(openssl, "-sess_in", version) == b"anew"
