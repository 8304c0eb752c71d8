#!/usr/bin/env python3
"""Reads a run's datasets and a trained model with the libraries of the field; ends with 1 on the first difference.

    python interop.py STORE/runs/RECIPE SELECT_STEP GENERATE_STEP TRAIN_STEP [MAX_NEW_TOKENS]

The last step is one whose model answered in the generate step as the only teacher trained by it. Made with Python
3.11.7, torch 2.15.0, transformers 5.23.0, datasets 5.2.0, pyarrow 26.0.1. Uses no network.
"""
import json
import os
import sys
import tempfile
from pathlib import Path

cache = tempfile.TemporaryDirectory()
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HOME": cache.name}

import torch
from datasets import load_dataset
from pyarrow import parquet
from transformers import AutoModelForCausalLM, AutoTokenizer

N_PROMPTS = 20


def check(condition, what):
    if not condition:
        sys.exit(f"not so: {what}")


def is_chat(messages):
    return all(set(m) == {"role", "content"} and m["role"] in ("system", "user", "assistant") for m in messages)


def load(path):
    kinds = {"parquet": ".parquet", "json": ".jsonl"}
    both = [load_dataset(kind, data_files=f"{path}{end}", split="train") for kind, end in kinds.items()]
    check(both[0].num_rows == both[1].num_rows > 0, f"{path} has as many rows as Parquet and as JSON lines")
    check(both[0].to_list() == both[1].to_list(), f"{path} has the same rows as Parquet and as JSON lines")
    return both[0]


run, select, generate, train = Path(sys.argv[1]), *sys.argv[2:5]
max_new_tokens = int(sys.argv[5]) if len(sys.argv) > 5 else 24

# TRL's conversational shapes: `messages` for SFT; `prompt`, `chosen`, `rejected` as lists of turns for preferences.
strategies = json.loads((run / select / "strategies.json").read_text(encoding="utf-8"))["strategies"]
for name in strategies:
    sft = load(run / select / name / "sft")
    check(all(is_chat(m) and m[-1]["role"] == "assistant" for m in sft["messages"]), f"{name}: `messages` is a chat")
    check(sft.num_rows == strategies[name]["n_aligned"], f"{name}: the table counts its rows")
pairs = load(run / select / "pairs") if (run / select / "pairs.jsonl").stat().st_size else []
for row in pairs:
    check(all(is_chat(row[key]) for key in ("prompt", "chosen", "rejected")), "pairs are conversational")
    check(row["prompt"][-1]["role"] == "user", "the prompt ends with the user")
    check([m["role"] for m in row["chosen"] + row["rejected"]] == ["assistant"] * 2, "one answer on either side")
    check(row["chosen"] != row["rejected"] and row["chosen_score"] > row["rejected_score"], "the better one is chosen")
print(f"{len(strategies)} SFT sets and {len(pairs)} pairs are read by datasets")

# Folders are named by the beginning of the ids that manifests list as inputs.
folder = (run / train).resolve()
inputs = json.loads((run / generate / "manifest.json").read_text(encoding="utf-8"))["inputs"]
teacher = [i["name"].removeprefix("teacher ") for i in inputs if i["id"].startswith(folder.name)]
check(len(teacher) == 1, f"`{generate}` asked the model of `{train}`")
read, split = next((i["id"], i["name"].removeprefix("prompts ")) for i in inputs if i["name"].startswith("prompts "))
source = next(step for step in run.iterdir() if step.is_dir() and read.startswith(step.resolve().name))
prompts = {row["id"]: row for row in parquet.read_table(source / f"{split}.parquet").to_pylist()}
answers = [a for a in parquet.read_table(run / generate / "completions.parquet").to_pylist() if a["teacher"] == teacher[0]]

# Languages in turn, until there are enough.
by_language = {}
for answer in answers:
    by_language.setdefault(answer["language"], []).append(answer)
chosen = [a for turn in zip(*by_language.values()) for a in turn][:N_PROMPTS]
check(len(chosen) == N_PROMPTS, f"there are {N_PROMPTS} answers")

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
n_equal = 0
for answer in chosen:
    messages = prompts[answer["prompt_id"]]["messages"]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        out = model.generate(**inputs, do_sample=False, max_new_tokens=max_new_tokens)
    n_in = inputs["input_ids"].shape[1]
    new = out[0, n_in:]
    text = tokenizer.decode(new, skip_special_tokens=True)
    theirs, ours = (text, n_in, len(new)), (answer["text"], answer["tokens_in"], answer["tokens_out"])
    n_equal += theirs == ours
    if theirs != ours:
        print(f"{answer['prompt_id']}: transformers says {theirs}, we say {ours} (text, tokens in, tokens out)")
print(f"{n_equal} of {len(chosen)} answers are equal, token for token, in {', '.join(by_language)}")
sys.exit(n_equal != len(chosen))
