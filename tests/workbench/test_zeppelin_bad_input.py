"""Notes that are no notes, names that are no names, and a second import: nothing lost, nothing overwritten."""

import copy
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.workbench.zeppelin_notes import Json, calculated, imported, note, one, paragraph, quickly, write

GOOD = json.dumps(note("%md fine")).encode()
UNREAD = {
    "is empty": b" \r\n",
    "is no JSON, or was cut off: ": GOOD[:200],
    "is no JSON, or was cut off: Expecting value": b"<html>",
    "is no JSON, or was cut off: maximum recursion": b'{"paragraphs": ' + b"[" * 200_000,
    "is JSON, but no note of Zeppelin: it has no list of paragraphs": b'{"cells": [], "nbformat": 4}',
    "is JSON, but no note": b"[1]",
    "is no text in UTF-8: it may be encrypted, or packed": b"\x1f\x8b\x08\x00\xff",
}


def test_a_file_that_is_no_note_is_named_and_the_others_are_imported(tmp_path: Path) -> None:
    for number, content in enumerate(UNREAD.values()):
        write(tmp_path / f"notes/{number}/note.json", content)
    write(tmp_path / "notes/Good_2ABCDEFGH.zpln", GOOD)
    done = imported(tmp_path / "notes", tmp_path / "out")
    assert done.status == 1
    assert done.sources("ana/Good.ipynb") == ["fine"]
    failed = done.report["failed"]
    assert [entry["file"] for entry in failed] == [f"{number}/note.json" for number in range(len(UNREAD))]
    for expected, entry in zip(UNREAD, failed, strict=True):
        assert entry["why"].startswith(expected)
        assert f"failed: {entry['file']} {expected}" in done.printed
    assert "notes: 8 found, 1 turned, 0 in the trash, 7 failed" in done.printed


def test_a_huge_note_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "notes/Huge_2ABCDEFGH.zpln"
    write(path, GOOD)
    with open(path, "r+b") as file:
        file.truncate(10**12)
    done = imported(tmp_path / "notes", tmp_path / "out")
    assert done.report["failed"][0]["why"] == "has more than 64,000,000 bytes: clear its results in Zeppelin"


def test_a_byte_order_mark_and_unknown_fields_do_no_harm(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + json.dumps(note("%md fine", future={"a": 1})).replace("\n", "\r\n").encode()
    write(tmp_path / "notes/Note_2ABCDEFGH.zpln", content)
    assert imported(tmp_path / "notes", tmp_path / "out").sources() == ["fine"]


def test_a_lone_surrogate_and_control_characters_reach_a_valid_file(tmp_path: Path) -> None:
    done = one(tmp_path, "%md a\ud800b\0c", "%athena select '\x07${n=\ud800}'")
    assert done.sources()[0] == "a?bc"


def test_trash_and_hidden_folders_stay_behind(tmp_path: Path) -> None:
    write(tmp_path / "notes/~Trash/Old_2ABCDEFGH.zpln", GOOD)
    write(tmp_path / "notes/2OLD/note.json", {**note("%md"), "name": "~Trash/Older", "id": "2OLD"})
    write(tmp_path / "notes/.git/Hidden_2ABCDEFGH.zpln", GOOD)
    write(tmp_path / "notes/Kept_2ABCDEFGH.zpln", GOOD)
    done = imported(tmp_path / "notes", tmp_path / "out")
    assert set(done.files()) == {"ana/Kept.ipynb"}
    assert done.report["notes"] == {"found": 3, "trash": 2}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../../etc/passwd", "_/_/_/etc/passwd"),
        ("/etc/cron.d/x", "etc/cron.d/x"),
        ("..", "_"),
        (".bashrc", "_bashrc"),
        ("a\\b\x1b[2J\n", "a_b_[2J_"),
        ("\u202egnp.exe", "_gnp.exe"),
        ("x" * 300, "x" * 200),
        ("é" * 150, "é" * 100),
        ("", "2ABCDEFGH"),
        ("///", "2ABCDEFGH"),
    ],
)
def test_a_name_never_leads_out_of_the_folder(name: str, expected: str, tmp_path: Path) -> None:
    write(tmp_path / "notes/2ABCDEFGH/note.json", note("%md x", name=name))
    done = imported(tmp_path / "notes", tmp_path / "out")
    assert set(done.files()) == {f"ana/{expected}.ipynb"}
    assert {path.name for path in tmp_path.iterdir()} == {"notes", "out"}
    assert "\x1b" not in done.printed


def test_an_owners_name_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "notes/Note_2ABCDEFGH.zpln", GOOD)
    rights = {"authInfo": {"2ABCDEFGH": {"owners": ["../root"]}}}
    write(tmp_path / "notes/notebook-authorization.json", rights)
    assert set(imported(tmp_path / "notes", tmp_path / "out").files()) == {"__root/Note.ipynb"}


def test_owners_and_who_may_read_come_over(tmp_path: Path) -> None:
    write(tmp_path / "zeppelin/notebook/Team/A_2AAAAAAAA.zpln", note("%md", id="2AAAAAAAA"))
    write(tmp_path / "zeppelin/notebook/B_2BBBBBBBB.zpln", note(paragraph("%md b", user="carla"), id="2BBBBBBBB"))
    write(tmp_path / "zeppelin/notebook/C_2CCCCCCCC.zpln", note("%md c", id="2CCCCCCCC"))
    roles = {"owners": ["eva", "ben"], "readers": ["dan"], "writers": [], "runners": ["dan"]}
    write(tmp_path / "zeppelin/conf/notebook-authorization.json", {"authInfo": {"2AAAAAAAA": roles}})
    done = imported(tmp_path / "zeppelin", tmp_path / "out")
    assert set(done.files()) == {"ben/Team/A.ipynb", "carla/B.ipynb", "ana/C.ipynb"}
    assert done.notebook("ben/Team/A.ipynb")["metadata"]["zeppelin"] == {
        "id": "2AAAAAAAA",
        "path": "Team/A",
        "owners": ["ben", "eva"],
        "readers": ["dan"],
        "runners": ["dan"],
    }
    assert "was shared with dan, eva: share it in a group's folder, or publish it" in done.whys()


def test_rights_that_cannot_be_read_stop_the_import_before_it_writes(tmp_path: Path) -> None:
    write(tmp_path / "notes/Note_2ABCDEFGH.zpln", GOOD)
    write(tmp_path / "notes/notebook-authorization.json", b"{")
    ended = quickly("import", tmp_path / "notes", "--out", tmp_path / "out")
    assert ended.status == 2
    assert ended.errors.startswith(
        "import-notes: notebook-authorization.json cannot be read, so notes would lose their owners: "
    )
    assert not (tmp_path / "out").exists()


def test_a_second_import_changes_nothing(tmp_path: Path) -> None:
    for number, folder in (("2AAAAAAAA", "T"), ("2BBBBBBBB", "T"), ("2CCCCCCCC", "")):
        made = note(f"%md {number}", id=number, name=f"{folder}/Same", config={"cron": "0 0 7 * * ?"})
        write(tmp_path / f"notes/{number}/note.json", made)
    first = imported(tmp_path / "notes", tmp_path / "out")
    assert {path for path in first.files() if path.endswith(".ipynb")} == {
        "ana/T/Same.ipynb",
        "ana/T/Same (2).ipynb",
        "ana/Same.ipynb",
    }
    assert first.sources("ana/T/Same (2).ipynb") == ["2BBBBBBBB"]
    before = {path: (tmp_path / "out" / path).stat().st_mtime_ns for path in first.files()}
    second = imported(tmp_path / "notes", tmp_path / "out")
    assert second.files() == first.files()
    assert {path: (tmp_path / "out" / path).stat().st_mtime_ns for path in second.files()} == before
    assert "notebooks: 0 written, 3 there already, 0 changed since" in second.printed


def test_what_was_changed_since_and_what_is_somebodys_stays(tmp_path: Path) -> None:
    write(tmp_path / "notes/Note_2ABCDEFGH.zpln", GOOD)
    write(tmp_path / "notes/Mine_2BBBBBBBB.zpln", note("%md new", id="2BBBBBBBB"))
    write(tmp_path / "out/ana/Mine.ipynb", b"my own")
    done = imported(tmp_path / "notes", tmp_path / "out")
    assert done.sources("ana/Mine (2).ipynb") == ["new"]
    edited = done.notebook()
    edited["cells"][0]["source"] = ["my edit"]
    write(tmp_path / "out/ana/Note.ipynb", edited)
    again = imported(tmp_path / "notes", tmp_path / "out")
    assert again.sources() == ["my edit"]
    assert again.files()["ana/Mine.ipynb"] == b"my own"
    assert set(again.files()) == {"ana/Mine.ipynb", "ana/Mine (2).ipynb", "ana/Note.ipynb"}
    assert "notebooks: 0 written, 1 there already, 1 changed since they were imported and left alone" in again.printed


def test_a_report_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    write(tmp_path / "notes/Note_2ABCDEFGH.zpln", b"{")
    write(tmp_path / "out", b"a file")
    ended = quickly("import", tmp_path / "notes", "--out", tmp_path / "out")
    assert (ended.status, ended.errors) == (2, f"import-notes: {tmp_path}/out cannot be written: File exists\n")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("missing", "is no folder: name the folder of Zeppelin's notes, or s3://bucket/prefix"),
        ("empty", "has no notes: name the folder that has Zeppelin's .zpln or note.json files"),
        ("s3://", "names no bucket: write s3://bucket/prefix"),
    ],
)
def test_a_place_without_notes_is_one_sentence(place: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    place = place if place.startswith("s3:") else str(tmp_path / place)
    ended = quickly("import", place, "--out", tmp_path / "out")
    assert (ended.status, ended.errors) == (2, f"import-notes: {place} {message}\n")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    write(tmp_path / "notes/Note_2ABCDEFGH.zpln", GOOD)
    write(tmp_path / "out", b"a file")
    ended = quickly("import", tmp_path / "notes", "--out", tmp_path / "out")
    assert ended.status == 2
    assert ended.errors.startswith(f"import-notes: {tmp_path}/out/zeppelin/Note.ipynb cannot be written: ")
    assert ended.errors.count("\n") == 1


HOSTILE = {
    "remarks": "%athena select 1;" + "/**/" * 20_000 + "x",
    "quotes": "%spark.sql " + "'\\" * 45_000,
    "forms": "%athena " + "${" * 45_000,
    "markdown": "%md " + "${a=" * 20_000,
    "parentheses": "%python " + "(" * 90_000,
    "minuses": "%python " + "-" * 90_000 + "1",
    "properties": "%jdbc(" + '"' * 90_001,
    "dots": "%python " + "a." * 45_000 + "b",
    "long": "%athena " + "x" * 10_000_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_paragraph_takes_the_import_long(kind: str, tmp_path: Path) -> None:
    bad = {"code": "SUCCESS", "msg": [{"type": "HTML", "data": "<a href='https://" + "x" * 900_000 + "'>"}]}
    started = time.monotonic()
    assert one(tmp_path, paragraph(HOSTILE[kind], results=bad)).status == 0
    assert time.monotonic() - started < 60


def damaged(draw: random.Random, value: Any) -> Any:
    """The value with some of its parts replaced by what does not belong there."""
    if draw.random() < 0.06:
        wrong = [None, 7, -0.5, True, "", "x", "%", "%athena(", "${", "${a=b,c|d}", "`\"'", [], {}, [None], {"a": [1]}]
        return copy.deepcopy(draw.choice(wrong))
    if isinstance(value, dict):
        return {key: damaged(draw, part) for key, part in value.items() if draw.random() > 0.03}
    if isinstance(value, list):
        return [damaged(draw, part) for part in value]
    if isinstance(value, str) and value and draw.random() < 0.2:
        at, other = (
            draw.randrange(len(value)),
            draw.choice(["'", '"', "{", "}", "$", "\\", ";", "%", "\n", "(", "`", "\0"]),
        )
        return value[:at] + other + value[at + draw.randint(0, 2) :]
    return value


@pytest.mark.smoke
def test_damaged_notes_give_valid_notebooks_or_a_reason(tmp_path: Path) -> None:
    settings = {"params": {"c": "mx", "d": ["1"]}, "forms": {"c": {"name": "c"}}}
    result = {"code": "SUCCESS", "msg": [{"type": "TABLE", "data": "a\tb\n1\t2"}, {"type": "HTML", "data": "<b>x</b>"}]}
    whole: Json = note(
        paragraph("%md\n# ${c=es}", settings=settings, results=result),
        paragraph(
            "%jdbc(athena)\nselect '${c=es,es|mx}' from t where d in (${checkbox(, ):d=1,1|2})", settings=settings
        ),
        paragraph('%spark.sql select `a`, "b"; select $${e=5}', results=result, title="T"),
        paragraph("%python\nc = z.select('c', [('es', 'Spain')], 'es')\nz.show(c)", settings=settings, results=result),
        paragraph("%sh ls", results=result, config={"editorHide": True}),
        noteParams={"e": "6"},
        config={"cron": "0 0 7 ? * MON", "looknfeel": "default"},
    )
    draw = random.Random(15)
    for number in range(400):
        write(
            tmp_path / f"notes/{number}/note.json", damaged(draw, {**whole, "id": f"2N{number}", "name": f"N{number}"})
        )
    done = imported(tmp_path / "notes", tmp_path / "out")
    report = done.report
    assert report["notes"]["found"] == 400
    assert len(report["notebooks"]) + len(report["failed"]) + report["notes"].get("trash", 0) == 400
    assert len(report["notebooks"]) > 300
    code = """
import ast, nbformat
result = []
for path in given:
    made = nbformat.read(path, 4)
    nbformat.validate(made)
    for cell in made.cells:
        if "sql(" in cell.source and cell.cell_type == "code" and not cell.source.startswith("#"):
            ast.parse(cell.source)
    result.append(len(made.cells))
"""
    assert sum(calculated(code, [str(path) for path in (tmp_path / "out").rglob("*.ipynb")])) > 1000
