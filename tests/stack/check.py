"""Lints what no compiler sees: the templates, the state machines, how the two fit, the country files, and the Python."""

import argparse
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

from infra import analytics, schema, tables_page
from infra.country_file import DIRECTORY, CountryFile
from infra.errors import DeployError
from infra.packaging import STATE_MACHINES
from stack import newest_zones
from stack.config import CACHE, ROOT, VENV
from stack.console import say
from stack.errors import StackError
from stack.packages import install
from stack.retries import check_retries, states_of

TEMPLATES = ("lake", "analytics", "country")
# The machine of each definition: template and resource.
MACHINES = {
    "tick": ("lake", "TickMachine"),
    "daily": ("lake", "DailyMachine"),
    "country": ("country", "CountryMachine"),
    "country-daily": ("country", "CountryDailyMachine"),
}
# Errors that Step Functions and Lambda raise by themselves; every other one in a state machine is the functions' own.
_PLATFORM_ERRORS = re.compile(r"(States|Lambda|Runtime|Sandbox|StepFunctions)\.\w+|ExecutionAlreadyExists")
_OWN_ERRORS = {
    "BadEvent",
    "BadConfig",
    "ScheduleUnavailable",
    "LiveViewUnavailable",
    "LiveViewIncomplete",
    "LakeUnavailable",
    "CatalogUnavailable",
    "Panicked",
}
_NEVER_RETRIED = {"BadEvent", "BadConfig", "States.ALL", "States.TaskFailed"}
_NODE = Path(__file__).parent / "node"


def add_arguments(_: argparse.ArgumentParser) -> None:
    """No options."""


def main(_: argparse.Namespace) -> int:
    """Runs every check, and tells all that is wrong before it ends with 1."""
    checks: dict[str, Callable[[], list[str]]] = {
        "ruff check": lambda: _run(VENV / "bin/ruff", "check", "."),
        "ruff format": lambda: _run(VENV / "bin/ruff", "format", "--check", "."),
        "cfn-lint": lambda: _run(VENV / "bin/cfn-lint", *(f"infra/{name}.yaml" for name in TEMPLATES)),
        "views and queries": check_views,
        "docs/tables.md": tables_page.problems,
        "asl-validator": validate_state_machines,
        "substitutions": check_substitutions,
        "errors and time limits": check_states,
        "retry policy": check_retries,
        "tables": check_tables,
        "country files": check_country_files,
    }
    failed = 0
    for name, check in checks.items():
        problems = check()
        say("check", f"{name}: {'failed' if problems else 'fine'}")
        for problem in problems:
            print(problem)
        failed += bool(problems)
    say("check", f"time zones: {newest_zones.advice()}")
    return 1 if failed else 0


def validate_state_machines() -> list[str]:
    """Every definition, with its substitutions rendered, by the language's own validator."""
    validator = _validator()
    with tempfile.TemporaryDirectory() as folder:
        arguments = []
        for name in STATE_MACHINES:
            rendered = Path(folder) / f"{name}.asl.json"
            # ARNs where the definition wants ARNs; a bucket's name may look like one to a validator.
            text = re.sub(r"\$\{\w+}", "arn:aws:lambda:eu-west-1:123456789012:function:rendered", _definition(name))
            rendered.write_text(text)
            arguments += ["--json-path", str(rendered)]
        return _run(validator, *arguments)


def check_views() -> list[str]:
    """The template of analysts with the views and saved queries that its deployment puts in."""
    try:
        text = analytics.render((ROOT / "infra/analytics.yaml").read_text(), "storewatch")
    except DeployError as error:
        return [str(error)]
    with tempfile.TemporaryDirectory() as folder:
        rendered = Path(folder) / "analytics.yaml"
        rendered.write_text(text)
        return _run(VENV / "bin/cfn-lint", rendered)


def check_substitutions() -> list[str]:
    """Every ${Name} of a definition is given by its template, and the template gives no other."""
    problems = []
    for name, (template, resource) in MACHINES.items():
        content = yaml_parse((ROOT / "infra" / f"{template}.yaml").read_text())
        given = set(content["Resources"][resource]["Properties"]["DefinitionSubstitutions"])
        used = set(re.findall(r"\$\{(\w+)}", _definition(name)))
        problems += [f"{name}.asl.json uses ${{{key}}}, which {template}.yaml does not give" for key in used - given]
        problems += [f"{template}.yaml gives {key}, which {name}.asl.json does not use" for key in given - used]
    return problems


def check_states() -> list[str]:
    """Every task has a time limit of its own; errors are known by name; what cannot succeed is not retried."""
    problems = []
    for name in STATE_MACHINES:
        definition = json.loads(_definition(name))
        if "TimeoutSeconds" not in definition:
            problems.append(f"{name}.asl.json has no TimeoutSeconds")
        for state, content in states_of(definition):
            where = f"{name}.asl.json: {state}"
            if content["Type"] == "Task" and "TimeoutSeconds" not in content:
                problems.append(f"{where} is a Task without TimeoutSeconds")
            retried = {error for retry in content.get("Retry", []) for error in retry["ErrorEquals"]}
            caught = {error for catch in content.get("Catch", []) for error in catch["ErrorEquals"]}
            problems += [
                f"{where} retries {error}, which fails the same way again" for error in retried & _NEVER_RETRIED
            ]
            problems += [
                f"{where} names the error {error}, which nothing raises"
                for error in sorted(retried | caught)
                if error not in _OWN_ERRORS and not _PLATFORM_ERRORS.fullmatch(error)
            ]
    return problems


def check_tables() -> list[str]:
    """The catalog's tables have the columns that the functions write, with the same types and in the same order."""
    templates = {table.name: [(column.name, column.type) for column in table.columns] for table in schema.tables()}
    code = (ROOT / "shared/lake/src/tables.rs").read_text()
    written = {
        name.lower(): re.findall(r'\("(\w+)", "(\w+)"\)', columns)
        for name, columns in re.findall(r"const (\w+): &\[Column] = &\[(.*?)];", code, re.DOTALL)
    }
    if not written:
        return ["shared/lake/src/tables.rs has no columns in the form that this check reads"]
    problems = [
        f"{name}: lake.yaml or tables.rs alone has {' '.join(pair)}"
        for name in templates.keys() | written.keys()
        for pair in sorted(set(templates.get(name, [])) ^ set(written.get(name, [])))
    ]
    if not problems and templates != written:
        problems.append("the columns of lake.yaml and tables.rs stand in different orders")
    return problems


def check_country_files() -> list[str]:
    """Every country file is TOML, of the country that its name says, and names the secrets that its stack makes."""
    problems = []
    for path in sorted(DIRECTORY.glob("*.toml")):
        try:
            CountryFile.load(path.stem).check_secrets("storewatch")
        except DeployError as error:
            problems.append(str(error))
    return problems


def _definition(name: str) -> str:
    return (ROOT / "statemachine" / f"{name}.asl.json").read_text()


def _validator() -> Path:
    """asl-validator, installed by its lock file once."""
    target = CACHE / "node"
    stamp, wanted = target / "stamp", (_NODE / "package-lock.json").read_text()
    if not stamp.is_file() or stamp.read_text() != wanted:
        if not shutil.which("npm"):
            install(
                "check", ["nodejs", "npm"], "the state machines' validator is a Node.js program, and there is no npm"
            )
        target.mkdir(parents=True, exist_ok=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(_NODE / file, target / file)
        say("check", f"installing asl-validator into {target.relative_to(ROOT)}")
        if problems := _run("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", cwd=target):
            raise StackError(f"npm could not install asl-validator into {target}:\n" + "\n".join(problems))
        stamp.write_text(wanted)
    return target / "node_modules/.bin/asl-validator"


def _run(*command: str | Path, cwd: Path = ROOT) -> list[str]:
    """What a program says when it fails; nothing when it does not."""
    done = subprocess.run(
        [str(part) for part in command], check=False, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return (
        [(done.stdout + done.stderr).strip() or f"{command[0]} ended with {done.returncode}"] if done.returncode else []
    )
