"""Count the packages of `chat`, its top-level modules, the import arrows between them, and its cycles.

    uv run python -m benchmarks.structure

An arrow is a pair of packages or top-level modules of which one imports the other. Lines are those of tracked files.
"""

import subprocess
from collections import Counter
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
EXCLUDED = {"tests", "migrations"}


def unit(module: str) -> str | None:
    """Return the package or top-level module of `chat` that a module belongs to."""
    parts = module.split(".")
    return parts[1] if parts[0] == "chat" and len(parts) > 1 and not EXCLUDED & set(parts) else None


def arrows() -> Counter[tuple[str, str]]:
    """Return the number of imports per arrow."""
    graph = grimp.build_graph("chat", "config", "sessions_admin", exclude_type_checking_imports=True)
    counts: Counter[tuple[str, str]] = Counter()
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            pair = unit(importer), unit(imported)
            if pair[0] and pair[1] and pair[0] != pair[1]:
                counts[pair[0], pair[1]] += 1
    return counts


def cycles(edges: set[tuple[str, str]]) -> set[str]:
    """Return the packages that are part of a cycle."""
    remaining = set(edges)
    while ends := {a for a, _ in remaining} ^ {b for _, b in remaining}:
        remaining = {(a, b) for a, b in remaining if a not in ends and b not in ends}
    return {a for a, _ in remaining}


def lines(*patterns: str) -> int:
    """Return the number of lines of the tracked files that match git pathspecs."""
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return sum(len((ROOT / name).read_bytes().splitlines()) for name in listed.stdout.split("\n") if name)


def main() -> None:
    counts = arrows()
    packages = [path for path in (ROOT / "chat").iterdir() if (path / "__init__.py").exists() and path.name != "tests"]
    modules = [path for path in (ROOT / "chat").glob("*.py") if path.name != "__init__.py"]
    print(f"packages of chat: {len(packages)}, top-level modules: {len(modules)}")
    print(f"arrows: {len(counts)}, in cycles: {sorted(cycles(set(counts))) or 'none'}")
    product = lines("chat/*.py", "config/*.py", "sessions_admin/*.py", ":!*/tests/*", ":!*/migrations/*")
    offline = lines("chat/assistant/offline/*.py")
    print(f"lines: product {product - offline} and offline model {offline}; tests {lines('*/tests/*.py')}")
    print(f"       docs {lines('docs/*.md', 'README.md')}")


if __name__ == "__main__":
    main()
