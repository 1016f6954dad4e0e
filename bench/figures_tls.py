"""The figures over TLS, and of port forwarders."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measure
from measure import Configured, MeasuringError, Nginx, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Options = argparse.Namespace
Rows = dict[str, list[dict[str, Any]]]
Files = tuple[Path, Path]

KEYS = {"ECDSA P-256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "RSA 2048": ["rsa:2048"]}
HANDSHAKES = (
    ("1.3", "ECDSA P-256", "full"),
    ("1.3", "RSA 2048", "full"),
    ("1.2", "ECDSA P-256", "full"),
    ("1.3", "ECDSA P-256", "resumed"),
)
AT_ONCE = 16  # handshakes: enough that the server never waits for the load
OTHER_LOOPS = ("uvloop", "asyncio")
# The other loops need up to a quarter of a megabyte for a connection: fewer say as much.
HELD_BY_OTHER_LOOPS = 2_000
PIECES = (4_096, 65_536)


@contextmanager
def certificate(kind: str) -> Iterator[Files]:
    """A certificate for 127.0.0.1 and its key, made for this run."""
    openssl = measure.need("openssl", "openssl")
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "certificate.pem", Path(folder) / "key.pem"
        request = ["req", "-x509", "-days", "2", "-nodes", "-subj", "/CN=localhost"]
        names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        out = ["-out", str(files[0]), "-keyout", str(files[1])]
        done = subprocess.run(
            [openssl, *request, *names, *out, "-newkey", *KEYS[kind]],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise MeasuringError(f"openssl made no certificate: {done.stderr}")
        yield files


def sennit(files: Files) -> Server:
    """The echo protocol under Sennit's own TLS."""
    return measure.python("sennit", "net_echo.py", "tls://127.0.0.1:0", *files)


def nginx(files: Files) -> Server:
    """The web server, over TLS."""
    return Nginx("nginx_tls.conf", CERTIFICATE=files[0], KEY=files[1])


def named(name: str, server: Server) -> Server:
    """A server under another name, so that it may run twice."""
    server.name = name
    return server


def at_half(
    servers: list[Server], options: Options, load: Callable[[Server, float, float], measure.Sample]
) -> tuple[float, list[dict[str, Any]]]:
    """Servers in turn at half the rate that the first of them can keep up; the rate, the rows."""
    # The best of three: what disturbs only takes away.
    rate = max(load(servers[0], 0.5, 0).load["rate"] for _ in range(3)) / 2
    samples = measure.take_turns(
        servers, options.pairs, lambda server: load(server, options.seconds, rate)
    )
    return rate, measure.summary(samples, servers[0].name)


def per_cpu_second(rows: list[dict[str, Any]], name: str, units: float = 1) -> None:
    """Add how much a second on a core does."""
    for row in rows:
        row[name] = round(units / row["cpu_us"] * 1e6)


def tls_echo(options: Options) -> Rows:
    """CPU for one message there and back over TLS 1.3 on 64 connections."""
    results: Rows = {}
    with (
        certificate("ECDSA P-256") as files,
        measure.running(
            lambda: measure.limit("tls_echo", *files),
            lambda: measure.twin("tls_echo", *files),
            lambda: sennit(files),
            *(lambda n=n: measure.python(n, "echo.py", n, *files) for n in OTHER_LOOPS),
        ) as servers,
    ):
        for size in (1_024, 65_536):

            def load(server: Server, seconds: float, rate: float, size: int = size) -> Any:
                kind = (measure.CONNECTIONS, seconds, f"{rate:.0f}", "echo", size)
                return measure.sample(server, seconds, "tls_load", *kind)

            rate, rows = at_half(servers, options, load)
            results[f"TLS echo, {size:,} bytes, {rate:,.0f} in a second"] = rows
    return results


def https(options: Options) -> Rows:
    """CPU for one request over TLS 1.3 and keep-alive on 64 connections: a handler, nginx."""
    request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with (
        certificate("ECDSA P-256") as files,
        tempfile.NamedTemporaryFile() as file,
        measure.running(
            lambda: nginx(files),
            lambda: named("nginx again", nginx(files)),
            lambda: measure.python("sennit async", "http_handler.py", "async", *files),
            lambda: measure.python("sennit def", "http_handler.py", "def", *files),
        ) as servers,
    ):
        file.write(request)
        file.flush()

        def load(server: Server, seconds: float, rate: float) -> Any:
            kind = (measure.CONNECTIONS, seconds, f"{rate:.0f}", "http", file.name)
            return measure.sample(server, seconds, "tls_load", *kind)

        rate, rows = at_half(servers, options, load)
    return {f"https, {rate:,.0f} in a second, of nginx": rows}


def handshakes(options: Options) -> Rows:
    """CPU for one connection over TLS with its handshake: full with both keys, and resumed."""
    results: Rows = {}
    for version, key, mode in HANDSHAKES:
        with (
            certificate(key) as files,
            measure.running(
                lambda files=files: measure.limit("tls_echo", *files),
                lambda files=files: measure.twin("tls_echo", *files),
                lambda files=files: sennit(files),
                lambda files=files: nginx(files),
                lambda files=files: measure.python("uvloop", "echo.py", "uvloop", *files),
            ) as servers,
        ):

            def load(server: Server, mode: str = mode, version: str = version) -> measure.Sample:
                talk = "http" if server.name == "nginx" else "echo"
                kind = (AT_ONCE, options.seconds, mode, talk, version)
                return measure.sample(server, options.seconds, "tls_handshakes", *kind)

            rows = measure.summary(measure.take_turns(servers, options.pairs, load))
        per_cpu_second(rows, "handshakes_per_cpu_s")
        results[f"handshakes, TLS {version}, {mode}, {key}"] = rows
    return results


def tls_idle(options: Options) -> Rows:
    """Private memory for one idle connection over TLS 1.3, after one exchange."""
    rows = []
    with certificate("ECDSA P-256") as files:
        makers = (
            lambda: measure.limit("tls_echo", *files),
            lambda: sennit(files),
            lambda: nginx(files),
            *(lambda n=n: measure.python(n, "echo.py", n, *files) for n in OTHER_LOOPS),
        )
        for make in makers:
            with measure.running(make) as servers:
                for server in servers:
                    most = HELD_BY_OTHER_LOOPS if server.name in OTHER_LOOPS else options.count
                    count = min(most, options.count)
                    talk = "http" if server.name == "nginx" else "echo"
                    size = measure.held(server, count, "tls_hold", talk)
                    rows.append({"server": server.name, "held": count, "bytes": size})
    return {"idle connection over TLS": rows}


def forward(options: Options) -> Rows:
    """CPU for one piece through a port forwarder, 64 connections, both ways."""
    results: Rows = {}
    origin = measure.free_port()
    example = measure.HERE.parent / "examples" / "port_forwarder.py"
    urls = ["tcp://127.0.0.1:0", f"tcp://127.0.0.1:{origin}"]
    with measure.running(
        lambda: measure.limit("forward", origin, "copy"),
        lambda: measure.twin("forward", origin, "copy"),
        lambda: Server("splice", [measure.built("forward"), 0, origin, "splice"]),
        lambda: haproxy("haproxy", origin, "no option splice-auto"),
        lambda: haproxy("haproxy splice", origin, "option splice-auto"),
        lambda: Server("sennit", [sys.executable, example, *urls]),
    ) as servers:
        for size in PIECES:

            def load(server: Server, seconds: float, rate: float, size: int = size) -> Any:
                kind = (measure.CONNECTIONS, seconds, f"{rate:.0f}", size, origin)
                return measure.sample(server, seconds, "forward_load", *kind)

            rate, rows = at_half(servers, options, load)
            per_cpu_second(rows, "MB_per_cpu_s", size / 1e6)
            results[f"forwarding, pieces of {size:,} bytes, {rate:,.0f} in a second"] = rows
    return results


def haproxy(name: str, origin: int, splice: str) -> Server:
    """HAProxy as a port forwarder; by default it copies."""
    command = [measure.need("haproxy", "haproxy"), "-db", "-q", "-f"]
    return Configured(name, command, "haproxy.cfg", ORIGIN=origin, SPLICE=splice)


FIGURES = (tls_echo, https, handshakes, tls_idle, forward)
