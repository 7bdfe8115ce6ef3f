"""Makes a certificate authority and a server's certificate by it, with openssl: for PostgreSQL, and for Trino."""

import subprocess
import tempfile
from pathlib import Path

from infra.local.errors import StackError

# Leaves out the server's address 127.0.0.1 on purpose: tests need a name that clients refuse.
_SERVER_EXTENSIONS = """\
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost
"""


def make_certificates(ca_file: Path, certificate: Path, key: Path) -> None:
    """Writes the authority's certificate, and a certificate and key for the server name `localhost`."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "extensions").write_text(_SERVER_EXTENSIONS)
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        _openssl(
            ["req", "-x509", *new_key, "-keyout", work / "ca.key", "-out", work / "ca.pem", "-days", "3650"],
            ["-subj", "/CN=Storewatch local authority", "-addext", "basicConstraints=critical,CA:TRUE"],
            ["-addext", "keyUsage=critical,keyCertSign"],
        )
        _openssl(
            ["req", "-new", *new_key, "-keyout", work / "key.pem", "-out", work / "request", "-subj", "/CN=localhost"]
        )
        _openssl(
            [
                "x509",
                "-req",
                "-in",
                work / "request",
                "-CA",
                work / "ca.pem",
                "-CAkey",
                work / "ca.key",
                "-days",
                "3650",
            ],
            ["-CAcreateserial", "-extfile", work / "extensions", "-out", work / "certificate.pem"],
        )
        # The authority's key is deleted with this folder, so that nothing else can be signed with it.
        for source, target in (("ca.pem", ca_file), ("certificate.pem", certificate), ("key.pem", key)):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((work / source).read_bytes())
            target.chmod(0o600 if target == key else 0o644)


def _openssl(*parts: list[str | Path]) -> None:
    command = ["openssl", *(str(word) for part in parts for word in part)]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode:
        raise StackError(f"`{' '.join(command)}` failed: {result.stderr.strip()}")
