"""How fast a server answers: against decoding here, and against a plain client of the same server.

``MIXLM_ENGINE`` names a python that has vLLM; without it there are no figures. Models are random, in fp32, on as many
cores on both sides: one of the demo's size, and one of SmolLM2-135M's shape and vocabulary. Prompts are as long as
GSM8K's, and every answer takes 64 tokens, or 20 of which 8 are latents. Loading and starting are left out. Answers are
compared first: those of the server are those of decoding here.
"""

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from benchmarks.generation import generate
from benchmarks.measuring import Figure, in_turns, seconds
from benchmarks.training import GSM8K
from mixlm.data.template import Template
from mixlm.generation.answerer import Request
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions
from mixlm.methods import build_method
from mixlm.model.special_tokens import special_ids
from mixlm.model.tokenizers import build_tokenizer
from mixlm.model.vocabulary import extend_vocabulary
from mixlm.run import Run, load_run
from pipelines.engines.server import ServedHere, Server


AT_ONCE = 64  # the default of --concurrency
IDLE = 5.0  # seconds after which vLLM no longer keeps cores busy with looking for requests
TEXT, LATENTS = GenerationOptions(64, "text"), GenerationOptions(20, "exact:8")
SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
SMOLLM2 = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9}
MODELS = {  # by name: shape, tokens of the vocabulary, and how many questions are asked
    "the demo's size": (SMALL, 512, 128),
    "135M": (SMOLLM2 | {"num_key_value_heads": 3, "tie_word_embeddings": True}, 49_152, 32),
}


def save_run(path: Path, shape: dict[str, int], vocabulary: int) -> Run:
    """Save a run whose random model never ends an answer by itself."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["a"], vocab_size=300)
    tokenizer.add_tokens([f"word{number}" for number in range(vocabulary - len(tokenizer))])
    model = AutoModelForCausalLM.from_config(LlamaConfig(vocab_size=vocabulary, max_position_embeddings=512, **shape))
    extend_vocabulary(model, tokenizer, build_method("assorted", {}).tokens(64))
    with torch.no_grad():
        model.get_output_embeddings().weight[tokenizer.eos_token_id] = 0  # never the likeliest
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    codes = {"chunk_length": 16, "compression_rate": 16, "codebook_size": 64}
    Run(path, "assorted", Template(), special_ids(tokenizer), **codes).save()
    return load_run(path)


class Bench:
    """A run here and on a server.

    Args:
        server: The server, started.
        count: Number of questions.
        vocabulary: Ids that they are drawn from.
    """

    def __init__(self, server: Server, count: int, vocabulary: int) -> None:
        torch.manual_seed(1)
        lengths = [prompt for prompt, _ in GSM8K] * count
        prompts = [torch.randint(300, vocabulary, (length,)).tolist() for length in lengths[:count]]
        self.requests, self.server, self.engine = [Request(prompt) for prompt in prompts], server, Engine(server.run)
        self.endpoint, self.local = ServedHere(server, self.engine, AT_ONCE, print), threading.local()

    def here(self, options: GenerationOptions) -> float:
        """Return the answers a second of decoding here."""
        time.sleep(IDLE)
        return len(self.requests) / seconds(lambda: self.engine.answer(self.requests, options))

    def there(self, options: GenerationOptions) -> float:
        """Return those of the server, through this project."""
        return len(self.requests) / seconds(lambda: self.endpoint.answer(self.requests, options))

    def transformers(self, options: GenerationOptions) -> float:
        """Return those of transformers' ``generate`` here, as many at once as the server has under way."""
        model, tokenizer = self.engine.model, self.engine.tokenizer
        prompts = [request.prompt_ids for request in self.requests]
        tokens = options.max_new_tokens
        time.sleep(IDLE)
        return len(prompts) / seconds(lambda: generate(model, tokenizer, prompts, tokens, AT_ONCE))

    def plain(self, options: GenerationOptions) -> float:
        """Return those of the server through a client that sends the same requests and looks at nothing."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return len(self.requests) / seconds(lambda: [*pool.map(self._post, self.requests)])

    def _post(self, request: Request) -> dict:
        if not hasattr(self.local, "session"):
            self.local.session = requests.Session()
        run, own = self.server.run, self.server.run.ids.present()
        body = {"model": str(run.path), "prompt": list(request.prompt_ids), "max_tokens": TEXT.max_new_tokens}
        body |= {"temperature": 0, "return_token_ids": True, "logit_bias": {str(token): -100 for token in own}}
        headers = {"Authorization": f"Bearer {self.server.key}", "Content-Type": "application/json"}
        reply = self.local.session.post(f"{self.server.url}/v1/completions", json.dumps(body), headers=headers)
        reply.raise_for_status()
        return reply.json()

    def require_equal(self) -> None:
        """Find out whether answers are equal, or the rest would compare two different things."""
        for options in (TEXT, LATENTS):
            here, there = (who.answer(self.requests[:16], options) for who in (self.engine, self.endpoint))
            if here != there:
                raise SystemExit("engines: the server's answers are not those of decoding here")


def figures(turns: int) -> Iterator[Figure]:
    """Measure a server's answers against those of decoding here.

    Args:
        turns: Repeats of every measurement, of which a quarter is made.
    """
    engine = os.environ.get("MIXLM_ENGINE")
    if not engine:
        print("engines: set MIXLM_ENGINE to a python that has vLLM")
        return
    for name, (shape, vocabulary, count) in MODELS.items():
        with (
            TemporaryDirectory() as folder,
            Server(save_run(Path(folder), shape, vocabulary), engine, print) as server,
        ):
            bench = Bench(server, count, vocabulary)
            bench.require_equal()
            yield from _compared(bench, name, max(turns // 4, 1))


def _compared(bench: Bench, name: str, turns: int) -> Iterator[Figure]:
    sides: Sequence = (
        ("server over decoding here, text", bench.there, bench.here, TEXT, TEXT, ">= 2" if name == "135M" else ">= 0"),
        ("server over decoding here, 8 latents", bench.there, bench.here, LATENTS, LATENTS, ">= 0"),
        ("server over transformers' generate, text", bench.there, bench.transformers, TEXT, TEXT, ">= 0"),
        ("server over a plain client of it, text", bench.there, bench.plain, TEXT, TEXT, ">= 0.9"),
        ("server, 8 latents over text", bench.there, bench.there, LATENTS, TEXT, ">= 1"),
        ("here, 8 latents over text", bench.here, bench.here, LATENTS, TEXT, ">= 1"),
    )
    for what, first, second, options, others, target in sides:
        one, other, ratio = in_turns(lambda: (first(options), second(others)), turns, 1)  # noqa: B023  called at once
        yield Figure(f"engines, {name}: {what}", ratio, target, f"{one:.1f} over {other:.1f} answers/s", turns)
