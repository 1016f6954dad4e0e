"""Which of an origin's addresses gets a connection: silent ones keep nobody waiting (RFC 8305)."""

import asyncio
from typing import Any

import pytest
from tests.unit.net.test_connect import full_listener

import sennit
from sennit import errors, http
from sennit.http.client.origins import in_turns


def test_a_silent_address_gives_way_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        reactor = sennit.current_reactor()
        server = await http.listen(lambda _: "good", "http://127.0.0.1:0")
        listening, filling = full_listener()
        places = [listening.getsockname(), ("127.0.0.1", server.port)]

        async def both(*_: Any, **__: Any) -> list[Any]:
            return [(2, 1, 6, "", place) for place in places]

        monkeypatch.setattr(reactor, "getaddrinfo", both)
        async with http.Client(connect_timeout=0.05) as client:
            assert await (await client.get("http://two.example/")).text() == "good"
            del places[1]
            with pytest.raises(errors.DeadlineError, match="longer than connect_timeout"):
                await client.get("http://one.example/")
            assert client.statistics()["connect_timeouts"] == 1
        for sock in (listening, *filling):
            sock.close()
        await server.close(0)

    sennit.run(main())


SILENT, REFUSING, GOOD = "silent", "refusing", "good"


@pytest.mark.parametrize(
    "kinds",
    [
        (SILENT, GOOD),
        (SILENT, REFUSING, GOOD),
        (REFUSING, SILENT, GOOD),
        (SILENT, SILENT, REFUSING, GOOD),
    ],
    ids=" ".join,
)
def test_a_silent_address_keeps_the_next_one_not_waiting(
    kinds: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of one address is far longer than this test may take."""

    async def main() -> None:
        reactor = sennit.current_reactor()
        server = await http.listen(lambda _: "good", "http://127.0.0.1:0")
        listening, filling = full_listener()
        places = {
            SILENT: listening.getsockname(),
            REFUSING: ("127.0.0.1", 1),
            GOOD: ("127.0.0.1", server.port),
        }

        async def looked_up(*_: Any, **__: Any) -> list[Any]:
            # Each address once: the same one twice would be one.
            found = [places[kind] for kind in kinds]
            return [(2, 1, 6, "", (f"127.0.0.{i + 1}" if place[1] == 1 else place[0], place[1]))
                    for i, place in enumerate(found)]  # fmt: skip

        monkeypatch.setattr(reactor, "getaddrinfo", looked_up)
        settings = {"connect_timeout": 1000.0, "total_timeout": 1000.0}
        async with asyncio.timeout(30), http.Client(**settings) as client:
            calls = [client.get("http://two.example/") for _ in range(5)]
            for response in await asyncio.gather(*calls):
                assert await response.text() == "good"
            assert client.statistics()["connecting"] == 0
            assert client.statistics()["open"] == client.statistics()["connected"]
        for sock in (listening, *filling):
            sock.close()
        await server.close(0)

    sennit.run(main())


def test_addresses_that_are_all_silent_have_their_time_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        reactor = sennit.current_reactor()
        first, second = full_listener(), full_listener()

        async def both(*_: Any, **__: Any) -> list[Any]:
            return [(2, 1, 6, "", one[0].getsockname()) for one in (first, second)]

        monkeypatch.setattr(reactor, "getaddrinfo", both)
        async with asyncio.timeout(30), http.Client(connect_timeout=0.3) as client:
            with pytest.raises(errors.DeadlineError, match="longer than connect_timeout"):
                await client.get("http://two.example/")
            given_up = client.get("http://two.example/")
            while not client.statistics()["connecting"]:
                await asyncio.sleep(0)
            given_up.cancel()
            assert client.statistics()["open"] == 0
        for listening, filling in (first, second):
            for sock in (listening, *filling):
                sock.close()

    sennit.run(main())


@pytest.mark.parametrize(
    ("given", "tried"),
    [
        (["a:1", "b:2", "4.1", "4.2"], ["a:1", "4.1", "b:2", "4.2"]),
        (["4.1", "4.2", "4.3", "a:1"], ["4.1", "a:1", "4.2", "4.3"]),
        (["4.1"], ["4.1"]),
    ],
)
def test_families_take_turns(given: list[str], tried: list[str]) -> None:
    assert in_turns([(host, 80) for host in given]) == [(host, 80) for host in tried]
