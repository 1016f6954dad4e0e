"""The tree is fit for any machine: no private paths or hosts, a reason for each dependency."""

import re
import tomllib
from pathlib import Path

# Put together here, so that this file does not hold what it looks for.
SOMEBODYS_FOLDER = re.compile(r"(?<![\w./~-])/(?:work|root|home)/[\w.-]")
REGISTRY_HOST = re.compile(
    r"\b(?:"
    + "|".join(("py" + r"pi\.org", "python" + "hosted", r"crates\." + "io", "npm" + "js"))
    + ")"
)
# The format of these files names the registry.
GENERATED = {Path("Cargo.lock"), Path("fuzz/Cargo.lock")}


def mentions(root: Path, files: list[Path], pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in files:
        if path in GENERATED:
            continue
        text = (root / path).read_bytes().decode("utf-8", "ignore")
        found += [f"{path}: {match[0]}" for match in pattern.finditer(text)]
    return found


def test_no_path_of_one_machine_is_in_the_tree(root: Path, files: list[Path]) -> None:
    assert mentions(root, files, SOMEBODYS_FOLDER) == []


def test_no_registry_host_is_in_the_tree(root: Path, files: list[Path]) -> None:
    assert mentions(root, files, REGISTRY_HOST) == []


def test_every_dependency_has_its_reason(root: Path) -> None:
    cargo = [
        tomllib.loads(path.read_text())
        for path in (root / "Cargo.toml", *sorted(root.glob("crates/*/Cargo.toml")))
    ]
    python = tomllib.loads((root / "pyproject.toml").read_text())
    wanted = set(cargo[0]["workspace"]["dependencies"])
    for manifest in cargo[1:]:
        wanted |= set(manifest.get("dependencies", {})) | set(manifest.get("dev-dependencies", {}))
    for line in (
        *python["build-system"]["requires"],
        *python["project"]["dependencies"],
        *python["project"]["optional-dependencies"]["lab"],
        *python["dependency-groups"]["dev"],
    ):
        wanted.add(re.split(r"[<>=\[]", line)[0])
    page = (root / "docs" / "decisions" / "0002-dependencies.md").read_text()
    named = {
        name
        for cell in re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE)
        for name in cell.split(", ")
    }
    assert {name for name in wanted if not name.startswith("sennit-")} - named == set()
