"""Both stages and an answer, from Python: codes for the steps of a running total, and a model that writes them.

    python examples/both_stages.py FOLDER [STEPS]

With 1,500 steps and more (some minutes on two CPU cores) the latents are learned; with fewer it shows the way alone.
"""

import json
import sys
from pathlib import Path

import mixlm
from vqvae import VQVAETrainingOptions


MODEL = """\
model_type: llama
hidden_size: 64
intermediate_size: 128
num_hidden_layers: 2
num_attention_heads: 2
initializer_range: 0.06
tie_word_embeddings: true
tokenizer: {vocab_size: 300}
"""


def main(folder: Path, steps: int = 1500) -> float:
    """Generate rows, encode them, train on them; returns the accuracy with latents alone."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.yaml").write_text(MODEL)
    task = mixlm.open_task("chain-arithmetic")
    for split, rows in {"train": 10 * steps, "test": 50}.items():
        generated = task.generate(rows, split, options=task.Options(operations=3))
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in generated))

    shape = {"codebook_size": 32, "hidden_size": 64, "num_layers": 1}
    training = VQVAETrainingOptions(steps=max(steps // 3, 10), learning_rate=3e-3)
    encoding = mixlm.EncodingOptions(template=mixlm.Template(separator=""), shape=shape, training=training)
    model, encoded = str(folder / "model.yaml"), folder / "encoded"
    manifest = mixlm.encode_dataset(str(folder / "train.jsonl"), model, encoded, encoding)
    print("codes left:", manifest["codebook"]["codebook_size"])

    options = mixlm.TrainingOptions(method="assorted", steps=steps, batch_size=32, learning_rate=3e-3, warmup_steps=20)
    mixlm.train(encoded, model, folder / "run", options, say=print)

    engine = mixlm.Engine.load(folder / "run")
    question = engine.request("start 3 ; + 4 ; - 2 ; + 9")
    (answer,) = engine.answer([question], mixlm.GenerationOptions(max_new_tokens=60))
    print("codes:", answer.codes, "text:", answer.text.strip(), "tokens:", answer.counts.total)
    figures = mixlm.evaluate(engine, mixlm.open_rows(str(folder / "test.jsonl"), engine), latents=["exact:100%"])
    return figures["modes"]["exact:100%"]["accuracy"]


if __name__ == "__main__":
    print("accuracy with latents alone:", main(Path(sys.argv[1]), *map(int, sys.argv[2:3])))
