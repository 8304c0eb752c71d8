"""Writes adapters that PEFT made for models of `families` beside this file, and the logits with them.

Pinned: torch 2.15.0, transformers 5.23.0, peft 0.21.2, safetensors 0.8.0, Python 3.11 (CPU, f32, eager).
Run: python adapter_families.py    (any machine; no network)

`adapter/families/MODEL/` holds an adapter with random numbers as PEFT saves it and the logits of every fifth position. The
tolerance stands in ../families.rs.
"""
import json
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from families import TEXT, here

TARGETS = {"phi3": ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]}
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

torch.manual_seed(0)
torch.set_num_threads(1)
for name in ("qwen2", "phi3", "gemma3", "cohere2"):
    folder = here.parent / "adapter" / "families" / name
    base = AutoModelForCausalLM.from_pretrained(here / name, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        plain = base(torch.tensor([TEXT])).logits[0, ::5].clone()
        config = LoraConfig(r=3, lora_alpha=4, target_modules=TARGETS.get(name, PROJECTIONS), task_type="CAUSAL_LM")
        model = get_peft_model(base, config)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
        model.peft_config["default"].base_model_name_or_path = name
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        logits = model(torch.tensor([TEXT])).logits[0, ::5]
    assert (logits - plain).abs().max() > 0.1, "the adapter changes nothing"
    rows = [[float(f"{x:.7g}") for x in row] for row in logits.tolist()]
    (folder / "expected.json").write_text(json.dumps({"logits": rows}, separators=(",", ":")) + "\n")
    print(name, sum(file.stat().st_size for file in folder.iterdir()), "bytes")
