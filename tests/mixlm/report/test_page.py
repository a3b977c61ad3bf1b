import base64
import hashlib
import json
import re

import pytest

from mixlm.report.page import PAGE, SCRIPTS, VENDOR, as_json, page_of, scripts
from tests.report_data import DATA, MARKUP, report_content


VENDORED = json.loads((VENDOR / "vendored.json").read_text())
SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@pytest.mark.parametrize("one", VENDORED, ids=lambda one: one["name"])
def test_what_is_vendored_is_what_its_note_says_and_has_its_licences(one):
    content = (VENDOR / one["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == one["sha256"]
    assert one["version"].encode() in content[:100]
    for name in one["license_files"]:
        text = (VENDOR / name).read_text()
        assert "Permission" in text and "*/" not in text and text in scripts()


def test_the_libraries_are_small_and_nothing_lies_beside_them():
    files = {path.name for path in VENDOR.iterdir()}
    assert files == {"vendored.json", *(name for one in VENDORED for name in (one["file"], *one["license_files"]))}
    assert sum((VENDOR / one["file"]).stat().st_size for one in VENDORED) < 600_000


def test_every_script_is_in_the_page_and_short_enough_to_read():
    files = [*PAGE.glob("*.js")]
    assert {path.stem for path in files} == set(SCRIPTS)
    assert all(len(path.read_text().splitlines()) < 300 for path in (*files, PAGE / "page.css"))
    for markup in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert not any(markup in path.read_text() for path in files)


def test_a_page_holds_its_data_as_they_are():
    content = report_content(rows=5)
    (found,) = DATA.findall(page_of(content))
    assert json.loads(found) == json.loads(json.dumps(content))


def test_markup_and_signs_that_steer_are_written_out():
    content = report_content(rows=5)
    content["runs"][0]["name"] = MARKUP
    page = page_of(content)
    assert MARKUP not in page and page.count("<script") == 2 and page.count("</script") == 2
    assert "&lt;script&gt;document.title" in page.partition("</title>")[0]
    assert json.loads(as_json("a\u202eb\x1b")) == "a\\u202eb\\u001b"
    assert as_json(["{{script}}"]) in page_of({**content, "commands": ["{{script}}"]})


def test_a_browser_may_run_the_pages_own_script_alone_and_load_nothing():
    page = page_of(report_content(rows=2))
    (script,) = SCRIPT.findall(page)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith(f"default-src 'none'; script-src 'sha256-{digest}';")
    skeleton = SCRIPT.sub("", DATA.sub("", page))
    assert re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')\s>]+)', skeleton) == ["data:,", "#main"]


def test_what_is_no_number_is_not_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json(float("nan"))
