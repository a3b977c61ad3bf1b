"""YAML is what somebody wrote, or one line that names file and line."""

import pytest

from mixlm.data.formats.yaml_files import read_yaml
from mixlm.data.values import DEEPEST
from mixlm.errors import InputError


@pytest.fixture
def read(tmp_path):
    """A function that reads the text of a YAML file."""

    def of_text(text, plain=False):
        path = tmp_path / "my.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_yaml(path, plain)

    return of_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: 1\nb: [true, null, 1.5, x]\n", {"a": 1, "b": [True, None, 1.5, "x"]}),
        ("a: &x {k: 1}\nb: *x\nc: {<<: *x, k: 2}\n", {"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 2}}),
        ("a: 2024-01-01\n", {"a": "2024-01-01"}),
        ("a: [0, -0, 0.5, 0x10, '010', 08, 1_000, 1e-05]\n", {"a": [0, 0, 0.5, 16, "010", "08", 1000, "1e-05"]}),
        (b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("a: " + "[" * (DEEPEST - 2) + "]" * (DEEPEST - 2), None),
    ],
)
def test_what_is_right_is_read(read, text, value):
    found = read(text)
    assert found == value or value is None and found


def test_plain_values_are_the_texts_that_are_written(read):
    assert read("a: 0x10\nb: [true, ~, 1.50]\n", plain=True) == {"a": "0x10", "b": ["true", "~", "1.50"]}


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 150))


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: &x [1, *x]\n", "line 2: '[*]x' stands within what it stands for"),
        ("a: &x {b: *x}\n", "line 1: '[*]x' stands within"),
        (LAUGHS, "line 6: stands for more than 20,000 values"),
        (CHAIN, "line 100: nested too deep"),
        ("[" * 100_000, "line 1: nested too deep"),
        ("- " * 5000, "line 1: nested too deep"),
        ("a: 1\nb: 2\na: 3\n", "line 3: 'a' stands twice; leave one out"),
        ("a: {b: {c: 1, c: 1}}\n", "line 1: 'c' stands twice"),
        ('a: ["\\ud800"]\n', "line 1: 'a' holds half of a character"),
        ("a: 1\nb: !!python/object/apply:os.system [x]\n", "line 2: not valid YAML"),
        ("a: !!binary aGk=\n", "line 1: not valid YAML"),
        ('a: "\\UFFFFFFFF"\n', "not valid YAML"),
        ("a: 1\nb: \x00\n", "line 2: not valid YAML"),
        (b"a: \xff\n", "not UTF-8 text, so not valid YAML"),
        ("x" * 1_000_001, "larger than 1,000,000 bytes"),
        ("a: 1\n---\nb: 2\n", "line 2: not valid YAML"),
        ("{[a]: 1}\n", "line 1: not valid YAML .*unhashable"),
    ],
)
def test_what_nobody_means_is_refused_in_one_line_with_its_place(read, text, message, plain):
    with pytest.raises(InputError, match=message) as caught:
        read(text, plain)
    assert "my.yaml" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("7" * 30, "'a' is a whole number of more than 64 bits"),
        ("7" * 5000, "'a' is no whole number that can be read"),
        ("1" + ":59" * 3000, "'a' is a whole number of more than 64 bits"),
        ("!!int x", "'a' is no whole number that can be read"),
        ("!!bool x", "'a' is no true or false that can be read"),
        ("[1, !!float x]", "'a' is no number that can be read"),
        ("010", "'a' is 010, which YAML reads as 8; write that, or put it in quotes"),
        ("[1, 1:30]", "'a' is 1:30, which YAML reads as 90"),
        ("1:30.5", "'a' is 1:30.5, which YAML reads as 90.5"),
    ],
)
def test_a_number_that_is_none_is_named(read, value, message):
    with pytest.raises(InputError, match=f"line 1: {message}"):
        read(f"a: {value}\n")
    assert read("a: 'x'\n") == {"a": "x"}


def test_true_and_1_are_one_name_for_python_and_refused_as_such(read):
    with pytest.raises(InputError, match="line 2: 'True' stands twice"):
        read("1: a\ntrue: b\n")
