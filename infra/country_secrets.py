"""A country's secrets in Secrets Manager: the deployment's own, by name, and others, by ARN.

The deployment makes its own by itself, not by the template: CloudFormation deletes a secret with its stack at once, and
only the API leaves a recovery window
(docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from infra.buckets import Place
from infra.country_file import LOGINS, CountryFile, is_arn
from infra.errors import DeployError

# The longest that Secrets Manager offers.
RECOVERY_DAYS = 30
# By this tag a deployment knows the secrets that it has made.
OWNER_TAG = "storewatch:deployment"

Logins = Mapping[str, Mapping[str, str]]  # postgres or elasticsearch -> its login


@dataclass(frozen=True)
class Secret:
    """A secret as it is in Secrets Manager."""

    name: str  # as the country file writes it
    arn: str
    key: str  # ARN of its KMS key; empty for the account's default key
    has_value: bool


@dataclass(frozen=True)
class Secrets:
    """Finds, makes, fills and deletes the secrets of countries."""

    client: Callable[[str], Any]  # a boto3 client for a service
    prefix: str
    say: Callable[[str], None]

    def show(self, file: CountryFile) -> dict[str, Secret]:
        """The secrets of a country, by login. One that a deployment would make gets the ARN's pattern."""
        found = {name: self._find(name) for name in set(file.secrets().values())}
        return {login: found[name] or self._unmade(name) for login, name in file.secrets().items()}

    def provide(self, file: CountryFile, logins: Logins | None, tags: Mapping[str, str]) -> dict[str, Secret]:
        """Makes what is missing of a country's secrets and puts the given logins into them. Returns them by login."""
        values = _values(file, logins or {})
        before = {name: self._describe(name) for name in sorted(set(file.secrets().values()))}
        for name, found in before.items():
            self._hold(file.country, name, found, tags, values.get(name))
        return self.show(file)

    def provide_workbench(self, country: str, login: Logins | None, tags: Mapping[str, str]) -> None:
        """Makes the secret of the workbench's login to a country's sources, and puts the login into it if it is given."""
        name = workbench_name(self.prefix, country)
        self._hold(country, name, self._describe(name), tags, login)

    def schedule_deletion(self, country: str) -> None:
        """Has the secrets that the deployment made for a country deleted after the recovery window."""
        for name in own_names(self.prefix, country):
            found = self._describe(name)
            is_own = found and {"Key": OWNER_TAG, "Value": self.prefix} in found.get("Tags", [])
            if not found or not is_own or found.get("DeletedDate"):
                continue
            self.client("secretsmanager").delete_secret(SecretId=name, RecoveryWindowInDays=RECOVERY_DAYS)
            self.say(f"secret {name}: deleted in {RECOVERY_DAYS} days; a deployment until then takes it back")

    def _find(self, name: str) -> Secret | None:
        found = self._describe(name)
        if not found:
            return None
        # Absent for the account's default key, which every role of the account may use through Secrets Manager.
        key = found.get("KmsKeyId", "")
        if key and ":key/" not in key:
            # An alias or a bare identifier. Policies need the key's ARN.
            key = self.client("kms").describe_key(KeyId=key)["KeyMetadata"]["Arn"]
        stages = found.get("VersionIdsToStages") or {}
        return Secret(name, found["ARN"], key, any("AWSCURRENT" in stage for stage in stages.values()))

    def _describe(self, name: str) -> dict[str, Any] | None:
        """What Secrets Manager says of a secret; None if an own one is missing. The value is not read."""
        try:
            found = self.client("secretsmanager").describe_secret(SecretId=name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            if is_arn(name):
                raise DeployError(f"there is no secret {name}: correct the country file's `secret`") from None
            return None
        if is_arn(name) and found.get("DeletedDate"):
            raise DeployError(f"the secret {name} will be deleted: restore it, or name another one")
        return found

    def _hold(
        self, country: str, name: str, found: Mapping[str, Any] | None, tags: Mapping[str, str], value: Any
    ) -> None:
        if not found:
            self._make(country, name, tags)
        elif found.get("DeletedDate"):
            self.client("secretsmanager").restore_secret(SecretId=name)
            self.say(f"secret {name}: taken back from its deletion, with the value that it had")
        if value:
            # Set here, not as a stack parameter: stack events and the console would show it.
            self.client("secretsmanager").put_secret_value(SecretId=name, SecretString=json.dumps(value))

    def _make(self, country: str, name: str, tags: Mapping[str, str]) -> None:
        self.client("secretsmanager").create_secret(
            Name=name,
            Description=f"Storewatch logs in to the sources of {country} with it",
            Tags=[{"Key": key, "Value": value} for key, value in sorted(tags.items())],
        )
        self.say(f"secret {name}: made")

    def _unmade(self, name: str) -> Secret:
        place = Place.of(self.client)
        # Secrets Manager ends every ARN with six characters of its own.
        arn = f"arn:{place.partition}:secretsmanager:{place.region}:{place.account}:secret:{name}-??????"
        return Secret(name, arn, "", has_value=False)


def own_names(prefix: str, country: str) -> list[str]:
    """The names that a country's own secrets can have: one for all, or one a login, and the workbench's."""
    own = [f"{prefix}/{country}", *(f"{prefix}/{country}/{login}" for login in LOGINS.values())]
    return [*own, workbench_name(prefix, country)]


def workbench_name(prefix: str, country: str) -> str:
    """The name of the secret with the workbench's login to a country's sources."""
    return f"{prefix}/workbench/{country}"


def how_to_set(secret: str) -> str:
    """What a user does about a secret without a value."""
    return f"set its value with `aws secretsmanager put-secret-value --secret-id {secret} --secret-string file://FILE`"


def _values(file: CountryFile, logins: Logins) -> dict[str, Any]:
    """What to write into which of the own secrets, of those logins that are given."""
    wanted: dict[str, list[str]] = {}
    for login, name in file.secrets().items():
        wanted.setdefault(name, []).append(login)
    values: dict[str, Any] = {}
    for name, needed in wanted.items():
        given = [login for login in needed if login in logins]
        if not given:
            continue
        if is_arn(name):
            raise DeployError(
                f"{file.path}: {name} is not the deployment's own secret, so it gets no value here: "
                f"leave {' and '.join(given)} of {file.country} out of the file of secrets"
            )
        if missing := sorted(set(needed) - set(given)):
            raise DeployError(
                f"{file.path}: the secret {name} holds {' and '.join(needed)}, but the file of secrets has no "
                f"{missing[0]} for {file.country}: give both"
            )
        whole = {login: logins[login] for login in needed}
        is_of_one = name.endswith(f"/{needed[0]}")
        values[name] = whole[needed[0]] if is_of_one else whole
    return values
