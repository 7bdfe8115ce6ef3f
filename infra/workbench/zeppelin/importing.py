"""The import: each note of a source becomes a notebook in its owner's folder."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from infra.workbench.zeppelin import notebook, quartz, schedule, source
from infra.workbench.zeppelin.destination import Destination, Place, safe
from infra.workbench.zeppelin.note import Note, NoteError, load
from infra.workbench.zeppelin.report import Report


def run(place: str, into: Place, timezone: str) -> Report:
    """Imports all notes of a folder or of `s3://bucket/prefix`. `timezone` is that of Zeppelin's server."""
    report, to = Report(), Destination(into)
    with source.opened(place) as opened:
        for file in opened.files:
            report.notes["found"] += 1
            name = file.path
            try:
                note = load(file.read(), file.path)
                name = note.path
                if note.is_trash:
                    report.notes["trash"] += 1
                    report.add(note.path, "", "lies in Zeppelin's trash, and was left there")
                else:
                    _note(note, opened.rights.get(note.id, {}), to, timezone, report)
            except NoteError as error:
                report.failed.append({"file": name, "why": str(error)})
    return report


def _note(note: Note, rights: Mapping[str, list[str]], to: Destination, timezone: str, report: Report) -> None:
    owners = rights.get("owners") or [note.user] * bool(note.user)
    made = notebook.convert(note, rights)
    names = [safe(part) for part in (*note.folders, note.name)]
    if names != [*note.folders, note.name]:
        report.add(note.path, "", f"is now called {'/'.join(names)}: its name could not be a file's")
    folder = to.place.folder(owners)
    wanted = folder.joinpath(*names[:-1], names[-1] + ".ipynb")
    path, outcome = to.write(wanted, made.content(), note.id)
    report.notebooks.append({"note": note.path, "id": note.id, "notebook": str(path), "outcome": outcome})
    report.cells.update(made.kinds)
    for paragraph, why in made.problems:
        report.add(note.path, paragraph, why)
    if owners and owners[0].lower() != folder.parts[0].lower():
        report.add(note.path, "", f"belonged to {owners[0]}, and is in the folder {folder} now")
    others = sorted({name for named in rights.values() for name in named} - {*owners[:1], folder.parts[0]})
    if others:
        report.add(note.path, "", f"was shared with {', '.join(others)}: share it in a group's folder, or publish it")
    if note.cron:
        _schedule(note, path, made, others, to, timezone, report)


def _schedule(
    note: Note,
    path: PurePosixPath,
    made: notebook.Converted,
    readers: list[str],
    to: Destination,
    timezone: str,
    report: Report,
) -> None:
    try:
        cron = quartz.to_cron(note.cron)
    except quartz.CronError as error:
        report.add(note.path, "", f"its schedule {note.cron!r} was left out: {error}")
        return
    beside = path.with_name(path.stem + schedule.OFF)
    content = schedule.text(cron, note.cron, timezone, path.stem, made.parameters.values, readers)
    if to.write_beside(beside, content.encode()) != "kept":
        why = f"its schedule {note.cron!r} is {cron!r} now, and off: rename {beside.name} to {path.stem}{schedule.ON}"
        report.add(note.path, "", why)
