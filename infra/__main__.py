"""Deploys Storewatch to AWS, shows what a deployment would change, and removes it.

    python -m infra deploy es mx pt --secrets secrets.json
    python -m infra diff es mx pt
    python -m infra undeploy pt
    python -m infra undeploy-workbench
    python -m infra undeploy-lake

It uses the account and region of your AWS credentials. Secrets come from a JSON file,
{"es": {"postgres": {"username": …, "password": …}, "elasticsearch": {"api_key": …}}}, or you set them by hand later.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from infra import accounts, concurrency, etl, packaging, sums, version
from infra.country_file import DIRECTORY, CountryFile
from infra.deploy import Deployment
from infra.errors import DeployError
from infra.workbench import deployment as workbench


def deploy(deployment: Deployment, args: argparse.Namespace) -> None:
    """Deploys the lake, the analysts' stack and the named countries, or shows what that would change."""
    sums.check(packaging.ROOT)
    files = [CountryFile.load(country, args.country_files) for country in args.countries]
    for file in files:
        file.check_hosts()
    deployment.check_parameters()
    secrets = json.loads(args.secrets.read_text()) if args.secrets else {}
    reserve = deployment.parameters.get("ReserveConcurrency")
    if problems := concurrency.warnings(deployment.client, deployment.prefix, files, reserve):
        print("warning", *problems, concurrency.what_to_do(deployment.place.region), sep=": ", file=sys.stderr)
    release = {
        **deployment.release(args.binaries, packaging.ROOT / "target/zips"),
        "Architecture": args.architecture,
    }
    lake = deployment.deploy_lake(release, {"AlertEmail": args.email} if args.email is not None else {})
    deployment.deploy_analytics(lake, args.countries, args.analyst_countries)
    for file in files:
        deployment.deploy_country(file, release, lake, secrets.get(file.country))
    for country in args.countries:
        for name in etl.chosen(deployment, args.etl, country):
            etl.deploy(deployment, name, country, args.binaries, packaging.ROOT / "target/zips")
    if args.workbench or workbench.is_deployed(deployment):
        workbench.deploy(deployment, lake, args.countries)


def diff(deployment: Deployment, args: argparse.Namespace) -> None:
    """Shows what a deployment would change. Only the packages are uploaded."""
    deploy(replace(deployment, is_trial=True), args)


def undeploy(deployment: Deployment, args: argparse.Namespace) -> None:
    """Removes countries, or only ETLs of theirs."""
    for country in args.countries:
        etl.undeploy(deployment, country, args.etl or etl.NAMES)
        if not args.etl:
            deployment.undeploy_country(country)


def undeploy_workbench(deployment: Deployment, _: argparse.Namespace) -> None:
    """Removes what the workbench has beside its machine. Its bucket stays, with all that analysts have saved."""
    workbench.undeploy(deployment)


def undeploy_lake(deployment: Deployment, args: argparse.Namespace) -> None:
    """Removes what the countries shared, once there are none, and only after the user has typed the prefix."""
    if countries := deployment.registered():
        raise DeployError(
            f"{', '.join(countries)} still tick into {deployment.lake_bucket}: remove them first, "
            f'as in make undeploy COUNTRIES="{" ".join(countries)}"'
        )
    if away := deployment.lake_accounts()[1]:
        raise DeployError(
            f"{', '.join(away)} deliver to this lake from other accounts: shut them out first, as in make deploy "
            "COUNTRIES= COUNTRY_ACCOUNTS="
        )
    place = deployment.place
    print(
        f"This deletes the stacks {deployment.analytics_stack} and {deployment.lake_stack} in account {place.account}, "
        f"{place.region}: the catalog, the analysts' rights and their query results. {deployment.lake_bucket} stays."
    )
    typed = args.confirm if args.confirm is not None else input(f"Type {deployment.prefix} to go on: ")
    if typed != deployment.prefix:
        raise DeployError("nothing was removed, because the prefix was not typed")
    etl.undeploy_tables(deployment)
    workbench.undeploy(deployment)
    deployment.undeploy_lake()


def pairs(given: Sequence[str], what: str) -> dict[str, str]:
    """NAME=VALUE texts as a dictionary."""
    for text in given:
        if not text.partition("=")[0] or "=" not in text:
            raise DeployError(f"{what} {text!r} is not of the form NAME=VALUE")
    return {name: value for name, _, value in (text.partition("=") for text in given)}


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--prefix", default="storewatch", help="prefix of all names (%(default)s)")
    common.add_argument("--role-arn", default="", metavar="ARN", help="role that CloudFormation uses (default: none)")

    others = argparse.ArgumentParser(add_help=False)
    known = f"an ETL beside the ticks, one of {', '.join(etl.NAMES)}; those of a country that are deployed stay so"
    others.add_argument("--etl", action="append", default=[], choices=etl.NAMES, metavar="NAME", help=known)

    change = argparse.ArgumentParser(add_help=False, parents=[common, others])
    change.add_argument("countries", nargs="*", metavar="COUNTRY", help="country codes (default: only the lake)")
    change.add_argument("--database", default="storewatch", help="Glue database (%(default)s)")
    built = version.architectures()
    change.add_argument("--architecture", default=built[0], choices=built, help="as built (%(default)s)")
    lambdas = packaging.ROOT / "target/lambda"
    change.add_argument("--binaries", type=Path, default=lambdas, help="folder of the functions")
    change.add_argument("--country-files", type=Path, default=DIRECTORY, help="folder of the country files")
    change.add_argument("--secrets", type=Path, help="JSON file with each country's secrets")
    readable = "countries that analysts may read (default: no change; on the first deployment, those deployed)"
    change.add_argument("--analyst-countries", nargs="+", default=[], metavar="COUNTRY", help=readable)
    change.add_argument("--email", help="mail address for alarms (default: no change; empty for nobody)")
    lake = "account of the lake, if it is another one (default: no change; on the first deployment, this account)"
    change.add_argument("--lake-account", default="", metavar="ACCOUNT", help=lake)
    away = "all countries in other accounts that deliver to this lake (default: no change)"
    change.add_argument("--country-accounts", nargs="*", metavar="COUNTRY:ACCOUNT", help=away)
    workplace = "also what the analysts' workbench needs (default: only if it is deployed)"
    change.add_argument("--workbench", action="store_true", help=workplace)
    parameter = "a parameter of any template; the stacks keep the values of those that are not named"
    change.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE", help=parameter)
    tag = "a tag of every stack and its resources; the stacks keep those that are not named"
    change.add_argument("--tag", action="append", default=[], metavar="NAME=VALUE", help=tag)

    parser = argparse.ArgumentParser(prog="python -m infra", description=(__doc__ or "").partition("\n")[0])
    actions = parser.add_subparsers(required=True)
    for name, does in (("deploy", deploy), ("diff", diff)):
        actions.add_parser(name, parents=[change], help=does.__doc__).set_defaults(does=does)
    less = actions.add_parser("undeploy", parents=[common, others], help=undeploy.__doc__)
    less.add_argument("countries", nargs="+", metavar="COUNTRY", help="country codes")
    less.set_defaults(does=undeploy)
    desk = actions.add_parser("undeploy-workbench", parents=[common], help=undeploy_workbench.__doc__)
    desk.set_defaults(does=undeploy_workbench)
    last = actions.add_parser("undeploy-lake", parents=[common], help=undeploy_lake.__doc__)
    last.add_argument("--confirm", metavar="PREFIX", help="the prefix, for when nobody can type it")
    last.set_defaults(does=undeploy_lake)
    return parser


def main(argv: Sequence[str]) -> int:
    """The command line."""
    args = _parser().parse_args(argv)
    try:
        import boto3

        deployment = Deployment(
            boto3.session.Session().client,
            args.prefix,
            getattr(args, "database", "storewatch"),
            parameters=pairs(getattr(args, "parameter", []), "--parameter"),
            tags=pairs(getattr(args, "tag", []), "--tag"),
            role=args.role_arn,
            lake_account=getattr(args, "lake_account", ""),
            country_accounts=accounts.parse(away)
            if (away := getattr(args, "country_accounts", None)) is not None
            else None,
        )
        args.does(deployment, args)
    except (DeployError, ClientError, BotoCoreError, OSError, EOFError, json.JSONDecodeError) as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
