"""Each limit of the HTTP server has a counter of its own and a test that it holds."""

from pathlib import Path

from sennit import http

TESTS = {
    "max_request_line": "test_server_limits.py::test_heads",
    "max_head_size": "test_server_limits.py::test_heads",
    "max_header_count": "test_server_limits.py::test_heads",
    "max_chunk_extension": "test_server_limits.py::test_what_stands_around_chunks",
    "max_trailer_size": "test_server_limits.py::test_what_stands_around_chunks",
    "header_timeout": "test_slow_peers.py::test_a_thousand_are_dropped_at_the_deadline",
    "keep_alive_timeout": "test_slow_peers.py::test_a_thousand_are_dropped_at_the_deadline",
    "max_requests": "test_server_limits.py::test_max_requests",
    "max_pipelined": "test_server_limits.py::test_max_pipelined",
    "body_timeout": "test_slow_peers.py::test_a_thousand_are_dropped_at_the_deadline",
    "min_body_rate": "test_slow_peers.py::test_a_thousand_are_dropped_at_the_deadline",
    "max_body_size": "test_server_limits.py::test_max_body_size",
    "write_timeout": "test_slow_peers.py::test_a_thousand_who_never_read_are_dropped",
    "max_connections": "test_server_limits.py::test_max_connections",
    "max_connections_per_address": "test_server_admission.py::test_an_address_has_its_share",
}


def test_counters_are_unique() -> None:
    counters = [limit.counter for limit in http.LIMITS]
    assert len(counters) == len(set(counters))


def test_each_limit_has_a_test(root: Path) -> None:
    assert set(TESTS) == {limit.name for limit in http.LIMITS}
    for name, place in TESTS.items():
        path, _, function = place.partition("::")
        (file,) = (root / "tests").rglob(path)
        text = file.read_text()
        assert f"def {function}(" in text
        counter = next(limit.counter for limit in http.LIMITS if limit.name == name)
        assert counter in text or name in text
