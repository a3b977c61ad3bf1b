from mixlm.generation.answers import TokenCounts
from tests.mixlm.methods.method_tests import MethodTests, text


class TestChainOfThought(MethodTests):
    """P, C, S."""

    name = "cot"
    examples = [text(11, 12, 13, 14, 15, 16, 17, 9, 0), text(11, 12, 13, 14, 15, 16, 17, 9, 0, step=1000, seed=1)]
    counts, paper_tokens = TokenCounts(text=9), 9


class TestSolutionOnly(MethodTests):
    """P, S."""

    name = "sol-only"
    examples = [text(9, 0), text(9, 0, step=1000, seed=1)]
    counts, paper_tokens = TokenCounts(text=2), 2
