"""Writes what the logits processors of `transformers` make of fixed logits, for ../../src/generate/draw.rs.

Pinned: torch 2.15.0, transformers 5.23.0, Python 3.11 (CPU, f32). Run: python sampling.py
The order of the processors is the one that `generate` puts them in. The tolerance stands in draw.rs.
"""
import itertools, json, pathlib
import torch
from transformers import (LogitsProcessorList, MinPLogitsWarper, RepetitionPenaltyLogitsProcessor,
                          TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper)

VOCAB = 60
generator = torch.Generator().manual_seed(11)
logits = torch.randn(VOCAB, generator=generator) * 2.5
prompt = torch.randint(0, VOCAB, (9,), generator=generator)
cases = []
for penalty, temperature, top_k, top_p, min_p in itertools.product(
        (None, 1.3), (0.6, 1.7), (None, 12), (1.0, 0.83), (None, 0.07)):
    steps = LogitsProcessorList()
    if penalty:
        steps.append(RepetitionPenaltyLogitsProcessor(penalty))
    steps.append(TemperatureLogitsWarper(temperature))
    if top_k:
        steps.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        steps.append(TopPLogitsWarper(top_p))
    if min_p:
        steps.append(MinPLogitsWarper(min_p))
    scores = steps(prompt[None], logits[None].clone())
    sampling = {"temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p, "repetition_penalty": penalty}
    cases.append({"sampling": sampling, "probabilities": scores.softmax(-1)[0].tolist()})
out = {"logits": logits.tolist(), "prompt": prompt.tolist(), "cases": cases}
(pathlib.Path(__file__).parent / "sampling.json").write_text(json.dumps(out) + "\n")
