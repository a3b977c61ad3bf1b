"""Accuracy and length of a run's answers, with latents decoded freely or in given numbers."""

from collections.abc import Sequence
from typing import Any

from accelerate.utils import gather_object

from mixlm.data.tables import Row
from mixlm.evaluation.checks import CheckName
from mixlm.evaluation.inputs import OpenedRows
from mixlm.evaluation.measuring.evaluation import Evaluation
from mixlm.evaluation.measuring.records import Record, score
from mixlm.evaluation.measuring.requests import read_modes, requests_of, with_length
from mixlm.generation.answerer import Answerer, Request
from mixlm.generation.answers import Answer, require_answers
from mixlm.generation.kept.keeping import Keeping
from mixlm.generation.kept.lines import HeldLines
from mixlm.generation.options import GenerationOptions, LatentMode
from mixlm.processes import Processes
from vqvae.advance import Advance
from vqvae.stopping import Stop


def evaluate(
    answerer: Answerer,
    rows: Sequence[Row],
    options: GenerationOptions | None = None,
    latents: Sequence[LatentMode | str] | str = ("free",),
    check: CheckName | None = None,
    advance: Advance | None = None,
) -> dict[str, Any]:
    """Answer every row once per mode, check the answers, and measure the loss on the reference answers.

    Args:
        answerer: An engine, or a server; one that does not tell how likely given tokens are leaves losses out.
        rows: Tokenized rows; with ``codes``, or without them for a raw file.
        options: How to decode, but for the latents. By default ``max_new_tokens`` is ``longest_answer``.
        latents: Modes of decoding; a share such as ``exact:50%`` is of the row's own number of codes.
        check: How an answer is compared with the right one; None: as rows of ``open_rows`` mean it, and with others
            as with the rows that the run learned from.
        advance: Called with (done, total) after every batch; all modes and the loss count.

    Returns:
        ``method``, ``rows``, ``samples``, ``check``, ``max_new_tokens``, ``decoding`` ("plain" of sampled answers),
        ``engine``: what has decoded, None of the model here; ``loss``: as ``added_losses``, empty where a server does
        not tell it; ``modes``: for each mode what ``summarize`` returns;
        ``records``: one for each answer; those of two runs join by ``row``, ``latents`` and ``sample``.

    Raises:
        InputError: If there is no row, a prompt does not fit, or a mode or check cannot be had.
    """
    modes = read_modes(latents, answerer.run)
    if isinstance(rows, OpenedRows):
        rows, check = rows.rows, check or rows.check
    check = check or answerer.run.check
    evaluation = Evaluation(answerer, rows, options or GenerationOptions(), modes, check)
    evaluation.look()
    lines = HeldLines()
    evaluation.run(Keeping(lines, evaluation.total, advance, Stop()))
    return evaluation.figures(lines) | {"records": [lines.read(number) for number in range(evaluation.count)]}


def answer_rows(answerer: Answerer, rows: Sequence[Row], options: GenerationOptions, check: CheckName) -> list[Record]:
    """Answer tokenized rows in one mode and return the records of ``score``.

    Raises:
        InputError: As ``Answerer.answer``.
    """
    answers = answer_all(answerer, requests_of(answerer, rows, options.latents), options)
    return score(answerer, answers, rows, str(options.latents), check)


def answer_all(answerer: Answerer, requests: Sequence[Request], options: GenerationOptions) -> list[Answer]:
    """Answer requests; figures without some of the answers would mislead, so none may be missing.

    Raises:
        InputError: As ``Answerer.answer``, or if a server leaves one out.
    """
    pending = answerer.plan(requests, options)
    answers = answerer.decode(pending, options)
    require_answers(answers, [one.request.name for one in pending])
    return answers


def accuracy(answerer: Answerer, rows: Sequence[Row], check: CheckName, processes: Processes) -> float:
    """Return the share of rows that are answered right, decoded freely and greedily.

    Args:
        answerer: The run.
        rows: Tokenized rows.
        check: How an answer is compared with the right one.
        processes: Who share the rows; all that there are must call this, and all are told the same.
    """
    records = answer_rows(answerer, processes.share(rows), with_length(GenerationOptions(), rows), check)
    right = gather_object([record["right"] for record in records])
    return sum(right) / len(right)
