"""Runs MiniStack, with what it gets wrong put right. ministack.py starts it as a process.

Functions at once. Starting a function registers a session of its role, which first searches all sessions for expired ones.
MiniStack 1.5.33 iterates over the dictionary itself while other threads add to it. When two functions start at once, one
of them sometimes fails with "dictionary changed size during iteration". Here the search iterates over a copy.

Accounts. MiniStack keeps what accounts have apart, but three things by which AWS lets one into another are missing:
- `aws:PrincipalArn` is the role's ARN where a session of a role asks
  (docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn);
- S3 refuses a request whose expected owner does not own the bucket
  (docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html);
- `CatalogId` names another account's catalog, whose policy must allow the request, and so must the caller's own
  (docs.aws.amazon.com/glue/latest/dg/cross-account-access.html).
And conditions of a template do not know `AWS::AccountId`.

Secrets. One that is created without a value gets a version without one; on AWS it has no version, and so nothing to read
(docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html). Here the version is dropped.
"""

import hashlib
import json
import re
import time
from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import error_response_json, get_account_id, get_region, json_response, request_scope
from ministack.services import glue, s3, secretsmanager, sts
from ministack.services.cloudformation import changesets, engine, handlers, stacks

_SESSION = re.compile(r"arn:(aws[a-z-]*):sts::(\d{12}):assumed-role/([^/]+)/.+")
# The catalog's policy, by account and region.
_catalog_policies: dict[tuple[str, str], str] = {}

for _module, _names in {
    sts: ("_evict_expired_sessions", "_sessions"),
    secretsmanager: ("_store_new_secret", "_secrets"),
    iam_evaluator: ("_resolve_condition_key", "caller_arn", "evaluate_resource_policy", "EvalContext"),
    iam_actions: ("extract_resource_arn",),
    s3: ("_apply_bucket_scope", "_bucket_owner_account", "_error"),
    glue: ("handle_request",),
    **dict.fromkeys((changesets, engine, handlers, stacks), ("_evaluate_conditions",)),
}.items():
    if missing := [name for name in _names if not hasattr(_module, name)]:
        raise SystemExit(
            f"{_module.__name__} has no {', '.join(missing)}: see what infra/local/servers/ministack_server.py needs"
        )

_condition_key = iam_evaluator._resolve_condition_key
_resource_arn = iam_actions.extract_resource_arn
_bucket_scope = s3._apply_bucket_scope
_glue_request = glue.handle_request
_conditions = engine._evaluate_conditions
_store_new_secret = secretsmanager._store_new_secret


def _evict_expired_sessions() -> None:
    now = time.time()
    # Copying a dictionary's items is one step of the interpreter: no other thread can interrupt it.
    for key, session in list(sts._sessions.items()):
        expires = session.get("Expiration")
        if isinstance(expires, (int, float)) and now > expires:
            sts._sessions.pop(key, None)


def _store_without_empty_version(name: str, *args: Any, **kwargs: Any) -> Any:
    made = _store_new_secret(name, *args, **kwargs)
    versions = secretsmanager._secrets[name]["Versions"]
    if all(version["SecretString"] is None and version["SecretBinary"] is None for version in versions.values()):
        versions.clear()
    return made


def _resolve_condition_key(key: str, context: Any) -> Any:
    if key.lower() != "aws:principalarn":
        return _condition_key(key, context)
    # Policies of another account's bucket are evaluated for the caller's account instead of the caller.
    is_account = context.principal_arn.endswith(":root")
    arn = iam_evaluator.caller_arn() if is_account else context.principal_arn
    session = _SESSION.fullmatch(arn)
    return f"arn:{session[1]}:iam::{session[2]}:role/{session[3]}" if session else arn


def _apply_bucket_scope(method: str, bucket: str, key: str, headers: dict[str, str], *rest: Any, **more: Any) -> Any:
    expected, owner = headers.get("x-amz-expected-bucket-owner"), s3._bucket_owner_account(bucket)
    if expected and owner and expected != owner:
        return s3._error("AccessDenied", "Access Denied", 403, f"/{bucket}/{key}")
    return _bucket_scope(method, bucket, key, headers, *rest, **more)


def _catalog(body: bytes) -> str:
    """The account whose catalog a request is for."""
    try:
        return json.loads(body).get("CatalogId") or get_account_id()
    except (ValueError, AttributeError):
        return get_account_id()


def _extract_resource_arn(service: str, method: str, path: str, headers: Any, body: bytes, *rest: Any) -> str:
    *parameters, account = rest
    account = _catalog(body) if service == "glue" else account
    return _resource_arn(service, method, path, headers, body, *parameters, account)


async def _handle_glue(method: str, path: str, headers: dict[str, str], body: bytes, query_params: Any) -> Any:
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    if action in ("GetResourcePolicy", "PutResourcePolicy", "DeleteResourcePolicy"):
        return _catalog_policy(action, json.loads(body or b"{}"))
    account = _catalog(body)
    if account == get_account_id():
        return await _glue_request(method, path, headers, body, query_params)
    arn = _extract_resource_arn("glue", method, path, headers, body, query_params, get_region(), account)
    context = iam_evaluator.EvalContext(
        principal_arn=iam_evaluator.caller_arn(),
        principal_type="AssumedRole",
        principal_account=get_account_id(),
        action=f"glue:{action}",
        resource_arn=arn,
        region=get_region(),
    )
    policy = _catalog_policies.get((account, get_region()))
    if iam_evaluator.evaluate_resource_policy(policy, context).decision != "Allow":
        return error_response_json(
            "AccessDeniedException", f"the policy of {account}'s catalog does not allow {action}"
        )
    with request_scope(account, get_region()):
        return await _glue_request(method, path, headers, body, query_params)


def _catalog_policy(action: str, request: dict[str, Any]) -> Any:
    place = (get_account_id(), get_region())
    held = _catalog_policies.get(place)
    digest = _digest(held)
    if action == "GetResourcePolicy":
        if held is None:
            return error_response_json("EntityNotFoundException", "the catalog has no policy")
        return json_response({"PolicyInJson": held, "PolicyHash": digest})
    exists = {"MUST_EXIST": held is not None, "NOT_EXIST": held is None}
    holds = exists.get(request.get("PolicyExistsCondition", ""), True)
    if not holds or request.get("PolicyHashCondition", digest) != digest:
        return error_response_json("ConditionCheckFailureException", "the policy is another one")
    if action == "DeleteResourcePolicy":
        _catalog_policies.pop(place, None)
        return json_response({})
    _catalog_policies[place] = request["PolicyInJson"]
    return json_response({"PolicyHash": _digest(request["PolicyInJson"])})


def _digest(policy: str | None) -> str:
    return hashlib.sha256((policy or "").encode()).hexdigest()


def _evaluate_conditions(template: Any, parameters: dict[str, Any]) -> Any:
    return _conditions(template, {**parameters, "AWS::AccountId": {"Value": get_account_id()}})


sts._evict_expired_sessions = _evict_expired_sessions
secretsmanager._store_new_secret = _store_without_empty_version
iam_evaluator._resolve_condition_key = _resolve_condition_key
iam_actions.extract_resource_arn = _extract_resource_arn
s3._apply_bucket_scope = _apply_bucket_scope
glue.handle_request = _handle_glue
for _module in (changesets, engine, handlers, stacks):
    _module._evaluate_conditions = _evaluate_conditions

if __name__ == "__main__":
    app.main()
