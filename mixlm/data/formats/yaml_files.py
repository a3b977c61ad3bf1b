"""YAML as users write it: nothing in it is run, grows, or is dropped in silence."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from mixlm.data.values import DEEPEST, is_text
from mixlm.errors import InputError


MOST_BYTES = 1_000_000  # of a file; those that people write are far smaller
MOST_VALUES = 20_000  # with those that an alias stands for
_MOST_BITS = 64  # of a whole number
_SHOWN = 40  # letters of a name or value in a message
_PREFIX = "tag:yaml.org,2002:"
_OLD_BASES = re.compile(r"[+-]?0[0-7_]+|.*:.*")  # 010 is 8 in YAML 1.1, and 1:30 is 90; nobody means that
_KINDS = {"null": "null", "bool": "true or false", "int": "whole number", "float": "number"}


def read_yaml(path: str | Path, plain: bool = False) -> Any:
    """Read a YAML file of texts, numbers, true, false, null, lists and mappings.

    Args:
        path: The file.
        plain: Leave every number and the like as the text that is written.

    Returns:
        What the file holds; None if it is empty.

    Raises:
        InputError: If it is no such file, with the line: a name twice in a mapping, an alias within what it stands
            for, or more than anybody writes is none.
        OSError: If it cannot be read.
    """
    text = _text(path)
    try:
        return (_Plain if plain else _Loader)(text).get_single_data()
    except _Unwanted as error:
        raise InputError(f"{path}, line {error.problem_mark.line + 1}: {error.problem}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # of the last two an escape of no character
        raise InputError(f"{path}{_line(error, text)}: not valid YAML ({_reason(error)}); correct it") from None


def _line(error: Exception, text: str) -> str:
    """Return where an error is, as far as it tells."""
    if isinstance(error, yaml.reader.ReaderError):
        return f", line {text.count(chr(10), 0, error.position) + 1}"
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}" if mark else ""


def _reason(error: Exception) -> str:
    told = getattr(error, "problem", None) or getattr(error, "reason", None) or "an escape of no character"
    return " ".join(str(told).split())[:200]


def _text(path: str | Path) -> str:
    with open(path, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InputError(f"{path}: larger than {MOST_BYTES:,} bytes, so hardly the YAML that is meant; give another")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text, so not valid YAML; save the file as UTF-8") from None


class _Unwanted(yaml.MarkedYAMLError):
    """What is valid YAML and yet not what is read here; ``problem`` has the remedy."""

    def __init__(self, problem: str, node: yaml.Node) -> None:
        super().__init__(problem=problem, problem_mark=node.start_mark)


class _Loader(yaml.SafeLoader):
    """Reads one file. The nodes of YAML are measured as they are made, before anything is made of them."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.open = 0  # nodes within each other that are not yet whole
        self.measures: dict[int, tuple[int, int]] = {}  # of whole nodes: how many values, how deep
        self.names: dict[int, str] = {}  # of the mapping that a value, or the list that it is in, belongs to

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        """Return the next node; all that an alias stands for counts as if it was written there."""
        event = self.peek_event()
        self.open += 1
        if self.open > DEEPEST:
            raise _Unwanted(_TOO_DEEP, event)
        node = super().compose_node(parent, index)
        self.open -= 1
        if not isinstance(event, yaml.AliasEvent):
            self._measure(node)
        elif id(node) not in self.measures:
            raise _Unwanted(f"'*{event.anchor}' stands within what it stands for; write that out", event)
        return node

    def _measure(self, node: yaml.Node) -> None:
        inner = node.value if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            inner = [child for pair in node.value for child in pair]
            for name, value in node.value:
                for owned in (value, *(value.value if isinstance(value, yaml.SequenceNode) else ())):
                    self.names.setdefault(id(owned), str(name.value)[:_SHOWN])
        found = [self.measures[id(child)] for child in inner]
        values, depth = 1 + sum(count for count, _ in found), 1 + max((below for _, below in found), default=0)
        if values > MOST_VALUES:
            raise _Unwanted(f"stands for more than {MOST_VALUES:,} values; write less", node)
        if depth > DEEPEST:
            raise _Unwanted(_TOO_DEEP, node)
        self.measures[id(node)] = values, depth

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node."""
        shown = f"'{self.names.get(id(node), node.value)[:_SHOWN]}'" if isinstance(node, yaml.ScalarNode) else ""
        try:
            value = super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, OverflowError):  # what PyYAML makes of a value not of its tag
            kind = node.tag.removeprefix(_PREFIX)
            raise _Unwanted(f"{shown} is no {_KINDS.get(kind, kind)} that can be read; write another", node) from None
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            raise _Unwanted(f"{shown} is a whole number of more than {_MOST_BITS} bits; write it as text", node)
        if type(value) in (int, float) and _OLD_BASES.fullmatch(node.value):
            raise _Unwanted(
                f"{shown} is {node.value}, which YAML reads as {value}; write that, or put it in quotes", node
            )
        if isinstance(value, str) and not is_text(value):
            raise _Unwanted(f"{ascii(shown)[1:-1]} holds half of a character; write the whole character", node)
        return value

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping, none of whose names stands twice; YAML itself would keep the last of them."""
        seen = set()
        for name_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if name_node.tag == f"{_PREFIX}merge":
                continue
            name = self.construct_object(name_node, deep=True)
            if isinstance(name, Hashable):
                if name in seen:
                    raise _Unwanted(f"'{name}' stands twice; leave one out", name_node)
                seen.add(name)
        return super().construct_mapping(node, deep)


class _Plain(_Loader):
    """Takes every scalar for a text."""


_TOO_DEEP = f"nested too deep; {DEEPEST} lists and mappings within each other are the most"
_DATE = f"{_PREFIX}timestamp"
_Loader.yaml_constructors = {
    tag: make
    for tag, make in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix(_PREFIX) in (*_KINDS, "str", "seq", "map")
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in found if tag != _DATE]  # a date is the text that it is written as
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Plain.yaml_implicit_resolvers = {}
