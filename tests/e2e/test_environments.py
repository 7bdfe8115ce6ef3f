"""What each Python environment holds: deploying to AWS must not need the packages of the tests."""

import subprocess

import pytest

from infra.packaging import ROOT


def run(group: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the Python of a group, which is installed if it is missing."""
    made = subprocess.run([ROOT / "infra/environment", group], check=True, capture_output=True, text=True)
    return subprocess.run([made.stdout.strip(), *arguments], check=False, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("module", ["infra.deploy", "infra.days"])
def test_what_works_on_aws_starts_in_the_environment_of_the_group_deploy(module: str) -> None:
    done = run("deploy", "-m", module, "--help")
    assert done.returncode == 0, done.stderr
    assert module in done.stdout


@pytest.mark.parametrize("package", ["pytest", "ministack", "mypy", "pyarrow"])
def test_that_environment_has_nothing_of_the_local_servers_and_the_tests(package: str) -> None:
    done = run("deploy", "-c", f"import {package}")
    assert "ModuleNotFoundError" in done.stderr


def test_an_unknown_group_is_an_error_that_says_what_there_is() -> None:
    done = subprocess.run([ROOT / "infra/environment", "nothing"], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "deploy|local|test|lint" in done.stderr
