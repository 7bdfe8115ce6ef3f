"""What the pictures show, read from their axes."""

from tests.harness.lakes import Lake
from tests.workbench.package.notebook import Notebook

_COLOURS = {"available": "#0072B2", "unavailable": "#D55E00", "unlisted": "#CC79A7", "closed": "#F2F2F2"}


def test_the_line_is_availability_and_grey_what_was_not_seen(notebook: Notebook) -> None:
    [line, seen, low, grey, labels] = notebook.run("""
        hours = availability("mx", "2026-03-23", by="hour")
        ax = plot.availability(hours)
        result = [
            ax.lines[0].get_ydata().tolist(), hours["availability"].tolist(),
            [ax.get_ylim()[0], float(hours["availability_low"].min())],
            [patch.get_width() * 24 for patch in ax.patches], ax.get_legend_handles_labels()[1],
        ]
    """).result
    assert [str(value) for value in line] == [str(value) for value in seen] and len(line) == 24
    assert low[0] < low[1] < 1  # all of the band is in the picture
    assert [round(width, 6) for width in grey] == [1.0] * 6  # the country's first tick is at 06:00
    assert labels == ["availability", "availability, with the unseen", "nothing seen"]


def test_a_strip_has_a_block_for_each_look_in_the_colour_of_its_status(notebook: Notebook, lake: Lake) -> None:
    [blocks, stores, legend] = notebook.run("""
        from matplotlib.colors import to_hex
        ax = plot.slots(sql('''
            select slot, store_id, status from store_availability
            where country = 'mx' and day = '2026-03-25' and store_id in ('106', '110') order by store_id, slot
        '''))
        blocks = [patch for patch in ax.patches if patch.get_width() == 1]
        result = [
            sorted([round(one.get_y() + 0.4), round(one.get_x()), to_hex(one.get_facecolor()).upper()] for one in blocks),
            [label.get_text() for label in ax.get_yticklabels()], [text.get_text() for text in ax.get_legend().get_texts()],
        ]
    """).result
    rows = [
        row
        for row in lake.tables["store_availability"]
        if (row["country"], row["day"]) == ("mx", "2026-03-25") and row["store_id"] in ("106", "110")
    ]
    expected = [
        [
            ["106", "110"].index(row["store_id"]),
            row["slot"].hour * 4 + row["slot"].minute // 15,
            _COLOURS[row["status"]],
        ]
        for row in rows
    ]
    assert blocks == sorted(expected) and len(blocks) == 2 * 91  # five slots have no rows
    assert stores == ["106", "110"]
    assert set(legend) == {row["status"] for row in rows} | {"missed"}


def test_outages_are_bars_and_an_open_one_has_an_arrow(notebook: Notebook) -> None:
    [names, arrows, expected, is_open, title] = notebook.run("""
        found = outages("es", "2026-03-24")
        ax = plot.outages(found)
        many = plot.outages(outages("es", "2026-03-23", "2026-03-29"))
        result = [
            [label.get_text() for label in ax.get_yticklabels()],
            sum(line.get_marker() == ">" for line in ax.lines),
            found.sort_values(["began_by", "store_id"])["name"].tolist(), int(found["is_open"].sum()), many.get_title(),
        ]
    """).result
    assert names == expected
    assert arrows == is_open > 0
    assert title == "the 40 of 72 outages that lost the most"
