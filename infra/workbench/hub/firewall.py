"""What users' processes may reach over the network, with nftables.

Every user of a machine reaches every server that listens on its loopback address. Users of the workbench may open
connections only to those that they need; and never to 169.254.0.0/16, where a cloud hands out the machine's own
credentials. Other addresses are left to the network's own rules.
"""

import subprocess
from collections.abc import Iterable, Mapping

from infra.errors import DeployError
from infra.workbench.hub.settings import Settings


def apply(settings: Settings, ports: Iterable[int], more: Mapping[int, Iterable[int]] | None = None) -> None:
    """Replaces the rules in one step: ports of the loopback address for all users, and more of them by user id."""
    users = f"meta skuid {settings.uid_base}-{settings.last_uid}"
    table = settings.name
    rules = [f"{users} ip daddr 169.254.0.0/16 reject", f"{users} ip6 daddr fd00:ec2::/32 reject"]
    # Only what opens a connection. Answers of a user's own server carry its id too.
    opens = "oifname lo tcp flags & (syn|ack) == syn"
    rules.append(f"{users} {opens} tcp dport {{ {_list(ports)} }} accept")
    for uid, own in (more or {}).items():
        rules.append(f"meta skuid {uid} {opens} tcp dport {{ {_list(own)} }} accept")
    rules += [f"{users} {opens} reject with tcp reset", f"{users} oifname lo meta l4proto udp udp dport != 53 reject"]
    lines = "".join(f"    {rule}\n" for rule in rules)
    chain = f"  chain output {{\n    type filter hook output priority 0; policy accept;\n{lines}  }}\n"
    # Made before it is deleted, so that the deletion cannot fail; all of it is one transaction.
    _nft(f"table inet {table} {{}}\ndelete table inet {table}\ntable inet {table} {{\n{chain}}}\n")


def remove(name: str) -> None:
    """Takes the rules of the workbench of this kernel_name away."""
    _nft(f"table inet {name} {{}}\ndelete table inet {name}\n")


def _list(ports: Iterable[int]) -> str:
    return ", ".join(str(port) for port in sorted(set(ports)))


def _nft(script: str) -> None:
    command = ["nft", "-f", "-"]
    try:
        done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise DeployError("nft is missing: install nftables") from None
    if done.returncode:
        raise DeployError(f"the rules of the network cannot be set: {done.stderr.strip()}")
