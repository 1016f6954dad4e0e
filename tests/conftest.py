"""What every test may ask for: the real programs of this machine, certificates."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sennit import net

SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def pytest_configure() -> None:
    """A shell's background job is born with SIGINT ignored, and so would be what tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def peer() -> Callable[[str], Path]:
    """The path of a real program by name, as in `peer("wrk")`.

    A test whose peer is missing is skipped by name; in CI none may be missing, so there it fails.
    """

    def find(name: str) -> Path:
        path = shutil.which(name, path=os.pathsep.join((os.environ["PATH"], *SYSTEM_FOLDERS)))
        if path is None:
            message = f"peer {name} is not installed (make peers)"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        return Path(path)

    return find


class Certificates:
    """A folder of authorities and certificates, made by openssl; each has its key beside it."""

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
