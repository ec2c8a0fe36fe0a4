"""Releases are read from a package index. A fake index answers with the JSON of PEP 691."""

import base64
import datetime
import http.client
import io
import json
import re
import subprocess
import urllib.error
import urllib.request
from email.message import Message

import pytest

from harness.locks import index
from harness.system.program import GET_TOOLS
from harness.system.uv import uv_path

LINUX = ["manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"]


def entry(name, day=None, **more):
    url = "https://files.example/" + name
    return {
        "filename": name,
        "url": url,
        "hashes": {"sha256": "of " + name},
        **({"upload-time": day} if day else {}),
        **more,
    }


class Opener:
    """Replace `urllib.request.urlopen`: answer with the given pages, and record the requests."""

    def __init__(self, pages):
        self.pages = pages
        self.requests = []

    def __call__(self, request, timeout):
        assert timeout > 0
        self.requests.append(request)
        page = self.pages.get(request.full_url)
        if page is None:
            raise urllib.error.HTTPError(request.full_url, 404, "Not Found", Message(), None)
        if isinstance(page, Exception):
            raise page
        return io.BytesIO(page.encode() if isinstance(page, str) else json.dumps(page).encode())


def releases(*entries, project="jax"):
    opener = Opener({"https://index.example/simple/{}/".format(project): {"files": list(entries)}})
    return index.releases(project, opener, "https://index.example/simple")


def test_files_are_grouped_into_releases_oldest_version_first():
    found = releases(
        entry("jax-0.10.0-py3-none-any.whl", "2026-04-16T12:33:15.930324Z", **{"requires-python": ">=3.11"}),
        entry("jax-0.9.2.tar.gz", "2026-03-18T01:00:00Z"),
        entry("jax-0.10.0.tar.gz", "2026-04-17T00:00:00Z", **{"requires-python": ">=3.11"}),
        entry("jax-0.0-py3.6.egg"),
    )
    assert [release.version for release in found] == ["0.9.2", "0.10.0"]
    assert [len(release.files) for release in found] == [1, 2]
    assert [release.requires_python for release in found] == [None, ">=3.11"]
    assert found[1].files[0].sha256 == "of jax-0.10.0-py3-none-any.whl"
    assert found[1].files[0].url == "https://files.example/jax-0.10.0-py3-none-any.whl"


def test_a_release_is_as_old_as_its_first_file():
    (release,) = releases(
        entry("jaxlib-0.5.3-cp310-cp310-win_amd64.whl", "2025-03-25T00:00:00Z"),
        entry("jaxlib-0.5.3-cp310-cp310-macosx_11_0_arm64.whl", "2025-03-19T23:00:00Z"),
    )
    assert release.uploaded == datetime.date(2025, 3, 19)


def test_without_dates_in_the_index_a_release_has_none():
    assert releases(entry("jax-0.9.2.tar.gz"))[0].uploaded is None


def test_previews_are_not_final():
    found = releases(entry("jax-0.4.0rc1.tar.gz"), entry("jax-0.4.0.tar.gz"), entry("jax-0.12.0.1.tar.gz"))
    assert [release.final for release in found] == [False, True, True]


def test_a_release_is_yanked_if_all_of_its_files_are():
    yanked, half = releases(
        entry("jax-0.1.tar.gz", yanked="broken"),
        entry("jax-0.2.tar.gz", yanked=True),
        entry("jax-0.2-py3-none-any.whl", yanked=False),
    )
    assert yanked.yanked and not half.yanked


@pytest.mark.parametrize(
    ("name", "pythons"),
    [
        ("jaxlib-0.4.13-cp39-cp39-manylinux2014_x86_64.whl", {"3.9"}),
        ("jaxlib-0.4.13-cp39-cp39-macosx_11_0_arm64.whl", set()),
        ("jaxlib-0.4.13-cp310-abi3-manylinux_2_17_x86_64.whl", {"3.10", "3.13"}),
        ("jaxlib-0.4.13-py3-none-any.whl", {"3.9", "3.10", "3.13"}),
        ("jaxlib-0.4.13-cp313-cp313t-manylinux_2_17_x86_64.whl", set()),
        ("jaxlib-0.4.13.tar.gz", set()),
    ],
)
def test_a_wheel_fits_the_pythons_and_platforms_that_its_name_says(name, pythons):
    (release,) = releases(entry(name))
    assert {python for python in ("3.9", "3.10", "3.13") if release.has_wheel(python, LINUX)} == pythons


def test_a_project_that_the_index_lacks_has_no_releases():
    assert index.releases("jax", Opener({}), "https://index.example/simple") == []


def test_project_names_are_normalised():
    assert len(releases(entry("ml_dtypes-0.2.0.tar.gz"), project="ml-dtypes")) == 1
    opener = Opener({})
    index.releases("Ml_Dtypes", opener, "https://index.example/simple")
    (request,) = opener.requests
    assert request.full_url == "https://index.example/simple/ml-dtypes/"
    assert request.get_header("Accept") == "application/vnd.pypi.simple.v1+json"


@pytest.mark.parametrize(
    "page",
    [
        urllib.error.URLError("no such host"),
        TimeoutError("timed out"),
        urllib.error.HTTPError("", 503, "busy", Message(), None),
        http.client.InvalidURL("nonnumeric port: 'x'"),
        "<html>links</html>",
        {"meta": {"api-version": "1.0"}},
    ],
    ids=lambda page: type(page).__name__,
)
def test_the_error_of_an_unreachable_index_hides_the_password(page):
    opener = Opener({"https://index.example/simple/jax/": page})
    with pytest.raises(index.IndexUnreachable, match="EQX_INDEX_URL") as refused:
        index.releases("jax", opener, "https://me:secret@index.example/simple")
    assert "https://index.example/simple/jax/" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_an_index_without_a_scheme_is_not_said_to_answer():
    with pytest.raises(index.IndexUnreachable, match="^index.example/simple/jax/ can't be reached: unknown url type"):
        index.releases("jax", url="index.example/simple")


def test_a_password_is_sent_as_a_header_and_only_to_the_index():
    """A redirect to another host gets none."""
    opener = Opener({"https://index.example/simple/jax/": {"files": []}})
    index.releases("jax", opener, "https://me:s%40cret@index.example/simple")
    (request,) = opener.requests
    assert request.get_header("Authorization") == "Basic " + base64.b64encode(b"me:s@cret").decode()
    handler = urllib.request.HTTPRedirectHandler()
    sent_on = handler.redirect_request(request, None, 302, "Found", {}, "https://other.example/simple")
    assert sent_on.get_header("Authorization") is None


def test_only_one_variable_names_the_index(monkeypatch):
    """The caller's own variables of uv and pip are ignored."""
    others = dict.fromkeys(("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"), "https://other.example/simple")
    monkeypatch.setattr(index, "default_index", lambda: "https://default.example/simple/")
    assert index.index_url(others) == "https://default.example/simple"
    assert index.index_url({**others, "EQX_INDEX_URL": "https://own.example/simple/"}) == "https://own.example/simple"


@pytest.fixture
def uv_is_asked():
    index.default_index.cache_clear()
    yield uv_path() or pytest.skip("there is no uv here")
    index.default_index.cache_clear()


def test_the_callers_settings_do_not_change_the_default_index(uv_is_asked, tmp_path, monkeypatch):
    """This test asks the real uv."""
    expected = index.default_index()
    assert re.match("https://[^/]+/", expected)
    configuration = tmp_path / "uv.toml"
    configuration.write_text('index-url = "https://configured.example/simple"\n')
    monkeypatch.setenv("UV_CONFIG_FILE", str(configuration))
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://other.example/simple")
    monkeypatch.setenv("EQX_INDEX_URL", "https://own.example/simple")
    index.default_index.cache_clear()
    assert index.default_index() == expected


def test_without_an_answer_from_uv_there_is_a_clear_error(uv_is_asked, monkeypatch):
    def silent(command, **options):
        return subprocess.CompletedProcess(command, 2, "", "error: no such option\n")

    with pytest.raises(index.IndexUnreachable, match="error: no such option.*EQX_INDEX_URL"):
        index.default_index(silent)
    monkeypatch.setattr(index, "uv_path", lambda: None)
    with pytest.raises(index.IndexUnreachable, match=GET_TOOLS):
        index.default_index()


def test_pages_are_read_as_text_or_refused():
    opener = Opener({"https://archive.example/jax.html": "<a href='jaxlib-0.1.69'>"})
    assert index.read_page("https://archive.example/jax.html", opener) == "<a href='jaxlib-0.1.69'>"
    with pytest.raises(index.IndexUnreachable, match="can't be reached") as refused:
        index.read_page("https://archive.example/other.html", opener)
    assert "EQX_INDEX_URL" not in str(refused.value)  # the page isn't on the index
