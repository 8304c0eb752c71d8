#!/usr/bin/env python3
"""Loads an adapter's artifact with PEFT and compares it with the model that it was merged into; 1 on a difference.

    python adapters.py BASE_FOLDER ADAPTER_FOLDER MERGED_FOLDER

Made with Python 3.11, torch 2.15.0, transformers 5.23.0, peft 0.21.2. Tolerance: 1e-5 of the largest logit. Uses no
network.
"""
import os
import sys

os.environ |= {"HF_HUB_OFFLINE": "1"}

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

torch.set_num_threads(1)
base, adapter, merged = sys.argv[1:4]
load = lambda folder: AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
tokenizer = AutoTokenizer.from_pretrained(adapter)
messages = [{"role": "user", "content": "2024-03-09"}, {"role": "assistant", "content": "9 Mart 2024 Cumartesi"}]
tokens = torch.tensor([tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]])
with torch.no_grad():
    plain = load(base)(tokens).logits
    adapted = PeftModel.from_pretrained(load(base), adapter).eval()(tokens).logits
    whole = load(merged)(tokens).logits
largest = adapted.abs().max()
gap, change = ((adapted - whole).abs().max() / largest).item(), ((adapted - plain).abs().max() / largest).item()
print(f"{tokens.numel()} tokens: merged and unmerged logits are {gap:.1e} of the largest apart, the base {change:.1e}")
sys.exit(not (gap < 1e-5 < 1e-2 < change))
