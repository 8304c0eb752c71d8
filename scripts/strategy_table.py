"""Recomputes the strategy table of a `select` artifact from its Parquet files alone and compares it with ours.

Usage: python scripts/strategy_table.py cambist-store/runs/quickstart/arbitrage
Needs pyarrow. Independent of cambist: reads `candidates.parquet` and `decisions.parquet`, nothing else.
"""
import json
import sys
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq

folder = Path(sys.argv[1])
candidates = pq.read_table(folder / "candidates.parquet").to_pylist()
decisions = pq.read_table(folder / "decisions.parquet").to_pylist()
ours = json.loads((folder / "strategies.json").read_text(encoding="utf-8"))["strategies"]

reward = {(c["prompt_id"], c["teacher"], c["sample"]): c["reward"] for c in candidates}
best = defaultdict(lambda: None)
for c in candidates:
    if c["passed"] and c["reward"] is not None and c["teacher"] in c["eligible"] and c["pool_answer"]:
        best[c["prompt_id"]] = c["reward"] if best[c["prompt_id"]] is None else max(best[c["prompt_id"]], c["reward"])

cells = defaultdict(lambda: {"n_prompts": 0, "kept": [], "regret": []})
for d in decisions:
    cell = cells[d["name"], d["language"]]
    cell["n_prompts"] += 1
    if d["outcome"] == "chosen":
        value = reward[d["prompt_id"], d["teacher"], d["sample"]]
        cell["kept"].append(value)
        cell["regret"].append(best[d["prompt_id"]] - value)

n_compared = 0
for (name, language), cell in sorted(cells.items()):
    row = ours[name]["languages"][language]
    mean = sum(cell["kept"]) / len(cell["kept"]) if cell["kept"] else None
    assert row["n_prompts"] == cell["n_prompts"] and row["n_kept"] == len(cell["kept"]), (name, language, row)
    assert (mean is None) == (row["mean_reward"] is None), (name, language, row)
    assert mean is None or abs(mean - row["mean_reward"]) < 1e-12, (name, language, mean, row)
    n_compared += 1
assert n_compared == sum(len(s["languages"]) for s in ours.values()) > 0
print(f"{n_compared} cells of the strategy table agree")
