"""`make bench-check`: counts the instructions of a tick's critical parts, and compares them with the recorded counts.

Instructions, because time says little on a busy machine. Valgrind counts those of the development build: a part is done
once and then several times, and the difference is the part alone. The sources are real servers with a sample that is
always the same; their own instructions are not counted.
"""

import argparse
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from shutil import which
from urllib.parse import quote

from infra.country_file import CountryFile
from infra.local import cli
from infra.local.commands.up import up
from infra.local.config import ROOT, Stack
from infra.local.console import say, table
from infra.local.errors import StackError
from infra.local.sample.load import load
from infra.local.servers.packages import install

RECORDED = ROOT / "tests/bench/instructions.json"
PROGRAM = ROOT / "target/debug/critical"
PARTS = {
    "judge": "judging 10,000 stores",
    "write": "making and writing their file",
    "snapshot": "writing and reading their snapshot",
    "schedules": "reading the schedules of 10,000 stores",
    "live_view": "reading the live view of 10,000 stores",
}
# More than this above the recorded count fails. Answers that come in other pieces change the counts of reading by less.
ALLOWED = 0.10
_TIMES = 2
_PREFIX = "bench-check"
# Always the same sample.
_STORES, _SEED = 10_000, 1
_TODAY, _AT = date(2026, 11, 23), datetime(2026, 11, 23, 12, 16, tzinfo=UTC)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--record", action="store_true", help=f"write the counts into {RECORDED.relative_to(ROOT)}")


def main(args: argparse.Namespace) -> int:
    """Counts and compares; 1 if a count has grown too much."""
    if not PROGRAM.is_file():
        raise StackError(f"{PROGRAM} is missing: run `make build`")
    recorded = json.loads(RECORDED.read_text())
    if not args.record and (unknown := [PARTS[part] for part in PARTS if part not in recorded]):
        where = RECORDED.relative_to(ROOT)
        raise StackError(f"{where} has no count for {', '.join(unknown)}: record it with make bench-check RECORD=1")
    if not which("valgrind"):
        install("bench-check", ["valgrind"], "valgrind, which counts instructions, is missing")
    sources = _sources(up())
    with ThreadPoolExecutor(2) as pool:
        counts = dict(zip(PARTS, pool.map(lambda part: count(part, sources), PARTS), strict=True))
    if args.record:
        RECORDED.write_text(json.dumps(counts, indent=2) + "\n")
        say("bench-check", f"recorded in {RECORDED}")
        recorded = counts
    print(report(counts, recorded))
    problems = [
        f"{PARTS[part]} takes {counts[part] / recorded[part] - 1:+.0%} instructions, and {ALLOWED:+.0%} is allowed"
        for part in PARTS
        if counts[part] > (1 + ALLOWED) * recorded[part]
    ]
    if not problems and any(counts[part] < (1 - ALLOWED) * recorded[part] for part in PARTS):
        print("some of it is faster now: record that with make bench-check RECORD=1, so that it stays so")
    for problem in problems:
        print(f"make bench-check: {problem}", file=sys.stderr)
    if problems:
        print(
            "Find what has become slower: `git bisect run make build bench-check`, or valgrind --tool=callgrind on "
            f"{PROGRAM.relative_to(ROOT)}.\nIf it is worth its price, or comes with a new compiler, record the new "
            f"counts and commit them: make bench-check RECORD=1 writes {RECORDED.relative_to(ROOT)}.",
            file=sys.stderr,
        )
    return 1 if problems else 0


def report(counts: dict[str, int], recorded: dict[str, int]) -> str:
    """The counts beside the recorded ones."""
    rows = [
        [text, f"{counts[part]:,}", f"{recorded[part]:,}", f"{counts[part] / recorded[part] - 1:+.1%}"]
        for part, text in PARTS.items()
    ]
    return table(["instructions", "now", "recorded", "difference"], rows)


def count(part: str, sources: str) -> int:
    """The instructions of one part."""
    once, several = (_counted(part, times, sources) for times in (1, 1 + _TIMES))
    return (several - once) // _TIMES


def _counted(part: str, times: int, sources: str) -> int:
    """The instructions of a whole process."""
    valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command = [*valgrind, str(PROGRAM), part, str(times), sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if done.returncode or not found:
        raise StackError(f"`{PROGRAM.name} {part}` failed under valgrind:\n{done.stderr[-2000:]}")
    return int(found[1].replace(",", ""))


def _sources(stack: Stack) -> str:
    """The sample, loaded afresh, as the program wants it."""
    place = load(stack, count=_STORES, seed=_SEED, countries=["es"], prefix=_PREFIX, today=_TODAY, at=_AT)["es"]
    trust = f"sslmode=verify-full&sslrootcert={quote(stack.postgres.ca_file)}"
    return json.dumps(
        {
            "postgres": f"postgresql://localhost:{stack.postgres.port}/{place.database}?{trust}",
            "username": place.role,
            "password": place.password,
            "stores": CountryFile.load("es").content["schedule"]["stores"],
            "elasticsearch": stack.elasticsearch.url,
            "index": place.index,
        }
    )


if __name__ == "__main__":
    sys.exit(cli.run(__name__, "make bench-check", sys.argv[1:]))
