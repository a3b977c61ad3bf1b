from xml.etree import ElementTree

import pytest

from mixlm.comparison.summary import summarize_results
from tests.made_results import figures, result


pytest.importorskip("matplotlib")

from mixlm.comparison.plot import _FRONT, draw_pareto


SVG = "{http://www.w3.org/2000/svg}"


def drawn(tmp_path, summaries, monkeypatch, name="pareto"):
    monkeypatch.setitem(__import__("matplotlib").rcParams, "svg.fonttype", "none")
    png, svg, pdf = draw_pareto(summaries, "a title", tmp_path / name)
    assert png.read_bytes().startswith(b"\x89PNG") and pdf.read_bytes().startswith(b"%PDF")
    return ["".join(text.itertext()) for text in ElementTree.parse(svg).iter(f"{SVG}text")]


def many(count):
    return summarize_results(
        [
            result(f"m{place}", 0, free=figures("10" * 5, 5.0 + place), exact_100=figures("1100000000", 3.0))
            for place in range(count)
        ]
    )


@pytest.mark.parametrize("count", [1, 2, 14, 30])
def test_the_legend_has_every_method_once_in_order(tmp_path, monkeypatch, count):
    texts = drawn(tmp_path, many(count), monkeypatch)
    assert [text for text in texts if text.startswith("m")] == [f"m{place}" for place in range(count)]
    assert _FRONT in texts and "a title" in texts


def test_no_two_of_thirty_methods_look_alike(tmp_path, monkeypatch):
    import matplotlib.axes

    seen = []
    errorbar = matplotlib.axes.Axes.errorbar
    monkeypatch.setattr(
        matplotlib.axes.Axes,
        "errorbar",
        lambda *given, **style: [seen.append((style["color"], style["marker"])), errorbar(*given, **style)][1],
    )
    drawn(tmp_path, many(30), monkeypatch)
    assert len(set(seen)) == 30


def test_files_are_called_as_asked_even_with_a_dot(tmp_path, monkeypatch):
    drawn(tmp_path, many(1), monkeypatch, "lr0.1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lr0.1.pdf", "lr0.1.png", "lr0.1.svg"]


def test_methods_that_were_never_decoded_freely_are_drawn_and_named(tmp_path, monkeypatch):
    texts = drawn(tmp_path, summarize_results([result("a", 0, exact_0="10", exact_100="11")]), monkeypatch)
    assert "a (never free)" in texts and _FRONT not in texts


@pytest.mark.parametrize(("longest", "labels"), [(1200.0, {"10", "20", "1000"}), (40.0, {"10", "20", "30", "40"})])
def test_lengths_far_apart_are_spread_and_readable(tmp_path, monkeypatch, longest, labels):
    ends = [result("a", 0, free=figures("10", 8.0)), result("b", 0, free=figures("11", longest))]
    assert labels <= set(drawn(tmp_path, summarize_results(ends), monkeypatch))
