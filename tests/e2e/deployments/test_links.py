"""The link check finds broken links in a Markdown file, and nothing else."""

from pathlib import Path

from infra.local.checks import links

PAGE = """# Page

## Two words, `code`

[the heading](#two-words-code) and [a file](docs/other.md), [its heading](docs/other.md#again-1) and
[a folder](docs), <https://example.com> and [a site](https://example.com/#nowhere), `[code](nowhere.md)`.

```
[fenced](nowhere.md)
```
"""
OTHER = "# Again\n\n# Again\n\n[back](../page.md)\n"


def test_working_links_are_not_reported(tmp_path: Path) -> None:
    assert _problems(tmp_path, PAGE) == []


def test_missing_files_and_headings_are_reported_with_their_lines(tmp_path: Path) -> None:
    broken = PAGE + "\n[gone](docs/gone.md)\n\n[no heading](docs/other.md#again-2) [nor here](#two-words)\n"
    assert _problems(tmp_path, broken) == [
        "page.md:12 links to docs/gone.md, which does not exist",
        "page.md:14 links to the heading #again-2, which docs/other.md does not have",
        "page.md:14 links to the heading #two-words, which page.md does not have",
    ]


def _problems(root: Path, page: str) -> list[str]:
    (root / "docs").mkdir()
    (root / "page.md").write_text(page)
    (root / "docs/other.md").write_text(OTHER)
    return links.problems(root)
