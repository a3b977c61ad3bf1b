import json

from mixlm.report.runs import MOST_POINTS, curve_of, settings_of
from tests.tiny_runs import tiny_run


def test_a_curve_by_figure_without_what_is_no_number(tmp_path):
    lines = [{"step": step, "seconds": step, "loss": 5 / step, "latent_loss": None} for step in range(1, 4)]
    lines[1]["loss"] = float("nan")
    (tmp_path / "curve.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert curve_of(tiny_run(path=tmp_path)) == {"loss": [(1, 5.0), (3, 5 / 3)]}
    assert curve_of(tiny_run(path=tmp_path / "nowhere")) is None


def test_of_a_long_curve_few_points_are_kept_and_the_last(tmp_path):
    count = 2 * MOST_POINTS + 2
    lines = [json.dumps({"step": step, "seconds": 0, "loss": 1.0}) + "\n" for step in range(count)]
    (tmp_path / "curve.jsonl").write_text("".join(lines))
    steps = [step for step, _ in curve_of(tiny_run(path=tmp_path))["loss"]]
    assert steps == [*range(0, count, 3), count - 1]


def test_settings_are_texts_without_what_nobody_gave_and_without_secrets(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "abcdefghij")
    run = tiny_run()
    run.arguments = {
        "method": "assorted",
        "learning_rate": 0.001,
        "valid": None,
        "bf16": True,
        "data": "s3://abcdefghij",
    }
    run.method_options = {"weights": [1, 2, 1]}
    found = settings_of(run)
    assert found["learning_rate"] == "0.001" and found["bf16"] == "true" and found["data"] == "s3://***"
    assert found["method: weights"] == "1, 2, 1" and found["stage 1: codebook_size"] == "5"
    assert found["template: prompt"] == "{question}\\n" and "valid" not in found and "method" not in found
