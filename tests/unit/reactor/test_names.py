"""Names and addresses: numbers need no look-up, names do not block the loop."""

import socket
import threading

import pytest


def test_a_numeric_address_needs_no_thread(reactor):
    found = reactor.run_until_complete(
        reactor.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    )
    assert found == socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    assert not any(thread.name.startswith("sennit") for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("host", "port", "family", "kind", "proto"),
    [
        ("::1", 80, 0, socket.SOCK_STREAM, 0),
        ("::1", 80, socket.AF_INET6, socket.SOCK_DGRAM, 0),
        ("127.0.0.1", 0, socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP),
        ("127.0.0.1", "80", 0, socket.SOCK_STREAM, 0),
        ("127.0.0.1", None, 0, socket.SOCK_STREAM, 0),
        ("127.0.0.1", 80, 0, 0, 0),
        (None, 80, socket.AF_INET, socket.SOCK_STREAM, 0),
        ("localhost", 80, socket.AF_INET, socket.SOCK_STREAM, 0),
    ],
)
def test_the_answer_is_the_systems(reactor, host, port, family, kind, proto):
    found = reactor.run_until_complete(
        reactor.getaddrinfo(host, port, family=family, type=kind, proto=proto)
    )
    assert found == socket.getaddrinfo(host, port, family, kind, proto)
    reactor.run_until_complete(reactor.shutdown_default_executor())


def test_a_look_up_happens_in_another_thread(reactor, monkeypatch):
    threads = []

    def look_up(*_args):
        threads.append(threading.current_thread().name)
        return [(2, 1, 6, "", ("192.0.2.1", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    found = reactor.run_until_complete(reactor.getaddrinfo("example.invalid", 80))
    assert found[0][4] == ("192.0.2.1", 80)
    assert threads[0].startswith("sennit")
    reactor.run_until_complete(reactor.shutdown_default_executor())


def test_a_failed_look_up_comes_out(reactor, monkeypatch):
    def look_up(*_args):
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(socket.gaierror, match="no such name"):
        reactor.run_until_complete(reactor.create_connection(object, "example.invalid", 80))
    reactor.run_until_complete(reactor.shutdown_default_executor())


def test_no_address_at_all_is_an_error(reactor, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args: [])
    with pytest.raises(OSError, match="returned no addresses"):
        reactor.run_until_complete(reactor.create_connection(object, "example.invalid", 80))
    reactor.run_until_complete(reactor.shutdown_default_executor())


def test_the_name_of_an_address(reactor):
    flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    found = reactor.run_until_complete(reactor.getnameinfo(("127.0.0.1", 80), flags))
    assert found == ("127.0.0.1", "80")
    reactor.run_until_complete(reactor.shutdown_default_executor())


def test_a_resolver_of_ones_own_looks_names_up(reactor):
    asked = []

    async def resolver(host, family):
        asked.append((host, family))
        return ["::1", "127.0.0.9"] if family == socket.AF_UNSPEC else ["127.0.0.9"]

    reactor.set_resolver(resolver)

    async def main():
        found = await reactor.getaddrinfo("db.example", 80, type=socket.SOCK_STREAM)
        assert [info[4][0] for info in found] == ["::1", "127.0.0.9"]
        found = await reactor.getaddrinfo(
            "db.example", 80, family=socket.AF_INET, type=socket.SOCK_STREAM
        )
        assert [info[:3] for info in found] == [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        ]
        # Numbers need no look-up, and nobody is asked for them.
        await reactor.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)

    reactor.run_until_complete(main())
    assert asked == [("db.example", socket.AF_UNSPEC), ("db.example", socket.AF_INET)]


def test_a_resolver_that_finds_nothing_is_an_error_of_its_kind(reactor):
    async def resolver(_host, _family):
        return []

    reactor.set_resolver(resolver)
    with pytest.raises(socket.gaierror, match=r"no address for 'db\.example'"):
        reactor.run_until_complete(reactor.getaddrinfo("db.example", 80))


@pytest.mark.parametrize("family", [socket.AF_UNSPEC, socket.AF_INET])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (["db2.example"], r"'db2\.example': no address"),
        ([b"127.0.0.1"], "no address"),
        ("127.0.0.1", "must be a list of addresses"),
        (None, "must be a list of addresses"),
    ],
)
def test_a_resolver_that_gives_no_address_is_told(reactor, answer, reason, family):
    async def resolver(_host, _family):
        return answer

    reactor.set_resolver(resolver)
    with pytest.raises(socket.gaierror, match=reason):
        reactor.run_until_complete(reactor.getaddrinfo("db.example", 80, family=family))


def test_without_a_resolver_the_system_is_asked_again(reactor):
    async def resolver(_host, _family):
        raise AssertionError("nobody was to ask")

    reactor.set_resolver(resolver)
    reactor.set_resolver(None)
    found = reactor.run_until_complete(reactor.getaddrinfo("localhost", 80))
    assert found
    reactor.run_until_complete(reactor.shutdown_default_executor())
