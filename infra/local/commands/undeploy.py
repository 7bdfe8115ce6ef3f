"""Removes a deployment from the running stack: its countries, its lake, then what is left in the lake's bucket."""

import argparse
import re
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from infra import buckets, etl
from infra.deploy import Deployment
from infra.errors import DeployError
from infra.local.config import Stack
from infra.local.console import say
from infra.local.errors import StackError
from infra.local.prefix import add_prefix_argument
from infra.workbench import deployment as workbench


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which deployment."""
    add_prefix_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Removes everything under one prefix."""
    undeploy(Stack.load(), args.prefix)
    return 0


def undeploy(stack: Stack, prefix: str) -> None:
    """Removes a deployment and its data, which on this machine is sample data."""
    deployment = Deployment(stack.aws.client, prefix, say=lambda text: say("undeploy", text))
    cloudformation, s3 = stack.aws.client("cloudformation"), stack.aws.client("s3")
    try:
        _end_functions(stack, prefix)
        names = [
            found["StackName"]
            for page in _pages(cloudformation, "list_stacks", "StackSummaries")
            for found in page
            if found["StackStatus"] != "DELETE_COMPLETE"
        ]
        for name in names:
            country = name.removeprefix(f"{prefix}-country-")
            if country != name:
                etl.undeploy(deployment, country)
                deployment.undeploy_country(country)
        etl.undeploy_tables(deployment)
        workbench.undeploy(deployment)
        deployment.undeploy_lake()
        # The workbench's may not be there.
        own = [bucket for bucket in (deployment.workbench_bucket,) if buckets.exists(s3, bucket)]
        for bucket in (*own, deployment.lake_bucket):
            buckets.empty(s3, bucket)
            s3.delete_bucket(Bucket=bucket)
            say("undeploy", f"bucket {bucket}: deleted with its content, which is sample data on this machine")
    except DeployError as error:
        raise StackError(str(error)) from None
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise StackError(f"the local AWS at {stack.aws.endpoint} did not undeploy {prefix}: {error}") from None


def _end_functions(stack: Stack, prefix: str) -> None:
    """Ends the functions' processes. Deleting only the stack would leave them running as long as the local AWS."""
    lambdas = stack.aws.client("lambda")
    for page in _pages(lambdas, "list_functions", "Functions"):
        for name in (found["FunctionName"] for found in page):
            if re.fullmatch(rf"{re.escape(prefix)}-(dispatch|[a-z]{{2}}-[a-z]+)", name):
                lambdas.delete_function(FunctionName=name)


def _pages(client: Any, operation: str, key: str, **request: Any) -> Iterator[list[dict[str, Any]]]:
    """The non-empty pages of a listing."""
    for page in client.get_paginator(operation).paginate(**request):
        if page.get(key):
            yield page[key]
