"""Imports Zeppelin's notes as notebooks, and exports the project's notebooks as notes.

    python -m infra.workbench.zeppelin import FROM [--out DIR] [--owner NAME] [--timezone ZONE]
    python -m infra.workbench.zeppelin export TO [--interpreter athena]

FROM is a folder or s3://bucket/prefix, read with your AWS credentials. It ends with 1 if a note failed; the
others are imported all the same. Without DIR, notebooks go into the homes of the workbench whose settings
STOREWATCH_WORKBENCH names, and root runs it.
"""

import argparse
import re
import sys
from pathlib import Path
from zoneinfo import available_timezones, reset_tzpath

from infra.errors import DeployError
from infra.workbench.hub.settings import Settings
from infra.workbench.zeppelin import exporting, importing
from infra.workbench.zeppelin.destination import DestinationError, Folder, Place
from infra.workbench.zeppelin.homes import Homes
from infra.workbench.zeppelin.source import SourceError

# The machine's own data may be of any release; the workbench's tzdata is pinned.
reset_tzpath(to=())

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise argparse.ArgumentTypeError(f"{name!r} is no time zone: write one as in Europe/Madrid")
    return name


def _interpreter(name: str) -> str:
    if not re.fullmatch(r"[\w.-]+(\(\w+\))?", name):
        raise argparse.ArgumentTypeError(f"{name!r} is no interpreter: write one as in athena or jdbc(athena)")
    return name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.workbench.zeppelin", description=(__doc__ or "").split("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    read = commands.add_parser("import", help="turn notes into notebooks")
    read.add_argument("place", metavar="FROM", help="folder or s3://bucket/prefix of the notes")
    read.add_argument("--out", type=Path, help="folder for <owner>/<folders>/<name>.ipynb (default: users' homes)")
    read.add_argument("--owner", default="zeppelin", help="whose notes are that have no owner (%(default)s)")
    read.add_argument("--timezone", type=_zone, default="UTC", help="of Zeppelin's server, for schedules (%(default)s)")
    write = commands.add_parser("export", help="turn the project's notebooks into notes")
    write.add_argument("to", type=Path, metavar="TO", help="folder for <name>_<id>.zpln")
    write.add_argument("--notebooks", type=Path, default=NOTEBOOKS, help="folder of the notebooks (%(default)s)")
    write.add_argument("--interpreter", type=_interpreter, default="athena", help="for SQL: athena, jdbc(athena), …")
    return parser


def main() -> int:
    """Runs the command, and says what it did."""
    args = _parser().parse_args()
    place: Place
    try:
        if args.command == "export":
            for path in exporting.run(args.notebooks, args.to, args.interpreter):
                print(path)
            return 0
        if args.out:
            place, root = Folder(args.out, args.owner), args.out
        else:
            settings = Settings.load()
            place, root = Homes(settings, args.owner), settings.folder
        report = importing.run(args.place, place, args.timezone)
        written = root / "import-report.json"
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_bytes(report.json())
    except (DeployError, SourceError, DestinationError, exporting.ExportError) as error:
        print(f"{args.command}-notes: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{args.command}-notes: {error.filename} cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    for line in report.lines():
        print(line)
    print(f"the same as JSON: {written}")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
