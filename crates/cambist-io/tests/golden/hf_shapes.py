# Pinned: Python 3.11.7, datasets 5.2.0, pyarrow 26.0.1.
#
# 1. Loads pairs and supervised rows that cambist-io wrote (Parquet and JSONL) with `datasets`, checks that they have
#    the column types that TRL's conversational formats expect, and prints what it saw: hf_shapes.json.
# 2. Writes rows of its own with `datasets`, as people have them: hf_written.parquet, which the test reads.
#
# Run:  CAMBIST_WRITE_GOLDEN=1 cargo test -p cambist-io --test hugging_face
#       python tests/golden/hf_shapes.py > tests/golden/hf_shapes.json        (from crates/cambist-io)
# Tolerance: none, texts and numbers are equal.
import json
import pathlib
import tempfile

import datasets

HERE = pathlib.Path(__file__).parent
CHAT = datasets.List({"role": datasets.Value("string"), "content": datasets.Value("string")})


def load(kind, name):
    with tempfile.TemporaryDirectory() as cache:
        loaded = datasets.load_dataset(kind, data_files=str(HERE / name), split="train", cache_dir=cache)
        return loaded.features, loaded.to_list()


def is_conversation(rows):
    # What trl.data_utils.is_conversational looks at: a list whose first element has `role` and `content`.
    return all(isinstance(rows, list) and {"role", "content"} == set(turn) for turn in rows)


seen = {}
for table, chats in (("pairs", ["prompt", "chosen", "rejected"]), ("sft", ["messages"])):
    features, rows = load("parquet", f"{table}.parquet")
    for chat in chats:
        assert features[chat] == CHAT, features[chat]
        assert all(is_conversation(row[chat]) for row in rows)
    json_features, json_rows = load("json", f"{table}.jsonl")
    assert json_rows == rows, "both formats hold the same rows"
    assert set(json_features) == set(features)
    seen[table] = {"columns": {name: str(kind) for name, kind in features.items()}, "rows": rows}

people = datasets.Dataset.from_list([
    {"id": 1, "language": "ar", "score": 0.1, "messages": [{"role": "user", "content": "ما اليوم؟"}, {"role": "assistant", "content": "الأربعاء"}]},
    {"id": 2, "language": "ja", "score": None, "messages": [{"role": "user", "content": "何曜日？\u2028"}, {"role": "assistant", "content": "水曜日 🗓"}]},
])
people.to_parquet(str(HERE / "hf_written.parquet"))
print(json.dumps(seen, ensure_ascii=False, indent=1, sort_keys=True))
