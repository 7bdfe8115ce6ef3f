"""The deployment compares the account's limit of concurrent functions with the countries, and can reserve places."""

from typing import Any

import boto3
from botocore.stub import Stubber

from infra import concurrency
from infra.country_file import CountryFile
from tests.harness.deployer import Deployer

ES = CountryFile.load("es")
MX = CountryFile.load("mx")


def warnings(deployer: Deployer, files: list[CountryFile], limit: int, unreserved: int, reserve: str = "") -> list[str]:
    """The warnings if the account had these limits. Everything else is asked of the local AWS."""
    lambdas = boto3.client("lambda", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    answer = {"AccountLimit": {"ConcurrentExecutions": limit, "UnreservedConcurrentExecutions": unreserved}}
    with Stubber(lambdas) as stub:
        stub.add_response("get_account_settings", answer)

        def client(service: str) -> Any:
            return lambdas if service == "lambda" else deployer.stack.aws.client(service)

        return concurrency.warnings(client, deployer.prefix, files, reserve)


def test_the_limit_of_a_new_account_is_told_before_anything_is_deployed(deployer: Deployer) -> None:
    # Each observes 4 chunks and compacts a day; beside them, dispatch.
    assert warnings(deployer, [ES, MX], 11, 11) == []
    (problem,) = warnings(deployer, [ES, MX], 10, 10)
    assert "2 countries run up to 11 functions at once, but Lambda has 10 of this account's 10" in problem


def test_countries_that_are_deployed_already_count_too(deployer: Deployer) -> None:
    deployer.deploy()
    assert warnings(deployer, [MX], 11, 11) == []
    assert len(warnings(deployer, [MX], 10, 10)) == 1
    # The same country again is one country.
    assert warnings(deployer, [ES], 6, 6) == []
    assert concurrency.warnings(deployer.stack.aws.client, deployer.prefix, [MX], None) == []


def test_what_is_reserved_is_the_file_s_concurrency_and_stays_so(deployer: Deployer) -> None:
    """The local CloudFormation drops what a function reserves, so it is read in the template."""
    deployer.deploy(parameters={"ReserveConcurrency": "true"})
    deployer.deploy()
    made = deployer.cloudformation.get_template(StackName=f"{deployer.prefix}-country-es", TemplateStage="Processed")
    found = {
        name: function["Properties"]["ReservedConcurrentExecutions"]
        for name, function in made["TemplateBody"]["Resources"].items()
        if "ReservedConcurrentExecutions" in function["Properties"]
    }
    none = {"Ref": "AWS::NoValue"}
    assert found == {
        "Observe": {"Fn::If": ["ReservesConcurrency", {"Ref": "Concurrency"}, none]},
        "Plan": {"Fn::If": ["ReservesConcurrency", concurrency.PLAN_PLACES, none]},
    }
    assert deployer.parameters("country-es")["Concurrency"] == "4"
    # Its own places do not count as taken by others.
    assert warnings(deployer, [ES], 1000, 0) == []
    assert len(warnings(deployer, [MX], 1000, 4)) == 1


def test_lambda_never_gives_the_last_hundred_places_away(deployer: Deployer) -> None:
    assert warnings(deployer, [ES], 106, 106, "true") == []
    (problem,) = warnings(deployer, [ES], 105, 105, "true")
    assert "ReserveConcurrency=true reserves 6, but Lambda keeps 100 of the 105" in problem
