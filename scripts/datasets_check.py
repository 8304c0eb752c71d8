"""Loads the sets of a `select` artifact with `datasets` as a user would; ends with 1 at the first difference.

Usage: python scripts/datasets_check.py STORE/artifacts/select-...    (needs datasets; uses no network)

Checked are the card (its front matter, licence, languages, and that its configs name all files of rows), and for each
config the rows, the features, and the columns that TRL's trainers look for: `messages` for SFTTrainer; `prompt`,
`chosen` and `rejected` for DPOTrainer; `prompt` and `completion` for KTOTrainer, all of them chats, and `label`.
"""
import json
import os
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

cache = tempfile.TemporaryDirectory()
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HOME": cache.name}

import yaml
from datasets import Features, List, Value, get_dataset_config_names, load_dataset
from huggingface_hub import DatasetCard
from pyarrow import parquet

TURNS = List({"role": Value("string"), "content": Value("string")})
TEXT, NUMBER = Value("string"), Value("float64")
SFT = {"id": TEXT, "source_id": TEXT, "language": TEXT, "source": TEXT, "task": TEXT, "messages": TURNS, "teacher": TEXT, "license": TEXT, "score": NUMBER}
PAIRS = {
    "id": TEXT, "source_id": TEXT, "language": TEXT, "source": TEXT, "prompt": TURNS, "chosen": TURNS, "rejected": TURNS,
    "chosen_model": TEXT, "rejected_model": TEXT, "chosen_score": NUMBER, "rejected_score": NUMBER, "margin": NUMBER,
}
LABELS = {
    "id": TEXT, "source_id": TEXT, "language": TEXT, "source": TEXT, "task": TEXT, "prompt": TURNS, "completion": TURNS,
    "label": Value("bool"), "teacher": TEXT, "license": TEXT, "score": NUMBER,
}
# What else lies in the folder and is no set.
NOT_SETS = {"candidates.parquet", "decisions.parquet"}


def check(holds, what):
    if not holds:
        sys.exit(f"not so: {what}")


def is_chat(turns):
    """What TRL's `is_conversational` asks for, and more: known roles, texts."""
    return bool(turns) and all(set(t) == {"role", "content"} and t["role"] in ("system", "user", "assistant") and isinstance(t["content"], str) for t in turns)


def check_card(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    check(text.startswith("---\n"), "the card begins with its front matter")
    meta = yaml.safe_load(text.split("---\n", 2)[1])
    card = DatasetCard.load(folder / "README.md").data
    check(isinstance(meta["license"], str) and (meta["license"] != "other" or meta["license_name"]), "the card has a licence")
    check(card.license == meta["license"] and all(isinstance(tag, str) for tag in meta["language"]), "the card has languages")
    check(len(meta["size_categories"]) == 1, "the card has a size")
    for config in meta["configs"]:
        check(all(isinstance(config[key], str) for key in ("config_name", "data_files")), f"{config} is made of texts")
    return {config["config_name"]: config["data_files"] for config in meta["configs"]}


def check_sft(name, rows, strategies):
    check(rows.features == Features(SFT), f"{name} has the features of SFT rows, found {rows.features}")
    check(rows.num_rows == strategies[name]["n_aligned"], f"{name} has {strategies[name]['n_aligned']} rows, found {rows.num_rows}")
    for row in rows:
        check(is_chat(row["messages"]) and row["messages"][-1]["role"] == "assistant", f"{name}: `messages` of {row['id']} is a chat")


def check_pairs(name, rows, strategies):
    check(rows.features == Features(PAIRS), f"{name} has the features of pairs, found {rows.features}")
    for row in rows:
        check(all(is_chat(row[key]) for key in ("prompt", "chosen", "rejected")), f"the pair on {row['id']} is conversational")
        check(row["prompt"][-1]["role"] == "user", f"the prompt of {row['id']} ends with the user")
        check([t["role"] for t in row["chosen"] + row["rejected"]] == ["assistant"] * 2, f"one answer on either side of {row['id']}")
        check(row["chosen"] != row["rejected"] and row["chosen_score"] > row["rejected_score"], f"{row['id']}: the better one is chosen")



def check_labels(name, rows, _):
    check(rows.features == Features(LABELS), f"{name} has the features of labelled answers, found {rows.features}")
    for row in rows:
        check(all(is_chat(row[key]) for key in ("prompt", "completion")), f"the answer to {row['id']} is conversational")
        check(row["prompt"][-1]["role"] == "user", f"the prompt of {row['id']} ends with the user")
        check([t["role"] for t in row["completion"]] == ["assistant"], f"one answer to {row['id']}")
    for language in {row["language"] for row in rows}:
        labels = {row["label"] for row in rows if row["language"] == language}
        check(labels == {True, False}, f"answers in {language} are wanted and unwanted")


folder = Path(sys.argv[1]).resolve()
patterns = check_card(folder)
names = get_dataset_config_names(str(folder))
strategies = json.loads((folder / "strategies.json").read_text(encoding="utf-8"))["strategies"]
# `datasets` takes a set without rows for a fault, so that the card names none.
filled = {name for name, strategy in strategies.items() if strategy["n_aligned"] > 0}
check(sorted(names) == sorted(patterns) and set(patterns) - {"pairs", "labels"} == filled, f"configs {names} are the strategies {sorted(filled)}")
files = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.parquet")) if path.name not in NOT_SETS]
for file in files:
    n_configs = sum(fnmatch(file, pattern) for pattern in patterns.values())
    check(n_configs == (parquet.read_metadata(folder / file).num_rows > 0), f"{file} belongs to one config, and to none when it is empty")
n_rows = {}
for name, pattern in patterns.items():
    of_set = [folder / file for file in files if fnmatch(file, pattern)]
    check(of_set, f"{pattern} names files")
    loaded = load_dataset(str(folder), name)
    check(list(loaded) == ["train"], f"{name} has the split `train`, found {list(loaded)}")
    rows = n_rows[name] = loaded["train"]
    check(rows.to_list() == [row for file in of_set for row in parquet.read_table(file).to_pylist()], f"{name} has the rows of its files in order")
    {"pairs": check_pairs, "labels": check_labels}.get(name, check_sft)(name, rows, strategies)
print("; ".join(f"{name}: {rows.num_rows} rows" for name, rows in n_rows.items()) + f"; {len(files)} files")
