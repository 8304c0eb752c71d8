"""Writes what `transformers` makes of models of `families` whose weights are rounded to 16 bits, computing in f32.

Pinned: torch 2.15.0, transformers 5.23.0, Python 3.11 (CPU, f32, eager).
Run: python half.py       writes half.json beside it (any machine; no network). Tolerances stand in ../half.rs.
"""
import json, pathlib
import torch
from transformers import AutoModelForCausalLM
from families import N_TOKENS, PROMPT, TEXT, here, log_probs

NAMES = ["llama", "qwen3", "phi3", "gemma2", "cohere2"]


def numbers(name, dtype):
    model = AutoModelForCausalLM.from_pretrained(here / name, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.to(dtype).float())
        logits = model(torch.tensor([TEXT])).logits[0, -1]
        text = log_probs(model, TEXT)
        greedy = model.generate(torch.tensor([PROMPT]), attention_mask=torch.ones(1, N_TOKENS), do_sample=False,
                                max_new_tokens=16, eos_token_id=2, pad_token_id=0)[0, N_TOKENS:].tolist()
    short = lambda row: [float(f"{x:.7g}") for x in row.tolist()]
    return {"tokens": TEXT, "logits": short(logits), "log_probs": short(text), "prompt": PROMPT, "greedy": greedy}


if __name__ == "__main__":
    types = {"bf16": torch.bfloat16, "f16": torch.float16}
    found = {name: {key: numbers(name, dtype) for key, dtype in types.items()} for name in NAMES}
    (here.parent / "half.json").write_text(json.dumps(found))
