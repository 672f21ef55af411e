"""Count byte strings in files, including free pages and logs of SQLite.

The files are read in a separate process: a process that closes a SQLite file releases all its locks on it.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

CHUNK = 1 << 20  # bytes
SECONDS = 300


def count_in_files(paths: Iterable[Path], terms: Sequence[str], *, seconds: float = SECONDS) -> dict[Path, list[int]]:
    """Return for each existing file how often it contains each term, ignoring the case of ASCII letters.

    Raise OSError if a file cannot be read, or not in time.
    """
    there = [path for path in paths if path.exists()]
    if not there or not terms:
        return {path: [0] * len(terms) for path in there}
    # The terms identify a user: they are not in the command line, which other users of the machine can read.
    task = json.dumps({"paths": [str(path) for path in there], "terms": terms})
    command = [sys.executable, "-I", "-S", __file__]
    try:
        done = subprocess.run(command, input=task, capture_output=True, text=True, timeout=seconds, check=True)
    except subprocess.SubprocessError as error:
        raise OSError(f"The bytes of the session file cannot be searched ({type(error).__name__}).") from None
    return dict(zip(there, json.loads(done.stdout), strict=True))


def count_in_file(path: str, terms: Sequence[bytes], chunk: int = CHUNK) -> list[int]:
    """Count lower-case terms in one file, in chunks; a term across two chunks is counted once."""
    counts = [0] * len(terms)
    overlap = max(map(len, terms)) - 1
    kept = b""
    with open(path, "rb") as file:
        while read := file.read(chunk):
            buffer = kept + read.lower()
            kept = buffer[-overlap:] if overlap else b""
            for index, term in enumerate(terms):
                # A term that is completely in the kept part was counted with the chunk before.
                counts[index] += buffer.count(term) - kept.count(term)
            # The kept part is counted with the next chunk, to find terms across both.
        for index, term in enumerate(terms):
            counts[index] += kept.count(term)
    return counts


def _main() -> None:
    task = json.load(sys.stdin)
    terms = [term.lower().encode() for term in task["terms"]]
    json.dump([count_in_file(path, terms) for path in task["paths"]], sys.stdout)


if __name__ == "__main__":
    _main()
