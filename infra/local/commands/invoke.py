"""Runs one function with `cargo lambda watch` and `cargo lambda invoke`, against the running stack.

The watcher only serves the Lambda API. The binary comes from `cargo build --workspace`: a package that is built alone
gets its dependencies with other features, and most of them would compile a second time.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra import etl
from infra.local import slots
from infra.local.config import ROOT, VENV, Stack
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.prefix import add_prefix_argument
from infra.local.servers import ports
from infra.packaging import FUNCTIONS

_TIMEOUT_SECONDS = 30
_POLL_SECONDS = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options: which function, and which event."""
    add_prefix_argument(parser)
    parser.add_argument("function", choices=(*FUNCTIONS, *etl.FUNCTIONS))
    parser.add_argument("event", nargs="?", type=Path, help="default: each of functions/<function>/events/*.json")
    parser.add_argument("--country", default="es", help="country whose environment it gets (default: %(default)s)")
    parser.add_argument(
        "--binaries", type=Path, default=ROOT / "target/debug", metavar="DIR", help="default: target/debug"
    )


def main(args: argparse.Namespace) -> int:
    """Invokes the function once per event; 1 if it failed on one."""
    stack = Stack.load()
    binary = args.binaries / args.function
    if not binary.is_file():
        raise StackError(f"{binary} does not exist: run `cargo build --workspace` first")
    events = [args.event] if args.event else sorted((ROOT / "functions" / args.function / "events").glob("*.json"))
    if not events:
        raise StackError(f"functions/{args.function}/events has no sample event: name one, as in EVENT=file.json")
    name = f"{args.prefix}-dispatch" if args.function == "dispatch" else f"{args.prefix}-{args.country}-{args.function}"
    environment = _deployed_environment(stack, name)
    port = _free_port()
    say(
        "invoke",
        f"{binary.relative_to(ROOT) if binary.is_relative_to(ROOT) else binary} as {name}, with this environment:",
    )
    for key, value in sorted(environment.items()):
        say("invoke", f"  {key}={value}")
    failed = 0
    with _watcher(port), _function(binary, port, {**environment, **stack.aws.environment()}):
        for event in events:
            # A fresh stack has rows of today alone, and restate wants rows.
            text = _text(event, today=args.function == "restate")
            if args.function == "observe" and not args.event:
                text = _planned(stack, environment["STOREWATCH_BUCKET"], text)
            failed += not _invoke(event, text, port)
    if failed:
        print(f"{failed} of {len(events)} failed; if the lake lacks a key, run the slot's tick first: `make tick`")
    return 1 if failed else 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def _deployed_environment(stack: Stack, name: str) -> dict[str, str]:
    try:
        found = stack.aws.client("lambda").get_function_configuration(FunctionName=name)
    except ClientError as error:
        raise StackError(
            f"function {name} is not deployed ({error.response['Error']['Code']}): run `make run`, or for an ETL "
            "`infra/local/stack deploy --etl …`"
        ) from None
    return found.get("Environment", {}).get("Variables", {})


@contextmanager
def _watcher(port: int) -> Iterator[None]:
    """Runs `cargo lambda watch`, which serves the API that functions and `cargo lambda invoke` talk to."""
    command: list[str | Path] = [
        VENV / "bin/cargo-lambda",
        "lambda",
        "watch",
        "--only-lambda-apis",
        "-A",
        "127.0.0.1",
        "-P",
        str(port),
    ]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + _TIMEOUT_SECONDS
            while ports.is_free(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise StackError(f"`cargo lambda watch` did not start on port {port}:\n{log.read()}")
                time.sleep(_POLL_SECONDS)
            yield
        finally:
            _stop(process)


@contextmanager
def _function(binary: Path, port: int, environment: Mapping[str, str]) -> Iterator[None]:
    """Runs the function as a process that logs to this terminal."""
    lambda_environment = {
        "AWS_LAMBDA_RUNTIME_API": f"http://127.0.0.1:{port}/.rt",
        "AWS_LAMBDA_FUNCTION_NAME": binary.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    }
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    process = subprocess.Popen([binary], env={**kept, **environment, **lambda_environment}, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        _stop(process)


def _text(event: Path, today: bool) -> str:
    """The text of an event, with the current slot in it."""
    try:
        return with_slot(event.read_text(), say=lambda words: say("invoke", f"{event.name}: {words}"), today=today)
    except (OSError, json.JSONDecodeError) as error:
        raise StackError(f"event {event} cannot be read: {error}") from None


def _planned(stack: Stack, bucket: str, text: str) -> str:
    """The item of the slot's manifest that has the event's chunk: only the plan knows where its schedules are.

    The event itself if the slot has no such chunk.
    """
    event = json.loads(text)
    slot = slots.compact(slots.floor(event["slot"]))
    key = f"staging/country={event['country']}/{slot}/manifest.json"
    try:
        body = stack.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError:
        return text
    found = [item for item in json.loads(body) if item["chunk"] == event["chunk"]]
    if found:
        say("invoke", f"chunk {event['chunk']} is as {key} has it")
    return json.dumps(found[0]) if found else text


def _invoke(event: Path, text: str, port: int) -> bool:
    """Sends one event and prints the answer."""
    command: list[str | Path] = [
        VENV / "bin/cargo-lambda",
        "lambda",
        "invoke",
        "-A",
        "127.0.0.1",
        "-P",
        str(port),
        "--data-ascii",
        text,
    ]
    started = time.monotonic()
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    seconds = time.monotonic() - started
    print(f"--- {event.name}: {'answered' if done.returncode == 0 else 'failed'} after {seconds:.2f} s")
    if done.returncode:
        # cargo lambda adds an invitation to report a bug. The function's own error is not one.
        print(done.stderr.partition("Was this behavior unexpected?")[0].strip())
        return False
    try:
        print(json.dumps(json.loads(done.stdout), indent=2, ensure_ascii=False))
    except json.JSONDecodeError:
        print(done.stdout)
    return True


def with_slot(text: str, say: Any, today: bool) -> str:
    """An event with its slot replaced by the current one, in every spelling: observations of another slot are late.

    With `today`, an event's day becomes the current one, too.
    """
    content = json.loads(text)
    named = content.get("slot") or content.get("time") if isinstance(content, dict) else None
    now = slots.current()
    if isinstance(named, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", named):
        old = slots.floor(named)
        for before, after in (
            (named, slots.iso(now)),
            (slots.iso(old), slots.iso(now)),
            (slots.compact(old), slots.compact(now)),
        ):
            text = text.replace(before, after)
        text = text.replace(f"{old:%Y-%m-%d}", f"{now:%Y-%m-%d}")
        say(f"{named} is now {slots.iso(now)}")
    elif today and (day := content.get("day")):
        text = text.replace(day, f"{now:%Y-%m-%d}")
        say(f"{day} is now {now:%Y-%m-%d}; queries see the day's later ticks once it is compacted again")
    elif days := sorted(set(re.findall(r"day=(\d{4}-\d\d-\d\d)", text))):
        for day in days:
            text = text.replace(day, f"{now:%Y-%m-%d}")
        say(f"{', '.join(days)} is now {now:%Y-%m-%d}")
    return text


def _stop(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
