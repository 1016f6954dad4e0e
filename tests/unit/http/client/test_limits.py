"""The table of a client's limits is what a client does."""

import inspect
from typing import Any

import pytest

import sennit
from sennit import errors, http
from sennit.http.client.limits import CLIENT_LIMITS


def test_every_limit_is_a_keyword_with_the_default_of_the_table() -> None:
    parameters = inspect.signature(http.Client.__init__).parameters
    assert {limit.name: limit.default for limit in CLIENT_LIMITS} == {
        limit.name: parameters[limit.name].default for limit in CLIENT_LIMITS
    }
    named = {name for name in parameters if name.startswith("max_") or name.endswith("_timeout")}
    assert named == {limit.name for limit in CLIENT_LIMITS}


@pytest.mark.parametrize("name", [limit.name for limit in CLIENT_LIMITS])
@pytest.mark.parametrize("value", [0, -1, "1", float("nan")])
def test_a_limit_that_makes_no_sense_is_refused(name: str, value: Any) -> None:
    async def main() -> None:
        with pytest.raises(errors.ConfigError, match=f"{name} is "):
            http.Client(**{name: value})

    sennit.run(main())
