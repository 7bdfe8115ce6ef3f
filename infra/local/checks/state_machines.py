"""Checks the state machines: the language, the substitutions, their errors and time limits."""

import json
import re
import tempfile
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

from infra import etl, vocabulary
from infra.local.checks.programs import run
from infra.local.checks.retries import states_of
from infra.local.config import CACHE, ROOT
from infra.local.servers import npm

# Where each definition is deployed: template and resource.
MACHINES = {
    "tick": ("lake", "TickMachine"),
    "daily": ("lake", "DailyMachine"),
    "country": ("country", "CountryMachine"),
    "country-daily": ("country", "CountryDailyMachine"),
    "workbench-backup": ("workbench", "BackupMachine"),
    # An ETL's machine is the resource `Machine` of its template.
    **{machine: (f"etls/{name}/country", "Machine") for name in etl.NAMES for machine in etl.machines(name)},
}
# Errors raised by Step Functions and Lambda. All others come from the functions.
_PLATFORM_ERRORS = re.compile(r"(States|Lambda|Runtime|S3|Sandbox|StepFunctions)\.\w+|ExecutionAlreadyExists")
_NEVER_RETRIED = vocabulary.NEVER_RETRIED | {"States.ALL", "States.TaskFailed"}
_NODE = Path(__file__).parent / "node"


def validate() -> list[str]:
    """Checks every rendered definition with the language's validator."""
    validator = _validator()
    with tempfile.TemporaryDirectory() as folder:
        arguments = []
        for name in MACHINES:
            rendered = Path(folder) / f"{name}.asl.json"
            # An ARN for everything: definitions need ARNs, and the validator accepts one as a bucket's name.
            text = _definition(name).replace("${Partition}", "aws")
            text = re.sub(r"\$\{\w+}", "arn:aws:lambda:eu-west-1:123456789012:function:rendered", text)
            rendered.write_text(text)
            arguments += ["--json-path", str(rendered)]
        return run(validator, *arguments)


def check_substitutions() -> list[str]:
    """Every ${Name} of a definition is set by its template, and the template sets no other."""
    problems = []
    for name, (template, resource) in MACHINES.items():
        content = yaml_parse((ROOT / "infra" / f"{template}.yaml").read_text())
        given = set(content["Resources"][resource]["Properties"]["DefinitionSubstitutions"])
        used = set(re.findall(r"\$\{(\w+)}", _definition(name)))
        problems += [f"{name}.asl.json uses ${{{key}}}, which {template}.yaml does not set" for key in used - given]
        problems += [f"{template}.yaml sets {key}, which {name}.asl.json does not use" for key in given - used]
    return problems


def check_states() -> list[str]:
    """Every task has a time limit, every error exists, and errors that would happen again are not retried."""
    problems = []
    for name in MACHINES:
        definition = json.loads(_definition(name))
        if "TimeoutSeconds" not in definition:
            problems.append(f"{name}.asl.json has no TimeoutSeconds")
        for state, content in states_of(definition):
            where = f"{name}.asl.json: {state}"
            if content["Type"] == "Task" and "TimeoutSeconds" not in content:
                problems.append(f"{where} is a Task without TimeoutSeconds")
            retried = {error for retry in content.get("Retry", []) for error in retry["ErrorEquals"]}
            caught = {error for catch in content.get("Catch", []) for error in catch["ErrorEquals"]}
            problems += [f"{where} retries {error}, which would only fail again" for error in retried & _NEVER_RETRIED]
            problems += [
                f"{where} names the error {error}, which nothing raises"
                for error in sorted(retried | caught)
                if error not in vocabulary.ERRORS and not _PLATFORM_ERRORS.fullmatch(error)
            ]
    return problems


def _definition(name: str) -> str:
    return (ROOT / "statemachine" / f"{name}.asl.json").read_text()


def _validator() -> Path:
    """asl-validator, installed once from its lock file."""
    return npm.install("check", _NODE, CACHE / "node") / "asl-validator"
