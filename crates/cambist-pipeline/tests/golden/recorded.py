#!/usr/bin/env python3
"""Random, best single and oracle figures of recorded answers, computed without cambist.

    python recorded.py FOLDER_WITH_THE_DATA > recorded.json

FOLDER holds `routing-m-ifeval` (M-IFEval, 17 models, strict verdicts) and `routing-arena-bench-v1` (10 models, scores of
one judge, some missing). Made with Python 3.11.7 and pyarrow 26.0.1. An empty answer is no answer, a missing score is no
score; means are over the answers that have both. `random` is what a uniform lot gives in expectation, `oracle` the best
score of each prompt. `headroom` is the oracle before the best single model; for verdicts both are shares of all prompts,
so that an empty answer is a wrong one.
"""
import json
import sys
from collections import defaultdict
from pathlib import Path

import pyarrow as pa


def rows(path):
    with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
        return [json.loads(line) for line in stream.read().split(b"\n") if line]


def mean(values):
    return sum(values) / len(values)


def figures(folder, score):
    prompts = [row["prompt_id"] for row in rows(folder / "prompts.jsonl.zst")]
    answered = {(r["prompt_id"], r["model"]) for r in rows(folder / "completions.jsonl.zst") if (r["text"] or "").strip()}
    by_model, by_prompt = defaultdict(list), defaultdict(list)
    for row in rows(folder / "scores.jsonl.zst"):
        cell = row["prompt_id"], row["model"]
        if cell in answered and row[score] is not None:
            by_model[row["model"]].append(float(row[score]))
            by_prompt[row["prompt_id"]].append(float(row[score]))
    means = {model: mean(values) for model, values in sorted(by_model.items())}
    oracle = mean([max(values) for values in by_prompt.values()])
    over_all = {model: sum(values) / len(prompts) for model, values in by_model.items()}
    whole = over_all if score == "strict_all" else means
    best = max(sorted(whole), key=whole.get)
    return {
        "n_prompts": len(prompts), "n_scored": {model: len(values) for model, values in sorted(by_model.items())},
        "means": means, "best_single": best, "random": mean(list(means.values())), "oracle": oracle,
        "headroom": oracle - whole[best],
    }


data = Path(sys.argv[1])
ifeval = {language: figures(data / "routing-m-ifeval" / language, "strict_all") for language in ("en", "es", "ja")}
arena = {"en": figures(data / "routing-arena-bench-v1", "score")}
print(json.dumps({"m-ifeval": ifeval, "arena-bench": arena}, indent=1))
