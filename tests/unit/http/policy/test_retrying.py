"""Retries: which outcome is worth one, and how long the wait is."""

import asyncio
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sennit import errors
from sennit.errors import ConfigError
from sennit.http.policy.retrying import Retry, parse_retry_after

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT

PLAIN = Retry(attempts=10, backoff=1.0, jitter=False)


def wait(
    retry: Retry = PLAIN,
    attempt: int = 1,
    method: str = "GET",
    outcome: int | BaseException = 503,
    retry_after: str | None = None,
    random: float = 0.5,
) -> float | None:
    return retry.wait_before(attempt, method, outcome, retry_after, NOW, random)


@pytest.mark.parametrize(
    ("method", "outcome", "is_retried"),
    [
        ("GET", 503, True),
        ("GET", 429, True),
        ("HEAD", 502, True),
        ("PUT", 504, True),
        ("DELETE", 503, True),
        ("POST", 503, False),
        ("PATCH", 503, False),
        ("get", 503, False),
        ("GET", 500, False),
        ("GET", 200, False),
        ("GET", 404, False),
        ("GET", errors.ConnectError(), True),
        ("POST", errors.ConnectError(), True),
        ("GET", errors.ConnectionLostError(), True),
        ("GET", errors.IncompleteReadError(b"", 1), True),
        ("POST", errors.ConnectionLostError(), False),
        ("GET", errors.DeadlineError(), False),
        ("GET", errors.RemoteProtocolError("x"), False),
        ("GET", errors.CertificateError("x"), False),
        ("GET", errors.OverloadedError(), False),
        ("GET", errors.ClosedError(), False),
        ("GET", asyncio.CancelledError(), False),
        ("GET", ConnectionResetError(), False),
    ],
)
def test_what_is_worth_another_try(
    method: str, outcome: int | BaseException, is_retried: bool
) -> None:
    assert (wait(method=method, outcome=outcome) is not None) == is_retried


def test_statuses_and_methods_are_the_programs_choice() -> None:
    retry = Retry(statuses={500}, methods={"POST"})
    assert wait(retry, method="POST", outcome=500) is not None
    assert wait(retry, method="POST", outcome=503) is None
    assert wait(retry, method="GET", outcome=500) is None


def test_waits_double_up_to_the_longest() -> None:
    retry = Retry(attempts=8, backoff=1.0, max_wait=30.0, jitter=False)
    waits = [wait(retry, attempt) for attempt in range(1, 9)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, None]


def test_a_single_attempt_is_never_repeated() -> None:
    assert wait(Retry(attempts=1)) is None


@pytest.mark.parametrize(("random", "seconds"), [(0.0, 0.0), (0.5, 2.0), (1.0, 4.0)])
def test_chance_shortens_a_wait(random: float, seconds: float) -> None:
    assert wait(Retry(attempts=10, backoff=1.0), attempt=3, random=random) == seconds


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("0", 1.0),
        ("1", 1.0),
        ("20", 20.0),
        (" 20 ", 20.0),
        ("30", 30.0),
        ("31", None),
        ("9" * 400, None),
        ("9" * 5000, None),
        ("Fri, 15 Jan 2027 08:00:20 GMT", 20.0),
        ("Friday, 15-Jan-27 08:00:20 GMT", 20.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 1.0),
        ("Fri, 15 Jan 2027 09:00:00 GMT", None),
        ("-5", 1.0),
        ("2.5", 1.0),
        ("\xb2", 1.0),
        ("soon", 1.0),
        ("", 1.0),
    ],
)
def test_the_server_says_when(retry_after: str, seconds: float | None) -> None:
    assert wait(retry_after=retry_after) == seconds


def test_chance_does_not_shorten_what_the_server_says() -> None:
    assert wait(Retry(backoff=1.0), retry_after="5", random=0.0) == 5.0


@settings(deadline=None)
@given(
    st.integers(1, 10_000),
    st.floats(0, 1e300),
    st.floats(0, 1e300),
    st.floats(0, 1),
    st.none() | st.text(),
)
def test_no_wait_is_longer_than_the_longest(
    attempt: int, backoff: float, max_wait: float, random: float, retry_after: str | None
) -> None:
    retry = Retry(10_001, backoff, max_wait)
    seconds = wait(retry, attempt, random=random, retry_after=retry_after)
    assert seconds is None or 0 <= seconds <= max_wait


def test_an_endless_number_is_no_crash() -> None:
    assert parse_retry_after("9" * 5000, NOW) == math.inf


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"attempts": 0}, "attempts is 0"),
        ({"backoff": -1}, "backoff is -1"),
        ({"backoff": math.nan}, "backoff is nan"),
        ({"max_wait": math.inf}, "max_wait is inf"),
        ({"statuses": (200,)}, "status 200"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, float], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Retry(**settings)  # type: ignore[arg-type]
