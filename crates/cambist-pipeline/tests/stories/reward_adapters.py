#!/usr/bin/env python3
"""Loads a reward adapter's artifact with PEFT and compares its rewards with those of the model that it was merged into; 1 on
a difference.

    python reward_adapters.py BASE_FOLDER ADAPTER_FOLDER MERGED_FOLDER

Made with Python 3.11, torch 2.15.0, transformers 5.23.0, peft 0.21.2. Tolerance: 1e-4. Uses no network.
"""
import os
import sys

os.environ |= {"HF_HUB_OFFLINE": "1"}

import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

torch.set_num_threads(1)
torch.manual_seed(0)
base, adapter, merged = sys.argv[1:4]
load = lambda folder: AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32).eval()
tokenizer = AutoTokenizer.from_pretrained(adapter)
answers = ["It is number 4.", "zzz 4"]
turn = lambda role, text: {"role": role, "content": text}
rows = [tokenizer.apply_chat_template([turn("user", "Which number stands on the river 4?"), turn("assistant", answer)],
                                      return_dict=True)["input_ids"] for answer in answers]


def rewards(model):
    with torch.no_grad():
        return torch.tensor([model(torch.tensor([row])).logits[0, 0] for row in rows])


adapted, whole, plain = rewards(PeftModel.from_pretrained(load(base), adapter).eval()), rewards(load(merged)), rewards(load(base))
gap = (adapted - whole).abs().max().item()
print(f"rewards {adapted.tolist()} of the adapter, {whole.tolist()} merged, {plain.tolist()} with a random head")
sys.exit(not (gap < 1e-4 and adapted[0] > adapted[1] + 0.5))
