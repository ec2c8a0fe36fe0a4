"""Hooks of MkDocs: they make the site of the files that GitHub shows.

The front page is the README of the repository. The page of the API also has the docstrings. A link to a file that the
site doesn't have leads to `repo_url` of mkdocs.yml. Without a `repo_url` it becomes plain text.
"""

import os
import re

import griffe
from mkdocs.structure.files import File

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PICTURES = ["benchmarks/results/dispatch.svg"]
CODE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[([^\[\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
API_ROW = re.compile(r"^\| \[`([\w.]+)`\]\((\S+)\)", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Has griffe read our docstrings."""

    def on_object(self, *, obj, **kwargs):
        """Read a section `Example:` as code. griffe knows the name `Examples:` only."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)

    def on_function(self, *, func, **kwargs):
        """Give the parameters the names that `forwards_keywords` gives them at run time, and the docstring has."""
        if any("forwards_keywords" in str(decorator.value) for decorator in func.decorators):
            for parameter in func.parameters:
                parameter.name = parameter.name.lstrip("_")


def on_files(files, config):
    """Add the pictures that lie outside of docs/."""
    for path in PICTURES:
        files.append(File.generated(config, "images/" + os.path.basename(path), abs_src_path=os.path.join(ROOT, path)))
    return files


def on_page_markdown(markdown, page, config, files):
    """The text of a page, with links that the site can follow."""
    folder = "docs"
    if page.file.src_uri == "README.md":
        folder = ""
        with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
            markdown = file.read()
    if page.file.src_uri == "api.md":
        markdown = with_docstrings(markdown)
    parts = CODE.split(markdown)
    parts[::2] = [LINK.sub(lambda link: site_link(link, folder, config.repo_url), part) for part in parts[::2]]
    return "".join(parts)


def site_link(link, folder, repo_url):
    """The link, as the site needs it."""
    label, path, anchor = link.group(1), link.group(2), link.group(3) or ""
    if ":" in path:
        return link.group(0)
    target = os.path.normpath(os.path.join(folder, path)).replace(os.sep, "/")
    if target.startswith("docs/"):
        return "[{}]({}{})".format(label, target[len("docs/") :], anchor)
    if target in PICTURES:
        return "[{}](images/{})".format(label, os.path.basename(target))
    return "[{}]({}/blob/main/{}{})".format(label, repo_url.rstrip("/"), target, anchor) if repo_url else label


def with_docstrings(markdown):
    """The page of the API, with a docstring for each name. The name links to it."""
    docstrings = ["\n## Docstrings\n"]
    for name, path in API_ROW.findall(markdown):
        if not path.endswith("/__init__.py"):
            place = ".".join([*path[len("../") : -len(".py")].split("/"), name.split(".")[-1]])
            markdown = markdown.replace("[`{}`]({})".format(name, path), "[`{}`][{}]".format(name, place))
            docstrings.append("::: {}\n".format(place))
    return markdown + "\n".join(docstrings)
