"""Count byte strings in files, free pages and logs of SQLite included.

The files are read by a process of its own: a process that closes a SQLite file lets go of all its locks on it.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

CHUNK = 1 << 20  # bytes
SECONDS = 300


def count_in_files(paths: Iterable[Path], terms: Sequence[str], *, seconds: float = SECONDS) -> dict[Path, list[int]]:
    """Return for each existing file how often it contains each term, in any letter case of ASCII.

    Raise OSError where a file cannot be read, or not within the time.
    """
    there = [path for path in paths if path.exists()]
    if not there or not terms:
        return {path: [0] * len(terms) for path in there}
    # The terms name a person: they are not given in the command line, which other users of the machine can read.
    task = json.dumps({"paths": [str(path) for path in there], "terms": terms})
    command = [sys.executable, "-I", "-S", __file__]
    try:
        done = subprocess.run(command, input=task, capture_output=True, text=True, timeout=seconds, check=True)
    except subprocess.SubprocessError as error:
        raise OSError(f"The bytes of the session file cannot be searched ({type(error).__name__}).") from None
    return dict(zip(there, json.loads(done.stdout), strict=True))


def count_in_file(path: str, terms: Sequence[bytes], chunk: int = CHUNK) -> list[int]:
    """Count terms of lower case in one file, a chunk at a time; one that lies across two chunks is counted once."""
    counts = [0] * len(terms)
    overlap = max(map(len, terms)) - 1
    kept = b""
    with open(path, "rb") as file:
        while read := file.read(chunk):
            buffer = kept + read.lower()
            kept = buffer[-overlap:] if overlap else b""
            for index, term in enumerate(terms):
                # What lies in the part that was kept as a whole was counted with the chunk before.
                counts[index] += buffer.count(term) - kept.count(term)
            # The kept part is counted with the next chunk, so that what lies across is found.
        for index, term in enumerate(terms):
            counts[index] += kept.count(term)
    return counts


def _main() -> None:
    task = json.load(sys.stdin)
    terms = [term.lower().encode() for term in task["terms"]]
    json.dump([count_in_file(path, terms) for path in task["paths"]], sys.stdout)


if __name__ == "__main__":
    _main()
