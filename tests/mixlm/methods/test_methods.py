import importlib
from collections import Counter
from pathlib import Path

import pytest

from mixlm.errors import InputError
from mixlm.methods import METHODS, Method, Progress, build_method
from mixlm.model.special_tokens import BO_THOUGHT, EO_THOUGHT, PAUSE, THOUGHT, SpecialIds, latent_span
from tests.coded_rows import fixed
from tests.mixlm.methods.method_tests import MethodTests


SPECIAL = SpecialIds(eos=0, bo_latent=100, eo_latent=101, first_latent=102, codebook_size=8)
LATENT = latent_span(4)
WITH_CODES = {
    *("assorted", "assorted-all", "assorted-curriculum", "assorted-poisson"),
    *("random-codes", "shuffled-codes", "hashed-codes", "matched-pauses", "frequent-ngrams", "drop-prefix"),
}
TOKENS = {
    "pause": [PAUSE],
    "pause-as-thought": [BO_THOUGHT, EO_THOUGHT, PAUSE],
    "coconut": [BO_THOUGHT, EO_THOUGHT, THOUGHT],
    "coconut-no-curriculum": [BO_THOUGHT, EO_THOUGHT, THOUGHT],
    **dict.fromkeys(WITH_CODES - {"drop-prefix"}, LATENT),
}


def test_every_method_has_one_case_of_the_shared_tests() -> None:
    """A method is one class, one entry, one case."""
    folder = Path(__file__).parent
    modules = {f"tests.mixlm.methods.{path.stem}" for path in folder.glob("test_*.py")}
    for module in modules:
        importlib.import_module(module)
    cases = [case.name for case in MethodTests.__subclasses__() if case.__module__ in modules]
    assert Counter(cases) == Counter(dict.fromkeys(METHODS, 1))


def test_names_are_those_of_the_classes() -> None:
    assert {name: method.name for name, method in METHODS.items()} == {name: name for name in METHODS}
    assert all(method.source for method in METHODS.values())


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_needs_and_where_it_writes_latents(name: str) -> None:
    method = build_method(name, {})
    spans = {"assorted-poisson": "anywhere", "frequent-ngrams": "mixed", "drop-prefix": "none"}
    assert method.tokens(4) == TOKENS.get(name, [])
    assert method.needs_codes == (name in WITH_CODES)
    assert method.spans == spans.get(name, "prefix" if name in WITH_CODES else "none")
    assert method.uses_thoughts == (name in ("coconut", "coconut-no-curriculum")) == (not method.packable)
    assert method.codes_mean_chunks == name.startswith("assorted")


@pytest.mark.parametrize("name", METHODS)
def test_options_of_a_run_make_the_same_method_again(name: str) -> None:
    method = build_method(name, {})
    assert build_method(name, method.options()) == method


def test_options_as_typed_and_as_saved() -> None:
    typed = build_method("assorted", {"mix": "paper", "lengths": "0,72,128"})
    assert typed.lengths == (0, 72, 128)
    assert build_method("assorted", {"lengths": ""}).lengths == ()
    assert build_method("assorted", typed.options()) == typed
    assert build_method("assorted", {**typed.options(), "lengths": [0, 72, 128]}) == typed
    typed = build_method("assorted", {"mix": "weighted", "weights": "1,2.5,0"})
    assert typed.weights == (1.0, 2.5, 0.0) == build_method("assorted", {"weights": [1, 2.5, 0]}).weights
    assert build_method("assorted", typed.options()) == typed
    typed = build_method("coconut", {"stages": "6", "first_epochs": "2.5", "pad_to_max": "False", "stop": "learned"})
    assert (typed.stages, typed.first_epochs, typed.pad_to_max, typed.stop) == (6, 2.5, False, "learned")
    assert build_method("coconut", typed.options()) == typed


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cott", {}, "there is no such method; choose from cot"),
        ("cot", {"mix": "uniform"}, "cot has no such option; its options: none"),
        ("assorted", {"mix": "sometimes"}, "give paper or uniform or weighted"),
        ("assorted", {"lengths": "0,many"}, "method option 'lengths'"),
        ("assorted", {"lengths": "0,8"}, "give them with mix=paper alone, or none: -o lengths="),
        ("assorted", {"mix": "paper", "weights": "1,1,0"}, "give them with mix=weighted alone"),
        ("assorted-all", {"mix": "uniform"}, "no such option"),
        ("pause", {"trace": "perhaps"}, "method option 'trace'"),
        ("coconut", {"stages": "three"}, "method option 'stages'"),
        ("coconut", {"mixing": "often"}, "give none or uniform or weighted"),
    ],
)
def test_wrong_options_are_named(name: str, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_method(name, options)


@pytest.mark.parametrize(
    "name", [name for name in METHODS if name not in ("coconut", "coconut-no-curriculum", "pause-as-thought")]
)
def test_only_methods_with_thoughts_take_a_number_of_them(name: str) -> None:
    method: Method = build_method(name, {}).bind(SPECIAL, fixed(2))
    with pytest.raises(InputError, match=f"--thoughts 2: method '{name}' has no thoughts"):
        method.prompt([1, 2], Progress(0, 1), thoughts=2)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("assorted", "lengths", "-4"),
        ("assorted", "weights", "0,0,0"),
        ("assorted", "weights", "1,1"),
        ("assorted", "weights", "1,-1,1"),
        ("assorted", "weights", "1,inf,1"),
        ("assorted", "weights", "1,nan,1"),
        ("coconut", "epochs_per_stage", "inf"),
        ("coconut", "first_epochs", "nan"),
        ("coconut", "stages", "-1"),
        ("coconut", "pad_to_max", "maybe"),
        ("coconut", "stages", "two"),
        ("assorted-curriculum", "epochs_per_stage", "inf"),
        ("assorted-poisson", "probability", "2"),
        ("icot", "per_epoch", "0"),
        ("pause", "count", "-1"),
    ],
)
def test_values_that_no_schedule_can_have_are_refused(name: str, option: str, value: str) -> None:
    with pytest.raises(InputError, match=f"method option '{option}': .* does not fit"):
        build_method(name, {option: value})
