"""Configuration of Sphinx for the documentation site: `make docs`.

The source folder is the root of the repository, so that the links of the Markdown files are the
same on the site and on a code host.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.ext.napoleon.docstring import GoogleDocstring

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
sys.path.insert(0, str(FOLDER))
sys.path.insert(0, str(ROOT))

import command_reference  # noqa: E402
import contents  # noqa: E402
import python_reference  # noqa: E402
import run_tables  # noqa: E402

import cae  # noqa: E402

project = "cae-sweep"
author = "the authors of cae-sweep"
release = cae.__version__
language = "en"
extensions = ["myst_nb", "sphinx.ext.autodoc"]

CONTENTS = ROOT / "docs" / "README.md"
root_doc = "README"
include_patterns = ["README.md", "docs/README.md", *contents.pages(CONTENTS)]
exclude_patterns = [".venv", "build", "dist", "runs", "tests"]

myst_heading_anchors = 4
nb_execution_mode = "off"  # a test executes the notebooks
nb_ipywidgets_js: dict[str, str] = {}  # would be loaded from another host

smartquotes = False  # would make a dash of the -- of an option
highlight_language = "none"  # of blocks without a language
default_role = "literal"  # docstrings write names in single backquotes
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 80

html_theme = "furo"  # system fonts, and no file from another host
html_title = f"cae-sweep {release}"
html_copy_source = False
html_show_copyright = False
html_static_path = ["style"]
html_css_files = ["site.css"]


GENERATED = {
    "README": lambda: contents.toctrees(CONTENTS),
    "docs/commands": command_reference.render,
    "docs/api": python_reference.render,
}
"""What is appended to a page when the site is built."""


def add_generated_text(app: Sphinx, name: str, source: list[str]) -> None:
    """Append what is generated to a page."""
    del app
    if name in GENERATED:
        source[0] += GENERATED[name]()


def convert_sections(
    app: Sphinx, what: str, name: str, member: object, options: object, lines: list[str]
) -> None:
    """Convert `Args:` and `Returns:` of the docstrings of functions to the markup of Sphinx.

    The extension sphinx.ext.napoleon does it for attributes, too, whose first words before a colon
    it takes for a type.
    """
    del app, name, member, options
    if what in ("function", "method"):
        lines[:] = GoogleDocstring(lines).lines()


def always_read(*_: object) -> list[str]:
    """The pages whose text may have changed though their file has not."""
    return list(GENERATED)


def copy_first_page(app: Sphinx, error: Exception | None) -> None:
    """Copy README.html to index.html, the page that servers show for a folder."""
    folder = Path(app.outdir)
    if error is None and app.builder.format == "html":
        shutil.copyfile(folder / "README.html", folder / "index.html")


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_generated_text)
    app.connect("autodoc-process-docstring", convert_sections)
    app.connect("env-get-outdated", always_read)
    app.connect("doctree-read", run_tables.mark_run_tables)
    app.connect("build-finished", copy_first_page)
