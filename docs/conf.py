"""Settings of the site that ``make docs`` builds: README.md and docs/, as they are read on the forge too."""

import re
from collections.abc import Iterable
from pathlib import Path

import mixlm


PARENTS = {"docs/API": "reference", "docs/RESULTS": "runs"}  # pages, and the folders whose pages stand below them

project = "mixlm"
author = "the maintainers of mixlm"
release = mixlm.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

root_doc = "README"
include_patterns = ["*.md", "docs/**.md", "docs/**.rst", "examples/*.md"]
exclude_patterns = [".*", "build", "dist", "demo", "runs", "bench*", "tests", "mixlm", "vqvae", "pipelines"]

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
suppress_warnings = ["myst.strikethrough"]

autodoc_typehints = "description"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"mixlm {release}"
html_extra_path = ["site"]
html_static_path = ["site_static"]
html_css_files = ["wide.css"]
html_show_sourcelink = False

nitpicky = True
# Types in signatures are links where the reference has them; others, and those of other libraries, have no page here.
nitpick_ignore_regex = [(r"py:(class|exc|data|obj|func|meth|attr)", r".+")]


def setup(app):
    """Give pages the navigation that their own links are, so that it need not be kept twice."""
    app.connect("source-read", add_navigation)


def add_navigation(app, name: str, source: list[str]) -> None:
    """Append hidden tables of contents: to README.md one for each of its lists of pages, to parents one of theirs."""
    if name == root_doc:
        _, pages = source[0].split("## Documentation\n")
        for caption, links in re.findall(r"- \*\*(.+?):\*\* (.+?)(?=\n- \*\*|\n\n)", pages, re.DOTALL):
            source[0] += contents(caption, re.findall(r"\]\(([^)]+\.md)\)", links))
    elif name in PARENTS:
        folder = Path(app.srcdir, name).parent / PARENTS[name]
        source[0] += contents("", sorted(f"{folder.name}/{path.name}" for path in folder.iterdir()))


def contents(caption: str, pages: Iterable[str]) -> str:
    """Return a hidden table of contents."""
    title = f":caption: {caption}\n" if caption else ""
    return f"\n\n```{{toctree}}\n:hidden:\n{title}\n" + "\n".join(pages) + "\n```\n"
