"""Writes the log-probabilities that lm-evaluation-harness gives continuations under the model folder `tied`.

Pinned: lm_eval 0.4.13, torch 2.15.0, transformers 5.23.0, Python 3.11 (CPU, f32). Run: python choices.py
The tolerance stands in ../inference.rs.
"""
import json, pathlib
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

here = pathlib.Path(__file__).parent
questions = [
    ("Bugün hava çok", [" güzel", " soğuk", " iyi değil"]),
    ("Question: 12?\nAnswer:", [" A", " B", " C", " D"]),
    ("trailing space ", ["moves", "to the right"]),
    ("", ["Καλημέρα", " Καλημέρα, τι κάνεις"]),
    ("今天", ["星期四", "晚上好"]),
    ("Trời hôm n", ["ay đẹp", "ay"]),
    ("long " * 60, ["end", "other end of it"]),
]
lm = HFLM(pretrained=str(here / "tied"), device="cpu", dtype="float32", batch_size=3, max_length=128)
requests = [Instance("loglikelihood", {}, (context, text), 0) for context, texts in questions for text in texts]
scores = iter(lm.loglikelihood(requests))
out = []
for context, texts in questions:
    answers = [next(scores) for _ in texts]
    out.append({"context": context, "continuations": texts, "sums": [a[0] for a in answers],
                "greedy": [bool(a[1]) for a in answers]})
(here / "choices.json").write_text(json.dumps(out, ensure_ascii=False) + "\n")
