"""What every method must hold to, whatever it does: one test class, and the small row that its cases are written for.

A method's case is a subclass ``Test..`` in a file of this folder. It gives what the method makes of the row, written
by hand from the paper's definition; the tests are inherited.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from mixlm.encoding.dataset import load_encoded
from mixlm.evaluation.evaluate import evaluate
from mixlm.generation.answerer import Request
from mixlm.generation.answers import TokenCounts, count_tokens
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions
from mixlm.methods import METHODS, Method, Progress, build_method
from mixlm.methods.base import recoded
from mixlm.model.collator import pad
from mixlm.training.options import TrainingOptions
from mixlm.training.rows.inputs import open_data
from mixlm.training.rows.mixed_dataset import EpochSampler, MixedDataset
from mixlm.training.train import train
from tests.coded_rows import fixed
from tests.interruption import Interrupted, interrupt_at
from tests.mixlm.methods.hand import EOS, ROW, SPECIAL, P, Row
from tests.tiny_data import SCRATCH, write_encoded, write_raw


class Example(NamedTuple):
    """What a method makes of ``ROW``, by hand.

    Attributes:
        ids: Token ids after P.
        labels: Labels after P, which has none.
        thoughts: 1 at continuous thoughts, else 0, after P; empty: there are none.
        step: Optimizer steps taken, at the case's ``steps_per_epoch``.
        seed: Of the draws.
    """

    ids: list[int]
    labels: list[int]
    thoughts: tuple[int, ...] = ()
    step: int = 0
    seed: int = 0


def text(*ids: int, step: int = 0, seed: int = 0) -> Example:
    """An example in which everything after P is learned."""
    return Example(list(ids), list(ids), step=step, seed=seed)


class MethodTests:
    """The tests of one method.

    Attributes:
        name: The method.
        options: Its options.
        state: What it learned from the training rows; None: fitted to ``ROW``.
        examples: Sequences of ``ROW``.
        steps_per_epoch: For ``examples`` and ``schedule``.
        schedule: Pairs of an optimizer step and the stage at it; the last is the last stage.
        counts: Tokens by kind of what follows P in the last example.
        paper_tokens: The same, as the papers count.
        training_steps: As many as it takes to overfit four rows.
        new_token_lr: For that; None: the learning rate of everything.
    """

    name: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}
    state: ClassVar[dict[str, Any] | None] = None
    examples: ClassVar[list[Example]]
    steps_per_epoch: ClassVar[int] = 10
    schedule: ClassVar[list[tuple[int, int]]] = [(0, 0), (9, 0), (1000, 0)]
    counts: ClassVar[TokenCounts]
    paper_tokens: ClassVar[int]
    training_steps: ClassVar[int] = 120
    new_token_lr: ClassVar[float | None] = None

    def method(self, **options: Any) -> Method:
        """Return the method as a run has it."""
        method = build_method(self.name, {**self.options, **options}).bind(SPECIAL, fixed(2))
        return method.restore(method.fit([ROW], seed=0) if self.state is None else self.state)

    def rows(self, count: int = 12) -> list[Row]:
        """Return copies of ``ROW`` that differ in their prompts, with the codes that the method gives them."""
        rows = [{**ROW, "row": number, "prompt_ids": [*P, 20 + number]} for number in range(count)]
        return recoded(rows, self.method())

    def source(self, folder: Path) -> tuple[str, str]:
        """Write a data set of sums and the YAML of a model; both as ``train`` takes them."""
        scratch = folder / "model.yaml"
        scratch.write_text(SCRATCH.replace("32", "64") + "initializer_range: 0.08\n")
        written = write_encoded(folder, 4, 1) if METHODS[self.name].needs_codes else write_raw(folder, 4)
        return str(written), str(scratch)

    def training(self, **changes: Any) -> TrainingOptions:
        """Return the options of a training of all four rows at every step."""
        fixed = TrainingOptions(self.name, self.options, batch_size=4, weight_decay=0.0, warmup_steps=5)
        rates = {"learning_rate": 3e-3, "new_token_lr": self.new_token_lr}
        return replace(fixed, **rates, steps=self.training_steps, **changes)

    # -- the sequence --

    def test_worked_examples(self) -> None:
        """Ids, labels and thoughts of a row are those written by hand; P comes first and is not learned."""
        (row,) = recoded([ROW], self.method())
        for example in self.examples:
            progress = Progress(example.step, self.steps_per_epoch)
            sequence = self.method().sequence(row, progress, np.random.default_rng(example.seed))
            thoughts = example.thoughts or [0] * len(example.ids)
            assert sequence.ids == [*P, *example.ids]
            assert sequence.labels == [-100, -100, -100, *example.labels]
            assert list(map(int, sequence.thoughts)) == [0, 0, 0, *thoughts]

    def test_examples_count_as_stated(self) -> None:
        counts = count_tokens(self.examples[-1].ids, SPECIAL)
        assert counts == self.counts and counts.paper_tokens == self.paper_tokens

    def test_no_sequence_is_longer_than_stated(self) -> None:
        """The trainer leaves room for ``extra_tokens`` beyond P, C and S."""
        (row,) = recoded([ROW], self.method())
        most = 12 + self.method().extra_tokens(row)
        for step in {step for step, _ in self.schedule}:
            for seed in range(50):
                progress, rng = Progress(step, self.steps_per_epoch), np.random.default_rng(seed)
                assert len(self.method().sequence(row, progress, rng).ids) <= most

    def test_the_end_is_learned_where_padding_has_its_id(self) -> None:
        """The last label is end of sequence, once; padding of the same id has no label."""
        dataset = MixedDataset(self.rows(), self.method())
        features = [dataset[index] for index in range(3)]
        longer = {name: [*features[0][name], *features[0][name]] for name in features[0]}
        batch = pad([*features, longer])
        for feature, ids, labels in zip(features, batch["input_ids"], batch["labels"], strict=False):
            last = len(feature["input_ids"]) - 1
            assert labels[last] == EOS and (labels == EOS).sum() == 1
            assert (ids[last + 1 :] == EOS).all() and (labels[last + 1 :] == -100).all() and len(ids) > last + 1

    # -- the schedule --

    def test_the_schedule_has_the_stated_stages(self) -> None:
        method = self.method()
        stages = [(step, method.stage(Progress(step, self.steps_per_epoch))) for step, _ in self.schedule]
        assert stages == self.schedule

    def test_the_last_stage_begins_where_the_schedule_ends(self) -> None:
        method, last = self.method(), self.schedule[-1][1]
        end = method.schedule_end(self.steps_per_epoch)
        assert method.stage(Progress(end, self.steps_per_epoch)) == last
        assert end == 0 or method.stage(Progress(end - 1, self.steps_per_epoch)) < last
        assert (end > 0) == (len({stage for _, stage in self.schedule}) > 1)

    def test_the_model_is_given_what_it_was_trained_on(self) -> None:
        """At every stage the prompt of generation is exactly the part of a training sequence that is not learned."""
        method, (row,) = self.method(), recoded([ROW], self.method())
        for step in range(method.schedule_end(self.steps_per_epoch) + 2):
            progress = Progress(step, self.steps_per_epoch)
            sequence = method.sequence(row, progress, np.random.default_rng(step))
            given = method.prompt(P, progress)
            assert sequence.ids[: len(given)] == given and set(sequence.labels[: len(given)]) == {-100}
            if not method.learns_stop:
                assert sequence.labels[len(given) :] == sequence.ids[len(given) :]

    # -- a resume --

    def test_a_fresh_data_set_goes_on_in_mid_schedule(self) -> None:
        """Sequences and order of an epoch are the same, whether or not the earlier epochs were read."""
        method, walked = self.method(), MixedDataset(self.rows(), self.method(), batch_size=4)
        stages = set()
        for epoch in range(6):
            walked.set_epoch(epoch)
            order = list(EpochSampler(walked))
            read = [walked[index] for index in order]
            fresh = MixedDataset(self.rows(), self.method(), batch_size=4)
            fresh.set_epoch(epoch)
            assert list(EpochSampler(fresh)) == order
            assert [fresh[index] for index in reversed(order)] == read[::-1]
            stages |= {method.stage(walked.progress(index)) for index in order}
        assert len(stages) > 2 or not method.schedule_end(walked.steps_per_epoch)

    def test_an_interrupted_training_ends_with_the_same_weights(self, tmp_path: Path) -> None:
        """The last checkpoint, after four steps, lies in mid-schedule, for several methods where a stage begins."""
        source, scratch = self.source(tmp_path)
        options = replace(self.training(save_every=1), steps=7)
        steps, method = [], self.method()
        if method.schedule_end(1):
            assert 0 < method.stage(Progress(4, 1)) and 4 < method.schedule_end(1)
        train(source, scratch, tmp_path / "whole", options)
        with pytest.raises(Interrupted):
            train(source, scratch, tmp_path / "parts", options, advance=interrupt_at(5))
        train(source, scratch, tmp_path / "parts", options, advance=lambda step, *_: steps.append(step))
        assert steps[0] == 5
        whole, parts = (
            AutoModelForCausalLM.from_pretrained(tmp_path / name).state_dict() for name in ("whole", "parts")
        )
        assert all(torch.equal(whole[name], parts[name]) for name in whole)

    # -- learning --

    def test_it_overfits_four_rows_and_answers_them(self, tmp_path: Path) -> None:
        """All four are answered rightly, each token by token in a form that the last stage trained."""
        source, scratch = self.source(tmp_path)
        run = train(source, scratch, tmp_path / "run", self.training())
        encoded = METHODS[self.name].needs_codes
        rows = list(
            load_encoded(source).train if encoded else open_data(source, scratch, run.method, self.training()).train
        )
        engine = Engine(run)
        assert run.step + 1 == self.training_steps > run.method.schedule_end(run.steps_per_epoch)
        result = evaluate(engine, rows)["modes"]["free"]
        assert (result["accuracy"], result["cut_off"]) == (1.0, 0.0)
        requests = [Request(row["prompt_ids"]) for row in rows]
        answers = engine.answer(requests, GenerationOptions(max_new_tokens=40))
        for row, answer in zip(recoded(rows, run.method), answers, strict=True):
            drawn = (run.method.sequence(row, run.progress, np.random.default_rng(seed)) for seed in range(200))
            assert answer.ids in [sequence.ids[len(row["prompt_ids"]) :] for sequence in drawn]
