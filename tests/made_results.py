"""Results of cells that were never run."""


def figures(right, tokens=10.0, latents=0.0, seconds=1.0):
    """The figures of a mode; ``right`` has a digit for each row, or numbers with commas."""
    counts = {"total": tokens, "paper_tokens": tokens - 2, "latent": latents}
    return {"right": right, "tokens": counts, "seconds": seconds}


def result(label, seed, samples=1, seconds=None, stage1=None, **modes):
    """A result; a mode is its figures or digits, and ``exact_50`` is exact:50%."""
    modes = {name.replace("_", ":") + ("%" if "_" in name else ""): one for name, one in modes.items()}
    shaped = {mode: one if isinstance(one, dict) else figures(one) for mode, one in modes.items()}
    own = {"modes": shaped, "seconds": seconds or {}, "stage1": stage1}
    asked = {"samples": samples, "rows": 4, "check": "exact"}
    return {"label": label, "method": f"method of {label}", "seed": seed, **asked, **own}
