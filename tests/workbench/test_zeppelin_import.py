"""Notes of every shape become notebooks that ask what the notes asked."""

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.workbench.zeppelin_notes import Imported, Json, asked, calculated, imported, note, one, paragraph, write

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"picture").decode()
FORM = {"params": {"country": "mx"}, "forms": {"country": {"name": "country", "defaultValue": "es"}}}
TABLE = {"code": "SUCCESS", "msg": [{"type": "TABLE", "data": "city\tstores\nMadrid\t3\n<b>Vigo</b>\t2\n"}]}


def old_paragraph(text: str, **fields: Any) -> Json:
    """A paragraph as 0.8 wrote it: dates in American words, charts in a list."""
    return {
        "text": text,
        "user": "anonymous",
        "dateUpdated": "Dec 17, 2018 3:32:15 PM",
        "config": {
            "colWidth": 12.0,
            "enabled": True,
            "editorMode": "ace/mode/sql",
            "results": [{"graph": {"mode": "multiBarChart", "height": 300.0, "optionOpen": False}, "helium": {}}],
        },
        "settings": {"params": {}, "forms": {}},
        "apps": [],
        "jobName": "paragraph_1423836981412_-1007008116",
        "id": "20150213-231621_168813393",
        "dateCreated": "Feb 13, 2018 11:16:21 PM",
        "status": "FINISHED",
        "progressUpdateIntervalMs": 500,
        **fields,
    }


def shapes(folder: Path) -> None:
    """The same note by three releases: its folder is in the name until 0.8, and in the file's path since."""
    texts = ("%md\n# Stores", "%jdbc(athena)\nselect city from stores where country = '${country=es}'")
    old = [old_paragraph(texts[0]), old_paragraph(texts[1], settings=FORM, results=TABLE)]
    new = [paragraph(texts[0]), paragraph(texts[1], settings=FORM, results=TABLE)]
    typed = {"params": {"country": "mx"}, "forms": {"country": {"type": "TextBox", "name": "country", "hidden": False}}}
    write(
        folder / "2EIGHT888/note.json",
        {
            "paragraphs": old,
            "name": "Team/Daily/By 0.8",
            "id": "2EIGHT888",
            "angularObjects": {},
            "config": {},
            "info": {},
        },
    )
    write(folder / "Team/Daily/By 0.9_2NINE9999.zpln", note(*new, id="2NINE9999", name="By 0.9", version="0.9.0"))
    new[1] = {**new[1], "title": "", "settings": typed}
    write(folder / "Team/Daily/By 0.12_2TWELVE12.zpln", note(*new, id="2TWELVE12", name="By 0.12", version="0.12.0"))


@pytest.mark.parametrize("release", ["0.8", "0.9", "0.12"])
@pytest.mark.smoke
def test_a_note_of_each_release_keeps_its_place_text_query_form_and_result(
    release: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes(tmp_path / "notebook")
    done = imported(tmp_path, tmp_path / "out")
    assert done.status == 0
    markdown, imports, parameters, query = done.cells(f"ana/Team/Daily/By {release}.ipynb")
    assert markdown["source"] == "# Stores"
    assert imports["source"] == "from storewatch import sql"
    assert parameters["source"] == 'country = "mx"'
    assert asked([imports, parameters, query], monkeypatch, tmp_path) == [
        "select city from stores where country = 'mx'"
    ]
    data = query["outputs"][0]["data"]
    assert "<td>Madrid</td><td>3</td>" in "".join(data["text/html"])
    assert "<td>&lt;b&gt;Vigo" in "".join(data["text/html"])
    assert "".join(data["text/plain"]) == "city\tstores\nMadrid\t3\n<b>Vigo</b>\t2"


# The text of a paragraph, and what Zeppelin sends to its engine, statement by statement.
QUERIES = {
    "plain": ("%athena select 1", ["select 1"]),
    "braces": ("%trino\nselect '{a}' as \"{b}\"", ["select '{a}' as \"{b}\""]),
    "braces beside a form": ("%trino\nselect '{a}', ${n=3}", ["select '{a}', 3"]),
    "backslashes": (r"%presto select regexp_like(x, '\d\\') from t", [r"select regexp_like(x, '\d\\') from t"]),
    "backslashes beside a form": (r"%presto select '\n{', ${n=3}", [r"select '\n{', 3"]),
    "many quotes": ('%athena select """a""" from t where x = \'"""\'', ['select """a""" from t where x = \'"""\'']),
    "a quote at the end": ('%athena select 1 as "a"', ['select 1 as "a"']),
    "two statements": ("%jdbc(trino)\nselect 1;\n\nselect 2;\n", ["select 1", "select 2"]),
    "semicolons inside": (
        "%jdbc\nselect ';' as \";\" -- ; no\n/* ; */ from t",
        ["select ';' as \";\" -- ; no\n/* ; */ from t"],
    ),
    "a comment last": ("%jdbc select 1;\n-- the end", ["select 1\n-- the end"]),
    "Windows line ends": ("%athena\r\nselect 1,\r\n2\r\n", ["select 1,\n2"]),
    "options": ("%athena select '${c=es,es(Spain)|mx(Mexico)}'", ["select 'es'"]),
    "a label": ("%athena select '${c(Which country)=es}'", ["select 'es'"]),
    "checkbox": ("%athena select 1 where c in (${checkbox:c=1|2,1|2|3})", ["select 1 where c in (1,2)"]),
    "delimiter": ("%athena select ${checkbox( or ):c=a|b,a|b|c}", ["select a or b"]),
    "odd delimiter": ("%athena select ${checkbox( {# ):c=a|b,a|b|c}", ["select a {# b"]),
    "quoted delimiter": ("%athena select '${checkbox(', '):c=a|b,a|b|c}'", ["select 'a', 'b'"]),
    "no default": ("%athena select '${c}'", ["select ''"]),
    "a keyword": ("%athena select ${class=1} + ${sql=2} + ${2nd day=3}", ["select 1 + 2 + 3"]),
    "whole note": ("%athena select $${c=5} + ${c=5}", ["select 5 + 5"]),
    "properties": ('%jdbc(db=athena, title="a, b") select 1', ["select 1"]),
    "Spark": ("%spark.sql select `a b`, \"it's\", 'it\\'s' from t", ["select \"a b\", 'it''s', 'it''s' from t"]),
    "Hive": ('%hive select * from t where c = "${c=es,es|mx}"', ["select * from t where c = 'es'"]),
    "a note's sql": ('%sql select "a"', ["select 'a'"]),
    "with": (
        "%athena\n-- first\n(with a as (select 1) select * from a)",
        ["-- first\n(with a as (select 1) select * from a)"],
    ),
}


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """A note per query, imported together."""
    folder = tmp_path_factory.mktemp("queries")
    for kind, (text, _) in QUERIES.items():
        write(folder / f"notes/{kind}_2ABCDEFGH.zpln", note(text))
    return imported(folder / "notes", folder / "out")


@pytest.mark.parametrize("kind", QUERIES)
def test_a_query_reaches_sql_as_zeppelin_sent_it(
    kind: str, queries: Imported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(queries.cells(f"ana/{kind}.ipynb"), monkeypatch, tmp_path) == QUERIES[kind][1]


def test_another_value_of_a_parameter_reaches_each_query_of_its_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = one(
        tmp_path, "%md # Two", "%athena select '${c=es,es|mx}'", "%python\nprint(1)", "%athena select 2, '${c=es}'"
    )
    tagged = [cell for cell in done.cells() if cell["metadata"].get("tags") == ["parameters"]]
    assert [cell["source"] for cell in tagged] == ['c = "es"  # one of es, mx']
    assert asked(done.cells(), monkeypatch, tmp_path, c="mx") == ["select 'mx'", "select 2, 'mx'"]


def test_equal_names_with_different_answers_stay_different(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = paragraph("%athena select 2, '${c=es}'", settings={"params": {"c": "mx"}, "forms": {}})
    done = one(tmp_path, "%athena select 1, '${c=es}'", second, "%athena select '$${c=x}'", noteParams={"c": "mx"})
    assert asked(done.cells(), monkeypatch, tmp_path) == ["select 1, 'es'", "select 2, 'mx'", "select 'mx'"]


def test_a_form_does_not_take_the_value_of_a_variable_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "%python\nday = 5\nc = z.input('c', 'es')\nfor n in range(3): pass"
    done = one(tmp_path, code, "%athena select '${day=Monday}', '${c=es}', ${n=7}")
    assert asked(done.cells(), monkeypatch, tmp_path) == ["select 'Monday', 'es', 7"]
    assert done.sources()[1] == 'c = "es"\nday_form = "Monday"\nn_form = "7"'


def test_a_password_is_not_copied(tmp_path: Path) -> None:
    secret = {"params": {"pin": "hunter2"}, "forms": {"pin": {"type": "Password", "name": "pin"}}}
    text = "%python\npin = z.password('pin')\nprint(len(pin))"
    done = one(
        tmp_path, paragraph("%athena select '${password:pin}'", settings=secret), paragraph(text, settings=secret)
    )
    assert all(b"hunter2" not in content for content in done.files().values())
    assert "the parameter pin is empty: it was a password, and those are not copied" in done.whys()


def test_python_keeps_its_code_and_asks_by_parameters(tmp_path: Path) -> None:
    code = """%python.ipython
# á, before a form on the same line
country = z.select("Country", [("es", "Spain"), ("mx", "Mexico")], "es")
days = z.input("Days", 7); print("é", z.textbox(name="City", defaultValue="Vigo"), days)
z.show(frame)
z.show(plt)
%timeit 1 + 1
frame?"""
    parameters, cell = one(tmp_path, code).sources()
    assert parameters == 'country = "es"  # one of es, mx\ndays = 7\nCity = "Vigo"'
    assert cell == (
        '# á, before a form on the same line\n\npass; print("é", City, days)\ndisplay(frame)\nplt.show()\n'
        "%timeit 1 + 1\nframe?"
    )


def test_what_only_zeppelin_has_is_reported(tmp_path: Path) -> None:
    done = one(tmp_path, "%python\nz.put('a', z.input(name()))", '%python\nprint "two"', "%python\n%%bash\nls -l")
    assert done.sources() == ["z.put('a', z.input(name()))", 'print "two"', "%%bash\nls -l"]
    first, second = done.whys()
    assert first == "still uses z.input(), z.put(), which only Zeppelin has"
    assert second.startswith("kept as it was: it is not valid Python 3 (Missing parentheses in call to 'print'")


KEPT = {
    "%spark\nval x = 1": ("scala", "no Spark"),
    "val x = 1": ("scala", "no Spark"),
    "%spark.pyspark\nsc.version": ("python", "no Spark"),
    "%livy.pyspark\nsc": ("python", "no Spark"),
    "%sh\nls": ("bash", "shell paragraph"),
    "%flink.ssql\nselect 1": ("sql", "no Flink"),
    "%r\nplot(1)": ("r", "no R"),
    "%spark.r\nplot(1)": ("r", "no Spark"),
    "%psql\nselect 1": ("sql", "It asked psql, not the lake"),
    "%jdbc(mysql)\nselect 1": ("sql", "It asked mysql, not the lake"),
    "%elasticsearch\nsearch /stores": ("", "asked Elasticsearch"),
    "%python.sql\nselect * from df": ("sql", "asked data frames"),
    "%angular\n<b>1</b>": ("html", "scripts"),
    "%pig\nx = load 'y';": ("", "nothing that runs %pig"),
    "%athena\ndrop table stores": ("sql", "It begins with drop, and sql() only reads"),
    "%athena\nselect 1; insert into t values (1)": ("sql", "It begins with insert"),
}


def test_what_cannot_run_is_kept_as_text_with_the_reason(tmp_path: Path) -> None:
    done = one(tmp_path, *KEPT)
    cells = done.cells()
    assert {cell["cell_type"] for cell in cells} == {"markdown"}
    for (text, (language, why)), cell, problem in zip(KEPT.items(), cells, done.report["problems"], strict=True):
        code = text.split("\n", 1)[1] if text.startswith("%") else text
        assert cell["source"].startswith("*From Zeppelin, ")
        assert cell["source"].endswith(f"```{language}\n{code}\n```")
        assert why in cell["source"]
        assert why in problem["why"]


def test_code_with_backticks_stays_inside_of_its_fence(tmp_path: Path) -> None:
    assert one(tmp_path, "%sh\necho ````x````").sources()[0].endswith("`````bash\necho ````x````\n`````")


def test_markdown_is_as_it_was_with_its_forms_filled(tmp_path: Path) -> None:
    asks = paragraph("%md\nFor ${who=all} at ${cost}$", settings={"params": {"who": "Ana"}, "forms": {}})
    assert one(tmp_path, "%md\n\n# A\n\n* b `x`\n", "%md.markdown $x_{1}$", asks).sources() == [
        "# A\n\n* b `x`",
        "$x_{1}$",
        "For Ana at ${cost}$",
    ]


def test_titles_and_hidden_code_and_hidden_results_stay(tmp_path: Path) -> None:
    text = paragraph("%python\n1", title="The  first", config={"editorHide": True, "tableHide": True})
    title, cell = one(tmp_path, text).cells()
    assert title["source"] == "### The first"
    assert cell["metadata"] == {"jupyter": {"source_hidden": True, "outputs_hidden": True}}


def test_a_disabled_paragraph_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    off = paragraph("%athena\nselect 1;\nselect '${c=es}'", config={"enabled": False}, results=TABLE)
    done = one(tmp_path, off, paragraph("%python\nraise SystemExit", config={"enabled": False}))
    assert asked(done.cells(), monkeypatch, tmp_path) == []
    assert any(cell.get("outputs") for cell in done.cells())
    assert done.report["cells"]["disabled"] == 2


def test_a_default_interpreter_is_the_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = one(tmp_path, 'select "a" from t', '%sql select "b" from t', defaultInterpreterGroup="jdbc")
    assert asked(done.cells(), monkeypatch, tmp_path) == ['select "a" from t', 'select "b" from t']


def result(kind: str, data: str, code: str = "SUCCESS") -> Json:
    """A Python paragraph with a result."""
    return paragraph("%python\n1", results={"code": code, "msg": [{"type": kind, "data": data}]})


def outputs(folder: Path, *texts: Json) -> list[Json]:
    """The first output of each paragraph."""
    return [cell["outputs"][0] for cell in one(folder, *texts).cells()]


def test_texts_errors_and_images_of_the_last_run_stay(tmp_path: Path) -> None:
    html = f"<div style='width:auto'><img src=data:image/png;base64,{PNG} style='width:auto;height:auto'><div>\n"
    text, error, image, inside = outputs(
        tmp_path, result("TEXT", "a\nb"), result("TEXT", "boom", "ERROR"), result("IMG", PNG), result("HTML", html)
    )
    assert (text["name"], "".join(text["text"])) == ("stdout", "a\nb")
    assert (error["name"], "".join(error["text"])) == ("stderr", "boom")
    assert "".join(image["data"]["image/png"]).strip() == PNG
    assert "".join(inside["data"]["image/png"]).strip() == PNG


def test_a_results_scripts_and_what_it_loads_are_left_out(tmp_path: Path) -> None:
    hostile = (
        "<h1 onclick='x()'>Kept</h1><script>steal()</script><style>*{}</style><img src=x onerror=steal()>"
        "<img src='https://evil.example/pixel.png'><a href='javascript:steal()'>link</a><iframe src='//evil'></iframe>"
        "<form action='//evil'><input name=a></form><svg onload=steal()><script>steal()</script></svg>"
        "<math><mtext></mtext></math><a href=' javascript:steal()'>b</a><script >steal()"
    )
    done = one(tmp_path, result("HTML", hostile), result("ANGULAR", hostile))
    for cell in done.cells():
        html = "".join(cell["outputs"][0]["data"]["text/html"])
        assert "<h1>Kept</h1>" in html
        for bad in ("script", "on", "evil", "steal", "style", "iframe", "form", "svg", "math", "input"):
            assert f"<{bad}" not in html
            assert f" {bad}" not in html
        assert "javascript" not in html
        assert "evil" not in html
        assert "steal" not in html


def test_a_result_keeps_its_images_that_are_inside(tmp_path: Path) -> None:
    (mixed,) = outputs(
        tmp_path, result("HTML", f'<p>Before</p><img src="data:image/png;base64,{PNG}"><img src="data:x">')
    )
    html = f'<p>Before</p><img src="data:image/png;base64,{PNG}"><img>'
    assert "".join(mixed["data"]["text/html"]) == html


def test_a_chart_that_a_script_drew_is_reported(tmp_path: Path) -> None:
    done = one(tmp_path, result("HTML", "<div id='chart'></div><script>draw('chart')</script>"), result("IMG", "no"))
    assert all(cell["outputs"] == [] for cell in done.cells())
    assert done.whys() == [
        "a result (HTML) was left out: it was drawn by a script: run the cell again",
        "a result (IMG) was left out: the image is not in base64",
    ]


def test_a_picture_cannot_run_its_script(tmp_path: Path) -> None:
    (svg,) = outputs(tmp_path, result("SVG", "<svg><script>steal()</script></svg>"))
    assert list(svg["data"]) == ["text/html", "text/plain"]
    assert "".join(svg["data"]["text/html"]).startswith('<img src="data:image/svg+xml;base64,')


def test_a_notebook_is_not_trusted_until_its_owner_says_so(tmp_path: Path) -> None:
    done = one(tmp_path, result("HTML", "<b>bold</b>"))
    code = (
        "import nbformat\nfrom nbformat.sign import NotebookNotary\n"
        "made = nbformat.read(given['path'], 4)\nnotary = NotebookNotary(data_dir=given['data'])\n"
        "result = [notary.check_signature(made), notary.check_cells(made)]"
    )
    given = {"path": str(done.out / "ana/Note.ipynb"), "data": str(tmp_path)}
    assert calculated(code, given) == [False, False]


def test_very_large_results_are_cut_or_left_out_and_reported(tmp_path: Path) -> None:
    rows = "n\n" + "".join(f"{number}\n" for number in range(5000))
    done = one(tmp_path, result("TABLE", rows), result("TEXT", "x" * 1_000_001))
    table, text = done.cells()
    assert "".join(table["outputs"][0]["data"]["text/html"]).count("<tr>") == 1001
    assert text["outputs"] == []
    assert done.whys() == [
        "only the first 1,000 of its result's 5,000 rows were kept",
        "a result (TEXT) was left out: it has 1,000,001 characters, more than 1,000,000",
    ]


def test_the_last_result_of_what_cannot_run_stays_readable(tmp_path: Path) -> None:
    kept = {
        "code": "SUCCESS",
        "msg": [*TABLE["msg"], {"type": "IMG", "data": PNG}, {"type": "TEXT", "data": "a ``` b"}],
    }
    (cell,) = one(tmp_path, paragraph("%spark\nval x = 1", results=kept)).cells()
    assert "<td>Madrid</td>" in cell["source"]
    assert "![result](attachment:result-2)" in cell["source"]
    assert cell["attachments"] == {"result-2": {"image/png": PNG}}
    assert cell["source"].endswith("````\na ``` b\n````")


@pytest.mark.smoke
def test_a_scheduled_run_can_have_other_answers(tmp_path: Path) -> None:
    first = "%python\ncountry = z.select('country', [('es', 'Spain')], 'es')"
    done = one(tmp_path, first, "%python\nprint(country, z.input('days', '7'))")
    code = (
        "import papermill\n"
        "made = papermill.execute_notebook(given['path'], given['out'], given['values'], progress_bar=False, kernel_name='python3')\n"
        "result = [cell.outputs[0].text for cell in made.cells if cell.get('outputs')]"
    )
    given = {"path": str(done.out / "ana/Note.ipynb"), "out": str(tmp_path / "ran.ipynb"), "values": {"country": "mx"}}
    assert calculated(code, given) == ["mx 7\n"]
