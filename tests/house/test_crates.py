"""The crates keep to their rooms: unsafe code, what each may touch, and the reasons for it."""

import tomllib
from pathlib import Path

import pytest

CRATES = ("sennit-wire", "sennit-engine", "sennit-driver", "sennit-python")
UNSAFE_CRATES = {"sennit-engine", "sennit-python"}
# What a peer sends passes through these: they may not panic on it.
PEER_FACING = {"sennit-wire", "sennit-driver"}
PANICS = ("clippy::unwrap_used", "clippy::expect_used", "clippy::indexing_slicing")


def read_toml(path: Path) -> dict:
    return tomllib.loads(path.read_text())


def allows(path: Path, lint: str) -> bool:
    text = path.read_text()
    return any(f"{verb}({lint}" in text for verb in ("allow", "expect"))


def test_these_are_all_the_crates(root: Path) -> None:
    assert {path.name for path in (root / "crates").iterdir() if path.is_dir()} == set(CRATES)


@pytest.mark.parametrize("crate", CRATES)
def test_each_crate_takes_the_lints_of_the_house(root: Path, crate: str) -> None:
    assert read_toml(root / "crates" / crate / "Cargo.toml")["lints"] == {"workspace": True}


@pytest.mark.parametrize("crate", sorted(set(CRATES) - UNSAFE_CRATES))
def test_unsafe_code_is_forbidden_elsewhere(root: Path, crate: str) -> None:
    assert "#![forbid(unsafe_code)]" in (root / "crates" / crate / "src" / "lib.rs").read_text()


def test_every_unsafe_block_must_say_why(root: Path) -> None:
    lint = "clippy::undocumented_unsafe_blocks"
    lints = read_toml(root / "Cargo.toml")["workspace"]["lints"]["clippy"]
    assert lints["undocumented_unsafe_blocks"] == "deny"
    assert not [path for path in (root / "crates").rglob("*.rs") if allows(path, lint)]


@pytest.mark.parametrize("crate", sorted(PEER_FACING))
def test_what_a_peer_sends_cannot_panic(root: Path, crate: str) -> None:
    text = (root / "crates" / crate / "src" / "lib.rs").read_text()
    assert [lint for lint in PANICS if lint not in text] == []


@pytest.mark.parametrize("crate", CRATES)
def test_each_crate_bans_what_it_must_not_touch(root: Path, crate: str) -> None:
    bans = read_toml(root / "crates" / crate / "clippy.toml")
    types = {ban["path"] for ban in bans["disallowed-types"]}
    methods = {ban["path"] for ban in bans["disallowed-methods"]}
    assert types >= {"std::net::TcpStream", "std::fs::File"}
    assert methods >= {"std::time::Instant::now", "std::thread::sleep"}
    assert all(ban["reason"] for ban in bans["disallowed-types"] + bans["disallowed-methods"])
