"""What an errback is given."""

import pickle

import pytest

from sennit import Failure, fail
from sennit.errors import FirstError


def caught(message="no"):
    try:
        raise ValueError(message)
    except ValueError as error:
        return Failure(error)


def test_what_it_knows():
    failure = caught()
    assert failure.type is ValueError
    assert str(failure.value) == "no"
    assert failure.traceback.tb_frame.f_code.co_name == "caught"
    assert Failure(ValueError()).traceback is None


def test_without_an_exception_it_is_the_one_being_handled():
    try:
        raise ValueError("no")
    except ValueError:
        failure = Failure()
    assert failure.brief() == "ValueError: no"
    with pytest.raises(TypeError, match="except block"):
        Failure()
    with pytest.raises(TypeError, match="takes an exception, not 3"):
        Failure(3)


def test_check_and_trap():
    failure = caught()
    assert failure.check(OSError, ValueError) is ValueError
    assert failure.check(Exception) is Exception
    assert failure.check(OSError) is None
    assert failure.trap(ValueError) is ValueError
    with pytest.raises(ValueError, match="no"):
        failure.trap(OSError)


def test_raise_exception_keeps_the_traceback_it_came_with():
    failure, lengths = caught(), []
    for _ in range(3):
        with pytest.raises(ValueError, match="no") as raised:
            failure.raise_exception()
        lengths.append(len(raised.traceback))
    assert raised.value is failure.value
    assert lengths == [lengths[0]] * 3


def test_brief_and_full_text():
    failure = caught()
    assert failure.brief() == str(failure) == "ValueError: no"
    assert repr(failure) == "<sennit.Failure ValueError: no>"
    assert failure.full().startswith("Traceback (most recent call last):")
    assert "in caught" in failure.full()
    assert failure.full().endswith("ValueError: no\n")


def test_it_travels_without_its_traceback():
    failure = pickle.loads(pickle.dumps(caught()))
    assert failure.brief() == "ValueError: no"
    error = pickle.loads(pickle.dumps(FirstError(caught(), 3)))
    assert (error.index, error.failure.brief()) == (3, "ValueError: no")


def test_an_exception_whose_text_cannot_be_had():
    class FaultError(Exception):
        def __str__(self):
            raise ValueError("no")

    deferred = fail(FaultError()).add_errback(lambda failure: failure)
    assert "exception str() failed" in repr(deferred)
    deferred.add_errback(lambda _: None)
