"""Which chunks each code stands for in the training traces: the dictionary by which latents are read back."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any


USAGE = "usage.json"
MOST_CHUNKS = 5


def count_usage(rows: Iterable[dict[str, Any]], compression_rate: int) -> dict[int, Counter[tuple[int, ...]]]:
    """Count for every code the r trace tokens that it replaced.

    Args:
        rows: Rows with ``trace_ids`` and ``codes``.
        compression_rate: Trace tokens of one code, r.
    """
    usage: dict[int, Counter[tuple[int, ...]]] = defaultdict(Counter)
    for row in rows:
        for place, code in enumerate(row["codes"]):
            start = place * compression_rate
            usage[code][tuple(row["trace_ids"][start : start + compression_rate])] += 1
    return usage


def write_usage(out: Path, manifest: dict[str, Any], tokenizer: Any) -> None:
    """Write ``vqvae/usage.json`` of an encoded dataset, from its training shards.

    ``totals`` says how often each code was used, ``chunks`` lists the texts that it most often stood for, with counts.
    """
    from pyarrow import parquet

    usage: dict[int, Counter[tuple[int, ...]]] = defaultdict(Counter)
    for name in manifest["shards"]["train"]:
        rows = parquet.read_table(out / name, columns=["trace_ids", "codes"]).to_pylist()
        for code, counts in count_usage(rows, manifest["compression_rate"]).items():
            usage[code].update(counts)
    texts = {
        str(code): [[tokenizer.decode(ids), count] for ids, count in usage[code].most_common(MOST_CHUNKS)]
        for code in sorted(usage)
    }
    totals = {str(code): usage[code].total() for code in sorted(usage)}
    distinct = len({ids for counts in usage.values() for ids in counts})
    content = {"totals": totals, "distinct_chunks": distinct, "chunks": texts}
    (out / "vqvae" / USAGE).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
