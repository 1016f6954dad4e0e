"""What the tests of `sennit.net` share."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import sennit
from sennit import net


@pytest.fixture
def reported() -> list[dict[str, Any]]:
    """What the loop's exception handler was told."""
    return []


@pytest.fixture
def on_reactor(reported: list[dict[str, Any]]) -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    """Runs an `async def` test on a reactor, for a minute at most."""

    def start(test: Callable[[], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _loop, context: reported.append(context))
            async with asyncio.timeout(60):
                return await test()

        return sennit.run(main())

    return start


async def until(condition: Callable[[], Any]) -> None:
    """Waits, turn by turn, until something is true."""
    while not condition():
        await asyncio.sleep(0)


class Certificates:
    """Authorities and certificates in files, made by the openssl command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority("ca")

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def _make(self, name: str, *extensions: str, signer: str | None = None) -> None:
        config = self.folder / f"{name}.cnf"
        lines = ["[req]", "distinguished_name=dn", "x509_extensions=ext", "[dn]", "[ext]"]
        config.write_text("\n".join([*lines, *extensions, ""]))
        command = ["openssl", "req", "-x509", "-new", "-newkey", "ec", "-nodes", "-days", "2"]
        command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", f"/CN={name}"]
        command += ["-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.pem")]
        if signer is not None:
            command += ["-CA", self.path(f"{signer}.pem"), "-CAkey", self.path(f"{signer}.key")]
        subprocess.run([*command, "-config", config], check=True, capture_output=True, timeout=60)

    def authority(self, name: str) -> str:
        """The path of a new authority's certificate."""
        self._make(name, "basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign")
        return self.path(f"{name}.pem")

    def make(self, name: str, *names: str, signer: str = "ca") -> tuple[str, str]:
        """The paths of a certificate for names (`DNS:a.example`, `IP:127.0.0.1`) and its key."""
        self._make(
            name,
            "basicConstraints=critical,CA:FALSE",
            "extendedKeyUsage=serverAuth,clientAuth",
            f"subjectAltName={','.join(names)}",
            signer=signer,
        )
        return self.path(f"{name}.pem"), self.path(f"{name}.key")

    def server_tls(self, name: str = "server", **more: Any) -> net.ServerTls:
        """The server's end of TLS with one of the certificates."""
        chain, key = self.path(f"{name}.pem"), self.path(f"{name}.key")
        return net.ServerTls(certificate=chain, key=key, **more)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority `ca` with certificates `server` (localhost, 127.0.0.1), `other` and `client`."""
    made = Certificates(tmp_path_factory.mktemp("certificates"))
    made.make("server", "DNS:localhost", "IP:127.0.0.1")
    made.make("other", "DNS:other.example", "DNS:*.wild.example")
    made.make("client", "DNS:client.example")
    return made
