"""Brings the dashboards' files into a Superset, in an order in which nobody ever sees what is not meant for them.

First the datasets, which only administrators see. Then the roles and the row-level security of every dataset. Then the
charts and dashboards, the roles that see each dashboard, its publication, and last of all the alerts and reports.
Superset's own import and export know neither roles nor row-level security nor alerts.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from infra.dashboard import bundle, mails, tables
from infra.dashboard.client import Client
from infra.dashboard.files import COUNTRIES, Dashboard, Files, Role, load
from infra.dashboard.problems import problems
from infra.errors import DeployError

ADMINISTRATORS = "Admin"
_NOBODY_ELSE = "storewatch: nobody else"
_AT_ONCE = 8
Say = Callable[[str], None]


def bring(
    client: Client,
    schema: str,
    uri: str | None,
    countries: Collection[str],
    release: str,
    say: Say,
    mail_to: str | None = None,
) -> dict[str, str]:
    """Checks the files and imports them. Returns the dashboards' addresses by name.

    `uri` is the SQLAlchemy address of the lake's engine; without one the connection that is there is used as it is.
    """
    files = load()
    if wrong := problems(files):
        raise DeployError("the dashboards' files have problems:\n" + "\n".join(f"  {line}" for line in wrong))
    return Import(client, files, _connection(client, schema, uri), countries, release, say, mail_to).run()


def _connection(client: Client, schema: str, uri: str | None) -> bundle.Connection:
    """The connection to import: the one of the same name if it is there, whoever made it."""
    if uri and "result_reuse" in uri:
        raise DeployError(
            "the database's address turns Athena's result reuse on: Live would show old results. Leave it out"
        )
    there = [entry for entry in client.all("database/") if entry["database_name"] == bundle.DATABASE]
    if there:
        return bundle.Connection(schema, uri, uuid=there[0]["uuid"])
    if not uri:
        raise DeployError(
            f"there is no database connection {bundle.DATABASE!r} in this Superset: make it there, or set "
            "DASHBOARD_DATABASE_URI, such as awsathena+rest://@athena.eu-west-1.amazonaws.com/storewatch?work_group=…"
        )
    return bundle.Connection(schema, uri)


@dataclass
class Import:
    """One run of the import."""

    client: Client
    files: Files
    connection: bundle.Connection
    countries: Collection[str]
    release: str
    say: Say
    mail_to: str | None = None
    role_ids: dict[str, int] = field(default_factory=dict)

    def run(self) -> dict[str, str]:
        """Does everything. Doing it again changes nothing. Returns the dashboards' addresses by name."""
        before = self._dashboards()
        for line in self._plan(before):
            self.say(line)
        # Superset asks the engine about each dataset, so that all at once can take longer than a request may.
        data = list(bundle.data(self.files, self.connection).items())
        for first in range(0, len(data), _AT_ONCE):
            self.client.import_assets(bundle.archive(dict(data[first : first + _AT_ONCE])))
        self._roles()
        self._row_level_security()
        published = [name for name, found in before.items() if found and found["published"]]
        looks = bundle.looks(self.files, self._marks(), published)
        self.client.import_assets(bundle.archive(looks))
        addresses = self._publish()
        self._mails()
        return addresses

    def _mails(self) -> None:
        """The alerts and reports."""
        boards = {name: entry["id"] for name, entry in self._dashboards().items() if entry}
        named = {entry["database_name"]: entry["id"] for entry in self.client.all("database/")}
        reports = self.files.reports.values()
        mails.bring(self.client, reports, self.countries, boards, named[self.connection.name], self.mail_to, self.say)

    def _dashboards(self) -> dict[str, dict[str, Any] | None]:
        """What is there of each dashboard."""
        there = {entry["slug"]: entry for entry in self.client.all("dashboard/") if entry["slug"]}
        found = {}
        for dashboard in self.files.dashboards.values():
            entry = there.get(dashboard.slug)
            if entry and entry["uuid"] != dashboard.uuid:
                raise DeployError(
                    f"the dashboard {entry['dashboard_title']!r} ({self.client.url}{entry['url']}) has the slug "
                    f"{dashboard.slug!r}, but is not Storewatch's: give it another one"
                )
            found[dashboard.name] = entry
        return found

    def _marks(self) -> dict[str, str]:
        """What each dashboard will tell about itself."""
        return {one.name: self._mark(one) for one in self.files.dashboards.values()}

    def _mark(self, dashboard: Dashboard) -> str:
        print_ = bundle.fingerprint(self.files, dashboard, self.connection.schema)
        return f"release {self.release}, files {print_}"

    def _plan(self, before: dict[str, dict[str, Any] | None]) -> Iterable[str]:
        """What will be created, replaced or left, a line a dashboard."""
        for name, entry in before.items():
            dashboard, mark = self.files.dashboards[name], self._mark(self.files.dashboards[name])
            if entry is None:
                yield f"creates the dashboard {dashboard.title!r} ({mark})"
                continue
            there = entry.get("certification_details") or "of unknown version"
            changed = f"last changed by {(entry.get('changed_by') or {}).get('first_name', 'nobody')} {entry['changed_on_delta_humanized']}"
            if there.rpartition(" ")[2] == mark.rpartition(" ")[2]:
                yield f"the dashboard {dashboard.title!r} is there with the same files: writes it again ({changed})"
            else:
                yield f"replaces the dashboard {dashboard.title!r}, which is {there} ({changed}), by {mark}"

    def _roles(self) -> None:
        """Makes the roles, or gives them their permissions again."""
        known = {self._told(entry): entry["id"] for entry in self.client.all("security/permissions-resources/")}
        self.role_ids = {entry["name"]: entry["id"] for entry in self.client.all("security/roles/")}
        for role in [*self.files.roles.values(), *self._country_roles()]:
            if role.name not in self.role_ids:
                self.role_ids[role.name] = self.client.post("security/roles/", {"name": role.name})["id"]
                self.say(f"creates the role {role.name}")
            wanted = set(role.permissions)
            for other in role.like:
                if other not in self.role_ids:
                    raise DeployError(f"the role {role.name} is like {other}, which this Superset does not have")
                listed = self.client.get(f"security/roles/{self.role_ids[other]}/permissions/")["result"]
                wanted |= {f"{entry['permission_name']} on {entry['view_menu_name']}" for entry in listed}
            if role.sql:
                wanted |= {text for text in known if text.startswith(f"database_access on [{self.connection.name}].")}
            if missing := sorted(wanted - known.keys()):
                self.say(f"the role {role.name}: this Superset has no {', '.join(missing)}")
            ids = sorted(known[text] for text in wanted & known.keys())
            self.client.post(
                f"security/roles/{self.role_ids[role.name]}/permissions", {"permission_view_menu_ids": ids}
            )
        others = {name for name in self.role_ids if name.startswith("country_")} - set(self._country_names())
        for name in sorted(others):
            self.say(f"leaves the role {name}, whose country is not among {' '.join(sorted(self.countries))}")

    def _country_names(self) -> list[str]:
        return [f"country_{country}" for country in sorted(self.countries)]

    def _country_roles(self) -> list[Role]:
        viewer = self.files.roles["viewer"]
        return [Role(name, viewer.like, viewer.permissions) for name in self._country_names()]

    def _row_level_security(self) -> None:
        """A rule a country, and one that shows nothing to whoever has none of the roles, whatever else they may see."""
        uuids = {dataset.uuid for dataset in [*self.files.datasets.values(), *tables.datasets().values()]}
        there = [
            entry for entry in self.client.all("dataset/") if entry["database"]["database_name"] == self.connection.name
        ]
        if lacking := uuids - {entry["uuid"] for entry in there}:
            raise DeployError(f"{len(lacking)} datasets are not there after their import: see Superset's log")
        ids = sorted(entry["id"] for entry in there if entry["uuid"] in uuids)
        everybody = [ADMINISTRATORS, *self.files.roles, *self._country_names()]
        rules = {
            f"storewatch: {name}": ("Regular", [name], f"country = '{name.removeprefix('country_')}'", "country")
            for name in self._country_names()
        }
        rules[_NOBODY_ELSE] = ("Base", everybody, "1 = 0", "")
        known = {entry["name"]: entry["id"] for entry in self.client.all("rowlevelsecurity/")}
        for name, (kind, roles, clause, group) in rules.items():
            content = {
                "name": name,
                "filter_type": kind,
                "tables": ids,
                "roles": [self.role_ids[role] for role in roles],
                "clause": clause,
                "group_key": group,
                "description": "Made by Storewatch's import, which writes it again.",
            }
            if name in known:
                self.client.put(f"rowlevelsecurity/{known[name]}", content)
            else:
                self.client.post("rowlevelsecurity/", content)
        self.say(f"row-level security: {len(rules)} rules on each of {len(ids)} datasets")
        for entry in there:
            if entry["uuid"] not in uuids:
                self.say(
                    f"the dataset {entry['table_name']!r} is not Storewatch's: its row-level security is as it was"
                )

    def _publish(self) -> dict[str, str]:
        """Names the roles that see each dashboard, and only then publishes it."""
        addresses = {}
        for name, entry in self._dashboards().items():
            if entry is None:
                raise DeployError(f"the dashboard {name} is not there after its import: see Superset's log")
            dashboard = self.files.dashboards[name]
            roles = [
                one for role in dashboard.roles for one in (self._country_names() if role == COUNTRIES else [role])
            ]
            self.client.put(f"dashboard/{entry['id']}", {"roles": [self.role_ids[role] for role in roles]})
            self.client.put(f"dashboard/{entry['id']}", {"published": True})
            addresses[name] = self.client.url + entry["url"]
            self.say(f"{dashboard.title!r} is published for {', '.join(roles)}: {addresses[name]}")
        return addresses

    @staticmethod
    def _told(entry: dict[str, Any]) -> str:
        return f"{entry['permission']['name']} on {entry['view_menu']['name']}"
