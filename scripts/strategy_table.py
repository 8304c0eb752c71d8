"""Recomputes the strategy table of a `select` artifact from its Parquet files alone; ends with 1 where it differs.

Usage: python scripts/strategy_table.py cambist-store/runs/quickstart/arbitrage    (needs pyarrow)
"""
import json
import sys
from collections import defaultdict
from math import isclose
from pathlib import Path

from pyarrow import parquet

folder = Path(sys.argv[1])
candidates = parquet.read_table(folder / "candidates.parquet").to_pylist()
decisions = parquet.read_table(folder / "decisions.parquet").to_pylist()
table = json.loads((folder / "strategies.json").read_text(encoding="utf-8"))["strategies"]
faults, n_compared = [], 0
mean = lambda values: sum(values) / len(values) if values else None


def compare(what, ours, theirs):
    global n_compared
    n_compared += 1
    near = isinstance(ours, float) and isinstance(theirs, float) and isclose(ours, theirs, rel_tol=1e-12, abs_tol=1e-12)
    if ours != theirs and not near:
        faults.append(f"{what}: the rows give {ours}, the artifact says {theirs}")


answers, costs = defaultdict(dict), defaultdict(list)
for c in candidates:
    answers[c["set"], c["prompt_id"]][c["teacher"], c["sample"]] = c
    if c["set"] == "":
        costs[c["teacher"], c["language"]].append(c["cost_usd"])
valid = lambda cells: [c for c in cells if c["passed"] and c["reward"] is not None]
# Higher reward, then lower mean cost of the teacher in the language, smaller id, smaller sample.
rank = lambda c: (-c["reward"], float(f"{mean(costs[c['teacher'], c['language']]):.12g}"), c["teacher"], c["sample"])

cells = defaultdict(list)
for d in decisions:
    cells[d["name"], d["language"]].append(d)
    if d["strategy"] == "all":  # the best of everybody who was asked, by brute force
        asked = [c for c in valid(answers[d["set"], d["prompt_id"]].values()) if c["teacher"] in d["asked"]]
        best = min(asked, key=rank, default={"teacher": None, "sample": None, "reward": None})
        chosen = tuple(best[key] for key in ("teacher", "sample", "reward"))
        compare(f"{d['name']} on {d['prompt_id']}", chosen, (d["teacher"], d["sample"], d["score"]))

for (name, language), decided in sorted(cells.items()):
    kept = [d for d in decided if d["outcome"] == "chosen"]
    rewards, regrets = [], []
    for d in kept:
        reward = answers[d["set"], d["prompt_id"]][d["teacher"], d["sample"]]["reward"]
        shared = valid(answers["", d["prompt_id"]].values())
        rewards += [] if reward is None else [reward]
        regrets += [] if reward is None or not shared else [max(c["reward"] for c in shared) - reward]
    again = {"n_prompts": len(decided), "n_kept": len(kept), "mean_reward": mean(rewards), "regret": mean(regrets)}
    for key, value in again.items():
        compare(f"{name}, {language}, {key}", value, table.get(name, {}).get("languages", {}).get(language, {}).get(key))
listed = {(name, language) for name, row in table.items() for language in row["languages"]}
compare("the cells of the table", sorted(cells), sorted(listed))

if faults or not cells:
    sys.exit("\n".join(faults) or f"{folder} has no decisions")
print(f"{len(cells)} cells of the strategy table and {n_compared} numbers in all agree")
