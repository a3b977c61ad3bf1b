"""What a reader does with the page, done in a browser; the content is made up by ``tests.report_data``."""

import pytest

from mixlm.report.page import page_of
from tests.browser import browser, require_browser
from tests.report_data import MARKUP, report_content


HOSTILE = MARKUP.replace("</p>", "")
ADDRESSES = ("", "#codebook", "#code-0", "#code-15", "#answers", "#answer-1", "#answer-2", "#nowhere", "#code-99")
# Texts with too little contrast to what they stand on: WCAG 2.1 asks for 4.5 to 1. Colours are painted to be read.
FAINT = """(() => {
  const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
    .getContext("2d", { willReadFrequently: true });
  const light = (...paints) => {
    for (const paint of paints) { pen.fillStyle = paint; pen.fillRect(0, 0, 1, 1); }
    const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].map((one) => one / 255)
      .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
    if (!own || !node.checkVisibility()) continue;
    const grounds = [];
    for (let one = node; one; one = one.parentElement) grounds.unshift(getComputedStyle(one).backgroundColor);
    const [low, high] = [light(...grounds), light(...grounds, getComputedStyle(node).color)].sort((a, b) => a - b);
    if ((high + 0.05) / (low + 0.05) < 4.5) faint.push(node.outerHTML);
  }
  return faint;
})()"""

# What could be moved sideways: its content is wider than itself, and it does not hide that.
WIDE = """[...document.querySelectorAll("main, main *")].filter((one) => one.checkVisibility()
  && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX === "auto").map((o) => o.className)"""


@pytest.fixture(scope="module")
def content():
    return report_content()


@pytest.fixture(scope="module")
def file(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page_of(content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    require_browser()
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(chromium):
    """A tall window, so that every line of a short list is drawn; no test may make the browser complain."""
    chromium.size(1200, 3600)
    yield chromium
    problems, chromium.problems[:] = [*chromium.problems], []
    assert problems == []


def listed(page) -> list[str]:
    """What the lines of the list tell first, by their order on the page: codes, or the marks of questions."""
    page.settle()
    lines = "[...document.querySelectorAll('.line')].sort((a, b) => a.dataset.place - b.dataset.place)"
    return page.get(f"{lines}.map((one) => one.firstElementChild.textContent)")


def listed_codes(page) -> list[int]:
    return [*map(int, listed(page))]


def codes_by(content, key) -> list[int]:
    return [one["code"] for one in sorted(content["runs"][0]["codebook"]["codes"], key=key)]


@pytest.mark.parametrize("width", [1400, 360])
def test_every_part_is_drawn_from_the_file_alone(page, file, width):
    page.size(width)
    for address in ADDRESSES:
        page.open(file, address)
        assert page.get("document.querySelector('h1').textContent.trim()")
        page.wait(
            "[...document.querySelectorAll('.chart')].every((one) => !one.clientWidth || one.querySelector('svg'))"
        )
    assert {one.partition("#")[0] for one in page.asked} - {"about:blank", "data:,"} == {file.as_uri()}


@pytest.mark.parametrize(
    ("losses", "ticks"),
    [
        ([5.2, 0.3, 0.08], ["0.1", "0.2", "0.5", "1", "2", "5"]),
        ([1.3, 0.95], ["1", "1.1", "1.2", "1.3"]),
        ([60.0, 0.003], ["0.01", "0.1", "1", "10"]),
    ],
)
def test_a_loss_is_told_in_round_numbers(page, tmp_path, losses, ticks):
    content = report_content()
    for run in content["runs"]:
        run["curve"] = {"loss": [*enumerate(losses, start=1)]}
    file = tmp_path / "report.html"
    file.write_text(page_of(content), encoding="utf-8")
    page.open(file)
    loss = "[aria-label='Loss of the mix over training'] [aria-label='y-axis tick label'] text"
    page.wait(f'document.querySelector("{loss}")')
    assert page.texts(loss) == ticks


def test_an_address_opens_its_code(page, file, content):
    codes = content["runs"][0]["codebook"]["codes"]
    for code in (7, 3):
        page.open(file, f"#code-{code}")
        assert page.texts(".detail h1") == [codes[code]["texts"][0][0]]
        assert page.texts(".line[aria-selected=true] .chip") == [str(code)]
    page.get("location.hash = '#code-5@assorted'")
    page.wait(f"document.querySelector('.detail h1').textContent === '{codes[5]['texts'][0][0]}'")
    page.open(file, "#code-99")
    assert page.texts(".detail p") == ["This codebook has the codes 0 to 15."]


def test_a_code_is_told_in_full(page, file, content):
    code = content["runs"][0]["codebook"]["codes"][4]
    page.open(file, "#code-4")
    titles = ["Stands for", "Where in the trace", "In context", "Read back", "How well the model predicts it"]
    assert page.texts(".detail h2") == [*titles, "Neighbours in the codebook", "Questions whose answers used it"]
    assert page.texts(".facts dd") == ["200", "98\u2009%", "90\u2009%", "0.80"]
    assert page.texts(".contexts mark") == [code["texts"][0][0]] * 3
    assert page.texts(".detail .bars a.chip") == ["5", "6", "7"]
    using = [one["row"] for one in content["columns"][0]["answers"] if 4 in one["chips"]["codes"]]
    assert page.get("[...document.querySelectorAll('.questions a')].map((one) => one.getAttribute('href'))") == [
        f"#answer-{row}" for row in using[:12]
    ]


def test_codes_are_searched_by_their_text_and_number(page, file, content):
    page.open(file, "#codebook")
    page.write("input[type=search]", "THAT MAKES")
    texts = [one["texts"][0][0] if one["texts"] else "" for one in content["runs"][0]["codebook"]["codes"]]
    fitting = [code for code, text in enumerate(texts) if text.startswith("That makes")]
    assert 0 < len(fitting) < 13
    page.wait(f"document.querySelectorAll('.line').length === {len(fitting)}")
    assert sorted(listed_codes(page)) == fitting
    page.write("input[type=search]", "#12")
    page.wait("document.querySelectorAll('.line').length === 1")
    assert listed_codes(page) == [12]
    page.write("input[type=search]", "nobody says this")
    page.wait("document.querySelector('.empty').checkVisibility()")
    assert listed_codes(page) == []


def test_codes_are_sorted(page, file, content):
    page.open(file, "#codebook")
    orders = {
        "most used first": lambda one: -one["count"],
        "by number": lambda one: one["code"],
        "worst predicted first": lambda one: one["guess"]["right"] if "guess" in one else 2,
        "best predicted first": lambda one: -one["guess"]["right"] if "guess" in one else 2,
    }
    assert listed_codes(page) == codes_by(content, orders["most used first"])
    for name, key in orders.items():
        page.choose("sort", name)
        assert listed_codes(page) == codes_by(content, key), name


def test_dead_and_confused_codes_have_lists(page, file):
    page.open(file, "#codebook")
    assert page.texts(".choices button") == ["all 16", "dead 3", "confused 1"]
    page.click(".choices button", "dead")
    assert listed_codes(page) == [13, 14, 15]
    page.click(".choices button", "confused")
    assert listed_codes(page) == [0]
    page.click(".choices button", "all")
    assert len(listed_codes(page)) == 16
    for code, said in ((14, "Dead: no trace has this code."), (0, "Confused: ")):
        page.open(file, f"#code-{code}")
        (found,) = page.texts(".detail > .advice")
        assert found.startswith(said)


def test_answers_are_searched_and_filtered_by_right_and_wrong(page, file, content):
    page.open(file, "#answers")
    rights = [one["right"] for one in content["columns"][0]["answers"]]
    assert listed(page) == ["\u2713\u2713" if right else "\u2717\u2717" for right in rights]
    assert page.texts(".count") == ["40 of 40 questions"]
    page.choose("show", "first wrong")
    assert listed(page) == ["\u2717\u2717"] * rights.count(False)
    page.choose("show", "first right, second wrong")
    assert listed(page) == []
    page.choose("show", "all answers")
    page.write("input[type=search]", "start with 17.")
    page.wait("document.querySelectorAll('.line').length === 1")
    assert page.texts(".line-text") == [content["rows"][17]["question"]]
    assert page.texts(".count") == ["1 of 40 questions"]


def test_figures_tell_of_how_many_answers_they_are(page, tmp_path):
    content, file = report_content(), tmp_path / "report.html"
    for told in ("A dot is of 40 answers.", "A dot is of 40 to 1,400 answers."):
        file.write_text(page_of(content), encoding="utf-8")
        page.open(file)
        assert page.texts(".about")[0].endswith(told)
        content["runs"][0]["modes"]["free"]["answers"] = 1400  # of which not all are shown


def test_free_decoding_and_text_stand_side_by_side(page, file, content):
    page.open(file, "#answer-2")
    assert page.texts(".card .who") == ["assortedfree", "assortedas text"]
    assert page.texts(".card .verdict") == ["\u2713 right"] * 2
    assert page.texts(".card .cost") == ["9 tokens, 4 latents", "40 tokens"]
    chips = content["columns"][0]["answers"][2]["chips"]
    assert page.texts(".card .chip") == [*map(str, chips["codes"])]
    assert page.texts(".steps li") == content["rows"][2]["steps"]
    page.choose("second", "cot \u00b7 free")
    assert page.texts(".card .who") == ["assortedfree", "cotfree"]


def test_answers_that_use_a_code_are_listed(page, tmp_path):
    content = report_content(rows=60, size=6, dead=1)
    file = tmp_path / "report.html"
    file.write_text(page_of(content), encoding="utf-8")
    page.open(file, "#code-2")
    using = sum(2 in one["chips"]["codes"] for one in content["columns"][0]["answers"])
    assert using > 12
    page.click(".more", f"Show all {using} in Answers")
    page.wait(f"document.querySelectorAll('.line').length === {using}")
    assert page.texts(".count") == [f"{using} of 60 questions"]
    page.click(".filter", "uses code 2 of assorted")
    assert len(listed(page)) == 60


def test_a_chip_shows_its_text_and_the_alternatives_by_keyboard_and_pointer(page, file, content):
    chips = content["columns"][0]["answers"][2]["chips"]
    page.open(file, "#answer-2")
    page.get("document.querySelector('.list').focus()")
    for place in range(4):
        page.press("Tab")
        assert page.get("document.activeElement.textContent") == str(chips["codes"][place])
        assert page.get("document.activeElement.getAttribute('aria-describedby')") == "popover"
        assert page.texts("#popover .pop-text") == [chips["texts"][place]]
        likely = [str(code) for code, _ in chips["alternatives"][place]]
        assert page.texts("#popover .alternatives th") == likely
        assert page.texts("#popover .alternatives .share") == ["90\u2009%", "8\u2009%", "1\u2009%"]
        assert page.get("document.getElementById('popover').checkVisibility()")
    page.press("Escape")
    assert not page.get("document.getElementById('popover').checkVisibility()")
    page.point(".card .chip")
    page.wait("document.getElementById('popover').checkVisibility()")
    assert page.texts("#popover .pop-text") == [chips["texts"][0]]
    page.press("Tab")  # leaves the last chip
    page.point("h1")
    page.wait("!document.getElementById('popover').checkVisibility()")
    page.click(".card .chip")
    page.wait(f"location.hash === '#code-{chips['codes'][0]}' && document.body.dataset.part === 'codebook'")


def test_latents_of_a_run_without_a_codebook_lead_to_no_code(page, tmp_path):
    content = report_content()
    content["runs"][0]["codebook"] = None
    for answer in content["columns"][0]["answers"]:
        answer["chips"] = {"codes": answer["chips"]["codes"]}
    file = tmp_path / "report.html"
    file.write_text(page_of(content), encoding="utf-8")
    page.open(file, "#answer-2")
    chips = content["columns"][0]["answers"][2]["chips"]["codes"]
    assert page.texts(".card .chip") == [str(code) for code in chips]
    assert page.texts(".card .chip[href]") == []
    page.point(".card .chip")
    page.wait("document.getElementById('popover').checkVisibility()")
    assert page.texts("#popover .pop-head b") == [f"Latent {chips[0]}"] and page.texts("#popover a") == []


def test_a_chip_that_has_to_be_scrolled_to_shows_its_text_too(page, file, content):
    page.size(1200, 240)
    page.open(file, "#answer-2")
    assert page.get("document.querySelector('.card .chip').getBoundingClientRect().bottom > innerHeight")
    page.get("document.querySelector('.list').focus()")
    page.press("Tab")
    page.settle()
    assert page.get("document.querySelector('.reading').scrollTop > 0")
    assert page.get("document.getElementById('popover').checkVisibility()")
    assert page.texts("#popover .pop-text") == content["columns"][0]["answers"][2]["chips"]["texts"][:1]


def test_lists_are_walked_by_keys(page, file):
    page.open(file, "#codebook")
    page.get("document.querySelector('.list').focus()")
    for key, address in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("End", 15), ("Home", 0)):
        page.press(key)
        assert page.get("location.hash") == f"#code-{address}"
        assert page.texts(".kicker .chip") == [str(address)]
        chosen = "document.getElementById(document.activeElement.getAttribute('aria-activedescendant'))"
        assert page.get(f"{chosen}.querySelector('.chip').textContent") == str(address)
    page.press("Enter")
    page.wait("document.activeElement.classList.contains('detail')")


def test_markup_in_what_others_wrote_is_shown_and_never_run(page, tmp_path):
    content = report_content()
    first, (code, *_) = content["runs"][0], content["runs"][0]["codebook"]["codes"]
    first |= {"name": HOSTILE, "method": HOSTILE, "source": HOSTILE, "settings": {HOSTILE: HOSTILE}}
    first["stage1"][0] |= {"name": HOSTILE, "advice": HOSTILE}
    content |= {"data": HOSTILE, "commands": [HOSTILE]}
    code["texts"], code["contexts"] = [(HOSTILE, 1.0)], [(0, HOSTILE, HOSTILE, HOSTILE)]
    code["read"]["text"] = HOSTILE
    answer = content["columns"][0]["answers"][1]
    answer |= {"text": HOSTILE, "answer": HOSTILE}
    answer["chips"] |= {"codes": [0], "texts": [HOSTILE], "alternatives": [[(0, 0.9), (1, 0.1)]]}
    content["rows"][1] |= {"gold": HOSTILE, "steps": [HOSTILE]}
    file = tmp_path / "a&b#<img src=x>.html"
    file.write_text(page_of(content), encoding="utf-8")
    shown = {
        "": (".lede", "h1", ".who", ".judged dt", ".judged .advice", ".settings th", ".settings td", ".commands"),
        "#code-0": ("h1", ".bars .words", ".contexts mark", ".read"),
        "#answer-1": ("h1", ".gold b", ".card .who", ".card .text", ".read-back", ".steps li", "#popover .pop-text"),
    }
    for address, selectors in shown.items():
        page.open(file, address)
        if address == "#answer-1":
            page.get("document.querySelector('.card .chip').focus()")
        for selector in selectors:
            assert any(HOSTILE.strip() in text for text in page.texts(selector)), selector
        assert page.get("document.title").startswith("<script>")
        assert page.get("document.querySelectorAll('img, main script').length") == 0


def test_on_a_phone_nothing_is_wider_than_the_screen(page, tmp_path):
    content, file = report_content(), tmp_path / "report.html"
    content["runs"] += [{**content["runs"][1], "name": f"a-run-with-a-long-name-{number}"} for number in range(3)]
    for run in content["runs"]:
        run["settings"] |= {"version: vector-quantize-pytorch": "1.32.0+a.long.version"}
    file.write_text(page_of(content), encoding="utf-8")
    page.size(360, 740)
    for address in ADDRESSES:
        page.open(file, address)
        page.get("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.get("document.documentElement.scrollWidth") == 360, address
        assert page.get(WIDE) == [], address


def test_on_a_phone_a_list_and_what_is_chosen_take_turns(page, file):
    page.size(360, 740)
    seen = "['.list', '.detail'].filter((one) => document.querySelector(one).checkVisibility())"
    page.open(file, "#answers")
    assert page.get(seen) == [".list"]
    page.click(".line")
    page.wait("document.activeElement.classList.contains('detail')")
    assert page.get(seen) == [".detail"]
    page.click(".back")
    page.wait("document.querySelector('.list').checkVisibility()")
    assert page.get(seen) == [".list"]


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_can_be_read_in_light_and_dark(page, file, dark):
    page.size(1200, dark=dark)
    for address in ("", "#code-0", "#answer-2"):
        page.open(file, address)
        page.get("document.querySelector('.card .chip')?.focus()")
        assert page.get(FAINT) == []
    ground = page.get("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(18, 19, 23)" if dark else "rgb(253, 253, 252)")
    page.click("#theme")  # from what the system likes to light, then to dark
    page.click("#theme", "Light")
    assert page.get("getComputedStyle(document.body).backgroundColor") == "rgb(18, 19, 23)"
    page.click("#theme", "Dark")


def test_of_5000_answers_only_those_are_drawn_that_are_seen(page, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(page_of(report_content(rows=5000, size=256, dead=20)), encoding="utf-8")
    page.size(1200, 900)
    page.open(file, "#answers")
    assert page.texts(".count") == ["5,000 of 5,000 questions"]
    assert page.get("document.querySelectorAll('*').length") < 600
    page.get("document.querySelector('.list').focus()")
    page.press("End")
    assert page.get("location.hash") == "#answer-4999"
    page.wait("document.querySelector('.line[aria-selected=true]').dataset.place === '4999'")
    assert page.get("document.querySelectorAll('.line').length") < 40
    page.write("input[type=search]", "start with 4321.")
    page.wait("document.querySelectorAll('.line').length === 1")
