"""What every test may ask for: the real programs of this machine."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Certificates

SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


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


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority `ca` with certificates `server` (localhost, 127.0.0.1), `other` and `client`."""
    made = Certificates(tmp_path_factory.mktemp("certificates"))
    made.make("server", "DNS:localhost", "IP:127.0.0.1")
    made.make("other", "DNS:other.example", "DNS:*.wild.example")
    made.make("client", "DNS:client.example")
    return made
