"""What a machine allows, computed from numbers that are given."""

from dataclasses import replace

import pytest

from sennit.lab.allowance import (
    AllowanceError,
    Limits,
    allowed_processes,
    allowed_threads,
    check_requests,
    read_limits,
    read_ports,
)

PLENTY = Limits(
    user_tasks=None,
    pid_max=4_000_000,
    threads_max=4_000_000,
    group_tasks=None,
    maps=100_000_000,
    memory_bytes=10**15,
)


def test_too_few_descriptors_name_both_numbers_and_the_way_out() -> None:
    with pytest.raises(AllowanceError) as caught:
        check_requests(50_000, 20_000, 60_000)
    assert str(caught.value) == (
        "50,000 requests at once need 50,064 file descriptors, this process may open 20,000: "
        "ask for at most 19,936 (--requests 19936) or raise the hard limit (ulimit -Hn)"
    )


def test_as_many_as_descriptors_allow_are_allowed() -> None:
    check_requests(19_936, 20_000, 28_000)
    with pytest.raises(AllowanceError):
        check_requests(19_937, 20_000, 28_000)


def test_hardly_any_descriptors_do_not_make_a_negative_number() -> None:
    with pytest.raises(AllowanceError, match="at most 0 "):
        check_requests(1, 10, 28_000)


def test_too_few_ports_name_both_numbers_and_the_way_out() -> None:
    with pytest.raises(AllowanceError, match=r"30,000 .* 28,232: .*ip_local_port_range"):
        check_requests(30_000, 1_000_000, 28_232)


@pytest.mark.parametrize(
    ("limits", "processes"),
    [
        (replace(PLENTY, user_tasks=4_000), 1_000),
        (replace(PLENTY, pid_max=32_768), 8_192),
        (replace(PLENTY, threads_max=8_000), 2_000),
        (replace(PLENTY, group_tasks=400), 100),
        (replace(PLENTY, group_tasks=2), 1),
        # A quarter of 8 GB holds so many of 3 MB each, with the kernel's share.
        (replace(PLENTY, memory_bytes=8_000_000_000), 8_000_000_000 // (3_000_000 + 262_144) // 4),
    ],
)
def test_processes_take_a_quarter_of_the_tightest_limit(limits: Limits, processes: int) -> None:
    assert allowed_processes(limits, 3_000_000) == processes


@pytest.mark.parametrize(
    ("limits", "threads"),
    [
        (replace(PLENTY, pid_max=32_768), 24_576),
        (replace(PLENTY, maps=65_530), 24_573),
        (replace(PLENTY, group_tasks=1_000), 750),
        (replace(PLENTY, memory_bytes=1), 3_000_000),
    ],
)
def test_threads_take_three_quarters_and_no_memory(limits: Limits, threads: int) -> None:
    assert allowed_threads(limits) == threads


def test_the_limits_of_this_machine_can_be_read() -> None:
    limits = read_limits()
    assert limits.memory_bytes is not None
    assert limits.memory_bytes > 0
    assert allowed_processes(limits, 1_000_000) >= 1
    assert allowed_threads(limits) >= 1
    assert read_ports() > 0
