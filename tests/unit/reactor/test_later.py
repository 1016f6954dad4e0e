"""What a later version brings says its own name."""

import inspect
import ssl

import pytest

from sennit.reactor import later

METHODS = sorted(name for name in vars(later.Later) if not name.startswith("_"))


def test_these_are_all():
    assert METHODS == [
        "connect_read_pipe",
        "connect_write_pipe",
        "sendfile",
        "sock_accept",
        "sock_connect",
        "sock_recv",
        "sock_recv_into",
        "sock_recvfrom",
        "sock_recvfrom_into",
        "sock_sendall",
        "sock_sendfile",
        "sock_sendto",
        "subprocess_exec",
        "subprocess_shell",
    ]


@pytest.mark.parametrize("name", METHODS)
def test_each_method_names_itself(reactor, name):
    method = getattr(reactor, name)
    assert method.__name__ == name
    assert inspect.getdoc(method)
    with pytest.raises(NotImplementedError, match=rf"Reactor\.{name}\(\) comes with a later"):
        method(1, 2, key="word")


CONNECTING = {
    "create_connection": (object, "127.0.0.1", 1),
    "create_unix_connection": (object, "/nowhere"),
    "create_server": (object, "127.0.0.1", 0),
    "create_unix_server": (object, "/nowhere"),
    "connect_accepted_socket": (object, None),
}


@pytest.mark.parametrize("name", CONNECTING)
@pytest.mark.parametrize("tls", [True, ssl.create_default_context()])
def test_tls_names_the_method(reactor, name, tls):
    with pytest.raises(NotImplementedError, match=rf"Reactor\.{name}\(ssl="):
        reactor.run_until_complete(getattr(reactor, name)(*CONNECTING[name], ssl=tls))


@pytest.mark.parametrize("name", CONNECTING)
def test_tls_settings_need_tls(reactor, name):
    with pytest.raises(ValueError, match="only meaningful with ssl"):
        reactor.run_until_complete(
            getattr(reactor, name)(*CONNECTING[name], ssl_handshake_timeout=1)
        )
    with pytest.raises(TypeError, match="colour"):
        reactor.run_until_complete(getattr(reactor, name)(*CONNECTING[name], colour=1))
