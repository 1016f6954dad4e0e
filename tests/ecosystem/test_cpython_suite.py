"""CPython's own asyncio tests run on a Reactor, each but those excluded here with a reason."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PATIENCE = 120

LATER = "comes with a later version"
INSIDE = "looks into asyncio's own insides"

EXCLUDED = {
    "Events.test_bidirectional_pty": f"pipes: {LATER}",
    "Events.test_create_server_multiple_hosts_ipv4": f"{INSIDE}: mocks its sockets",
    "Events.test_create_server_multiple_hosts_ipv6": f"{INSIDE}: mocks its sockets",
    "Events.test_create_server_ssl": f"TLS: {LATER}",
    "Events.test_create_server_ssl_match_failed": f"TLS: {LATER}",
    "Events.test_create_server_ssl_verified": f"TLS: {LATER}",
    "Events.test_create_server_ssl_verify_failed": f"TLS: {LATER}",
    "Events.test_create_ssl_connection": f"TLS: {LATER}",
    "Events.test_create_ssl_unix_connection": f"TLS: {LATER}",
    "Events.test_create_unix_server_ssl": f"TLS: {LATER}",
    "Events.test_create_unix_server_ssl_verified": f"TLS: {LATER}",
    "Events.test_create_unix_server_ssl_verify_failed": f"TLS: {LATER}",
    "Events.test_prompt_cancellation": f"sock_recv: {LATER}",
    "Events.test_read_pipe": f"pipes: {LATER}",
    "Events.test_read_pty_output": f"pipes: {LATER}",
    "Events.test_ssl_connect_accepted_socket": f"TLS: {LATER}",
    "Events.test_timeout_rounding": f"{INSIDE}: _run_once",
    "Events.test_unclosed_pipe_transport": f"pipes: {LATER}",
    "Events.test_write_pipe": f"pipes: {LATER}",
    "Events.test_write_pipe_disconnect_on_close": f"pipes: {LATER}",
    "Events.test_write_pty": f"pipes: {LATER}",
    "Servers.test_start_server_1": f"{INSIDE}: Server._sockets",
    "Streams.test_open_connection_no_loop_ssl": f"TLS: {LATER}",
    "Streams.test_open_unix_connection_no_loop_ssl": f"TLS: {LATER}",
    "Streams.test_read_all_from_pipe_reader": f"pipes: {LATER}",
    "Streams.test_start_tls": f"TLS: {LATER}",
}

# Tests that Python 3.11 does not have yet.
NEWER: dict[str, str] = {}


@pytest.fixture(scope="module")
def suite() -> tuple[dict[str, str], str]:
    """What became of each test, and what the suite had to say about it."""
    try:
        found = importlib.util.find_spec("test.test_asyncio.test_events")
    except ModuleNotFoundError:
        found = None
    if found is None:
        pytest.skip("this interpreter comes without its own tests (test.test_asyncio)")
    result = subprocess.run(
        [sys.executable, Path(__file__).with_name("cpython_suite.py")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    lines = [line.split() for line in result.stdout.splitlines()]
    outcomes = {words[0]: words[1] for words in lines if len(words) == 2 and "." in words[0]}
    assert result.returncode == 0, result.stderr
    return outcomes, result.stderr


def test_the_suite_was_run(suite):
    outcomes, errors = suite
    assert list(outcomes.values()).count("passed") > 80, errors


def test_what_is_not_excluded_passes(suite):
    outcomes, errors = suite
    failed = {name for name, outcome in outcomes.items() if outcome == "failed"}
    assert failed - set(EXCLUDED | NEWER) == set(), errors


def test_no_exclusion_is_stale(suite):
    outcomes, _ = suite
    passed = {name for name, outcome in outcomes.items() if outcome == "passed"}
    assert passed & set(EXCLUDED | NEWER) == set()


def test_every_exclusion_names_a_test(suite):
    outcomes, _ = suite
    unknown = set(EXCLUDED) - set(outcomes)
    # Other versions of CPython have other tests.
    assert sys.version_info[:2] != (3, 11) or unknown == set()
