"""URLs and options: what they mean, and what is said of those that mean nothing."""

import pytest

from sennit import net
from sennit.errors import ConfigError
from sennit.net.options import ConnectOptions, ListenOptions, merge
from sennit.net.url import endpoint_url, parse_endpoint


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("tcp://127.0.0.1:8000", ("tcp", "127.0.0.1", 8000, "", {})),
        ("tcp://LOCALHOST:8000/", ("tcp", "localhost", 8000, "", {})),
        ("tls://[::1]:0?alpn=a,b&key=k", ("tls", "::1", 0, "", {"alpn": "a,b", "key": "k"})),
        ("udp://*:53", ("udp", None, 53, "", {})),
        ("unix:///run/a%20b.sock", ("unix", None, 0, "/run/a b.sock", {})),
        ("unix:@name?backlog=1", ("unix", None, 0, "\0name", {"backlog": "1"})),
    ],
)
def test_urls(url, parts):
    assert tuple(parse_endpoint(url)) == parts


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("127.0.0.1:80", "is no endpoint; there are tcp://"),
        ("http://h:80", "is no endpoint"),
        ("", "is no endpoint"),
        ("tcp://h:80#part", "has a fragment"),
        ("tcp://h:80?backlog=1&backlog=2", "names an option twice"),
        ("tcp://h:80?backlog", "bad query field"),
        ("tcp://h:80/path", "has a path; write tcp://HOST:PORT"),
        ("tcp://user@h:80", "has a user name"),
        ("tcp://:80", "names no host"),
        ("tcp://h", "names no port"),
        ("tcp://h:", "names no port"),
        ("tcp://h:65536", "out of range"),
        ("tcp://h:http", "could not be cast"),
        ("tcp://[::1:80", "Invalid IPv6"),
        ("unix://host/path", "names a host"),
        ("unix:", "names no file"),
        ("unix:/", "names no file"),
        ("unix:@", "names no file"),
        ("unix:///a%00b", "names no file"),
    ],
)
def test_urls_that_mean_nothing(url, reason):
    with pytest.raises(ConfigError, match=reason) as raised:
        parse_endpoint(url)
    assert repr(url) in str(raised.value)


def test_an_endless_url_is_shown_in_part():
    with pytest.raises(ConfigError) as raised:
        parse_endpoint("x" * 100_000)
    assert len(str(raised.value)) < 3_000


@pytest.mark.parametrize(
    ("scheme", "address", "url"),
    [
        ("tcp", ("127.0.0.1", 80), "tcp://127.0.0.1:80"),
        ("tls", ("::1", 80, 0, 0), "tls://[::1]:80"),
        ("unix", "/run/a.sock", "unix:///run/a.sock"),
        ("unix", "/run/a?b#c d%20", "unix:///run/a%3Fb%23c%20d%2520"),
        ("unix", b"/run/\xff", "unix:///run/%FF"),
        ("unix", "\0a?b", "unix:@a%3Fb"),
        ("unix", b"\0name", "unix:@name"),
        ("unix", "", "unix:"),
    ],
)
def test_urls_of_addresses(scheme, address, url):
    assert endpoint_url(scheme, address) == url


@pytest.mark.parametrize("path", ["/a?b", "/a#b", "/a b%3F", "\0a?b:80", "/\udcff"])
def test_urls_of_unix_sockets_lead_back(path):
    assert parse_endpoint(endpoint_url("unix", path)).path == path


def test_a_keyword_counts_for_one_of_several_urls_at_least(on_reactor, tmp_path):
    async def test():
        urls = ("tcp://127.0.0.1:0", f"unix://{tmp_path}/a?b.sock".replace("?", "%3F"))
        settings = {"keep_alive": True, "max_connections_per_address": 3, "max_connections": 9}
        async with await net.listen(net.Protocol, *urls, **settings) as server:
            assert server._limits == (9, 3)
            assert server.urls[1] == urls[1]

    on_reactor(test)


def test_options_in_the_query_and_as_keywords():
    query = {"keep_alive": "yes", "reuse_port": "off", "alpn": "h2,,http/1.1", "backlog": "7"}
    table = merge(ListenOptions, "url", query, {"max_connections": None, "handshake_timeout": 3})
    assert (table.keep_alive, table.reuse_port, table.backlog) == (True, False, 7)
    assert table.alpn == ("h2", "http/1.1")
    assert (table.max_connections, table.handshake_timeout) == (None, 3)
    assert merge(ListenOptions, "url", {}, {}).max_connections_per_address == 256
    assert merge(ConnectOptions, "url", {"connect_timeout": "2.5"}, {}).connect_timeout == 2.5
    assert merge(ConnectOptions, "url", {}, {"alpn": ["h2"]}).alpn == ("h2",)


@pytest.mark.parametrize(
    ("query", "given", "reason"),
    [
        ({"nothing": "1"}, {}, "'nothing' is no option here; there are: alpn, backlog"),
        ({}, {"nothing": 1}, "'nothing' is no option here"),
        ({"backlog": "1"}, {"backlog": 1}, "backlog is said in the URL and as a keyword"),
        ({"backlog": "many"}, {}, "backlog is 'many', it must be a whole number of at least 1"),
        ({"backlog": "0"}, {}, "backlog is 0, it must be a whole number of at least 1"),
        ({}, {"backlog": True}, "backlog is True"),
        ({}, {"backlog": 1.5}, "backlog is 1.5"),
        ({"handshake_timeout": "soon"}, {}, "it must be a number of seconds above 0"),
        ({"handshake_timeout": "0"}, {}, "handshake_timeout is 0.0"),
        ({"handshake_timeout": "nan"}, {}, "handshake_timeout is nan"),
        ({"handshake_timeout": "inf"}, {}, "handshake_timeout is inf"),
        ({"keep_alive": "perhaps"}, {}, "keep_alive is 'perhaps', it must be yes or no"),
        ({}, {"keep_alive": "yes"}, "keep_alive is 'yes', it must be yes or no"),
        ({"tls": "x"}, {}, "tls is a net.ServerTls; give it as a keyword"),
        ({}, {"alpn": "h2"}, "alpn is 'h2', it must be text, several separated by commas"),
        ({}, {"alpn": [1]}, "alpn is .1."),
    ],
)
def test_options_that_mean_nothing(query, given, reason):
    with pytest.raises(ConfigError, match=reason):
        merge(ListenOptions, "tcp://h:1", query, given)


@pytest.mark.parametrize(
    ("url", "given", "reason"),
    [
        (
            "tcp://127.0.0.1:0",
            {"certificate": "c"},
            "certificate means nothing here, .* for tls://$",
        ),
        ("tcp://127.0.0.1:0", {"handshake_timeout": 1}, "handshake_timeout means nothing here"),
        (
            "tls://127.0.0.1:0",
            {"tls": 1, "handshake_timeout": 1},
            "handshake_timeout belong into it",
        ),
        ("tls://127.0.0.1:0", {"tls": 1, "tickets": False}, "tickets belong into it"),
        ("unix:///x", {"keep_alive": True}, "it counts for tcp://, tls://$"),
        ("unix:///x?reuse_port=yes", {}, "it counts for tcp://, tls://$"),
        ("unix:///x", {"max_connections_per_address": 1}, "it counts for tcp://, tls://$"),
        ("udp://127.0.0.1:0", {"max_queued": 1}, "it counts for net.bind, net.connect$"),
        ("udp://127.0.0.1:0", {"local_address": "h:1"}, "it counts for net.connect$"),
        ("tls://127.0.0.1:0", {"certificate": 5}, "certificate is 5, it must be a file's path"),
        ("tls://127.0.0.1:0", {"certificate": "c", "versions": "1.3"}, "separated by commas"),
        ("tls://127.0.0.1:0", {}, "needs a certificate"),
        ("tls://127.0.0.1:0", {"tls": object()}, "it must be a net.ServerTls"),
        ("tls://127.0.0.1:0", {"tls": 1, "key": "k"}, "key belong into it"),
        ("tls://127.0.0.1:0", {"certificate": "/nowhere"}, "'/nowhere' cannot be read"),
        ("tls://127.0.0.1:0", {"certificate": "c", "client_ca": "c"}, "go together"),
    ],
)
def test_tls_where_it_means_nothing(on_reactor, url, given, reason):
    async def test():
        with pytest.raises(ConfigError, match=reason):
            await net.listen(net.Protocol, url, **given)

    on_reactor(test)


@pytest.mark.parametrize(
    ("url", "given", "reason"),
    [
        ("tcp://h:1", {"ca": "c"}, "ca means nothing here, it counts for tls://$"),
        ("tcp://h:1", {"server_name": "h"}, "it counts for tls://, unix://$"),
        ("unix:///x", {"server_name": "h"}, "tls and server_name go together"),
        ("unix:///x", {"local_address": "h"}, "it counts for tcp://, tls://$"),
        ("unix:///x", {"attempt_delay": 1}, "it counts for tcp://, tls://$"),
        ("tls://h:1", {"tls": object(), "handshake_timeout": 1}, "belong into it"),
        ("tls://h:1", {"tls": object(), "verify": False}, "belong into it"),
        ("tcp://h:1", {"local_address": 5}, "local_address is 5, it must be text"),
        ("tls://h:1", {"tls": object()}, "it must be a net.ClientTls"),
        ("tls://h:1", {"tls": object(), "ca": "c"}, "belong into it"),
        ("tls://h:1", {"key": "k"}, "no certificate that it is for"),
        ("tls://h:1", {"ca": "/nowhere"}, "ca '/nowhere' cannot be read"),
        ("unix:///x", {"tls": net.ClientTls(verify=False)}, "go together"),
        ("tcp://*:1", {}, "says not where to connect to"),
        ("tcp://h:0", {}, "says not where to connect to"),
        ("tcp://h:1", {"local_address": "h:port"}, "it must be HOST or HOST:PORT"),
        ("tcp://h:1", {"connect_timeout": 0}, "connect_timeout is 0"),
    ],
)
def test_connecting_where_it_means_nothing(on_reactor, url, given, reason):
    async def test():
        with pytest.raises(ConfigError, match=reason):
            await net.connect(url, net.Protocol, **given)

    on_reactor(test)


def test_what_makes_no_protocols(on_reactor):
    async def test():
        with pytest.raises(ConfigError, match="makes no protocols"):
            await net.listen(17, "tcp://127.0.0.1:0")
        with pytest.raises(ConfigError, match="at least one URL"):
            await net.listen(net.Protocol)
        with pytest.raises(ConfigError, match="17 is no Protocol, and makes none"):
            await net.connect("tcp://127.0.0.1:1", 17)
        with pytest.raises(ConfigError, match="needs a protocol class"):
            net.Factory()

    on_reactor(test)
