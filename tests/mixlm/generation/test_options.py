from fractions import Fraction

import pytest

from mixlm.errors import InputError
from mixlm.generation.options import GenerationOptions, LatentMode, parse_latent_mode, parse_latent_modes


@pytest.mark.parametrize(
    "text", ["free", "text", "direct", "max:3", "exact:0", "exact:25%", "max:12.5%", "exact:100%"]
)
def test_modes_read_back_as_typed(text):
    assert str(parse_latent_mode(text)) == text


def test_a_bare_value_continues_the_mode_before_it():
    modes = parse_latent_modes("free, text,exact:0%,25%,50%,100%,max:2,4, direct")
    assert [str(mode) for mode in modes] == [
        "free", "text", "exact:0%", "exact:25%", "exact:50%", "exact:100%", "max:2", "max:4", "direct",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "latent",
        "exact",
        "exact:",
        "exact:-1",
        "max:x",
        "free:2",
        "25%",
        "text,3",
        "exact:101%",
        "text,text",
        "direct:1",
        "direct,25%",
    ],
)
def test_anything_else_is_one_clear_line(text):
    with pytest.raises(InputError, match="^--latents '") as error:
        parse_latent_modes(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("percent", "codes", "count"),
    [(0, 7, 0), (25, 8, 2), (25, 6, 2), (50, 5, 3), (50, 0, 0), (100, 7, 7), (10, 4, 0)],
)
def test_a_share_is_of_the_samples_own_codes_and_rounds_halves_up(percent, codes, count):
    assert LatentMode("exact", share=Fraction(percent, 100)).resolve(codes) == LatentMode("exact", count)


def test_a_number_is_not_changed_by_the_trace():
    assert LatentMode("max", 3).resolve(100) == LatentMode("max", 3)
    assert LatentMode("direct").resolve(100) == LatentMode("direct")


def test_a_mode_given_as_text_is_read():
    assert GenerationOptions(latents="exact:2") == GenerationOptions(latents=LatentMode("exact", 2))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"latents": "fuzzy"}, "--latents 'fuzzy': no such mode"),
        ({"max_new_tokens": 0}, "--max-new-tokens 0: give a number from 1 up"),
        ({"batch_size": 0}, "--batch-size 0: give a number from 1 up"),
        ({"samples": 0}, "--samples 0: give a number from 1 to below 10001"),
        ({"latents": None}, "--latents 'None': no such mode"),
        ({"latents": 5}, "--latents '5': no such mode"),
        ({"temperature": float("nan")}, "--temperature nan: give a number from 0 to below 1e"),
        ({"temperature": float("inf")}, "--temperature inf: give a number from 0 to below 1e"),
        ({"temperature": -1.0}, "--temperature -1.0: give a number from 0 to below 1e"),
        ({"thoughts": -1}, "--thoughts -1: give a whole number from 0 to below 4294967296"),
        ({"top_p": 0.0}, "top_p 0.0: must be above 0 and at most 1"),
        ({"decoding": "beam"}, "--decoding 'beam': give plain or kind"),
    ],
)
def test_options_out_of_range_are_refused_at_once(values, message):
    with pytest.raises(InputError, match=f"^{message}"):
        GenerationOptions(**values)


@pytest.mark.parametrize(
    "fields",
    [
        ("fuzzy",),
        ("exact",),
        ("max", -1),
        ("free", 2),
        ("exact", 2, Fraction(1, 2)),
        ("exact", "2"),
        ("exact", 2.5),
        ("exact", None, 2),
        ("exact", None, "1"),
        ("exact", None, float("nan")),
    ],
)
def test_a_mode_that_is_none_is_refused_at_once(fields):
    with pytest.raises(InputError, match=r"^LatentMode\(.*\): no such mode; choose free, text"):
        LatentMode(*fields)


@pytest.mark.parametrize(
    ("mode", "wants"),
    [
        ("free", False),
        ("text", False),
        ("direct", False),
        ("max:0", False),
        ("exact:0%", False),
        ("exact:1%", True),
        ("max:1", True),
    ],
)
def test_which_modes_ask_for_latents(mode, wants):
    assert parse_latent_mode(mode).wants_latents == wants
