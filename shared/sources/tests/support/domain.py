"""Stands in for a domain of Amazon OpenSearch Service: forwards correctly signed requests and refuses others.

    domain.py UPSTREAM      needs AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION; prints its own address

The check follows AWS's description of Signature Version 4 ("Create a signed AWS API request") and shares no code with
the client. An error repeats the canonical request, with its session token and signature, as AWS documents it.
"""

import hashlib
import hmac
import http.client
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote, urlsplit

KEY, SECRET, REGION = (os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"))
SERVICE = "es"
UPSTREAM = sys.argv[1].removeprefix("http://")
KEPT = ("Content-Type", "Accept", "Accept-Encoding")


def problem(method: str, target: str, headers: Message, body: bytes) -> str | None:
    """What is wrong with the signature, or None."""
    scheme, _, rest = headers.get("Authorization", "").partition(" ")
    if scheme != "AWS4-HMAC-SHA256":
        return "no AWS4-HMAC-SHA256 authorization"
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    date = headers.get("X-Amz-Date", "")
    scope = f"{date[:8]}/{REGION}/{SERVICE}/aws4_request"
    if parts["Credential"] != f"{KEY}/{scope}":
        return f"Credential {parts['Credential']} should be scoped to {scope}; token {headers['X-Amz-Security-Token']}"
    if abs(datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) - datetime.now(UTC)) > timedelta(minutes=5):
        return "signature expired"
    signed = parts["SignedHeaders"].split(";")
    missing = {"host", "x-amz-date", "x-amz-security-token"} - set(signed)
    if missing:
        return f"not signed: {', '.join(sorted(missing))}"
    digest = hashlib.sha256(body).hexdigest()
    if headers.get("X-Amz-Content-Sha256", digest) != digest:
        return "the body is not the one that was signed"
    canonical = canonical_request(method, target, headers, signed, digest)
    key = ("AWS4" + SECRET).encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    if hmac.compare_digest(hmac.new(key, text.encode(), "sha256").hexdigest(), parts["Signature"]):
        return None
    return f"the signature {parts['Signature']} does not match; the canonical request should have been '{canonical}'"


def canonical_request(method: str, target: str, headers: Message, signed: list[str], digest: str) -> str:
    url = urlsplit(target)
    # Every service except S3 encodes the path of the request a second time.
    path = "/".join(quote(part, safe="-_.~") for part in url.path.split("/"))
    pairs = [pair.partition("=")[::2] for pair in url.query.split("&") if pair]
    encoded = sorted(tuple(quote(unquote(text.replace("+", " ")), safe="-_.~") for text in pair) for pair in pairs)
    query = "&".join(f"{name}={value}" for name, value in encoded)
    lines = [f"{name}:{' '.join((headers.get(name) or '').split())}" for name in signed]
    return "\n".join([method, path or "/", query, *lines, "", ";".join(signed), digest])


class Domain(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        wrong = problem(self.command, self.path, self.headers, body)
        if wrong:
            self.send(403, {"Content-Type": "application/json"}, json.dumps({"message": wrong}).encode())
            return
        node = http.client.HTTPConnection(UPSTREAM, timeout=30)
        node.request(self.command, self.path, body, {name: self.headers[name] for name in KEPT if name in self.headers})
        answer = node.getresponse()
        headers = {
            name: value for name, value in answer.getheaders() if name.lower() in ("content-type", "content-encoding")
        }
        self.send(answer.status, headers, answer.read())
        node.close()

    do_GET = do_POST = answer

    def send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Domain)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
