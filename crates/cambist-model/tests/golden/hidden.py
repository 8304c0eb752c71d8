"""Pooled hidden states of every family's tiny model, as `transformers` has them: the numbers of ../hidden.rs.

Pinned: torch 2.15.0, transformers 5.23.0, Python 3.11 (CPU, f32, eager), on the folders that families.py made.
Run: python hidden.py > hidden.json

Each text by itself, so that no padding plays a part. Layer 0 are the embeddings, the last one is normalised. Tolerance:
1e-4 of the largest number of the layer (../hidden.rs).
"""
import json, pathlib
import torch
from transformers import AutoModelForCausalLM

here = pathlib.Path(__file__).parent / "families"
generator = torch.Generator().manual_seed(5)
texts = [torch.randint(3, 48, (n,), generator=generator).tolist() for n in (26, 3, 11, 1)]
found = {"texts": texts, "models": {}}
for folder in sorted(here.iterdir()):
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").float().eval()
    layers = None
    for text in texts:
        with torch.no_grad():
            states = model(torch.tensor([text]), output_hidden_states=True).hidden_states
        layers = layers or [{"mean": [], "last": []} for _ in states]
        for layer, state in zip(layers, states):
            layer["mean"].append([float(f"{x:.7g}") for x in state[0].double().mean(0).tolist()])
            layer["last"].append([float(f"{x:.7g}") for x in state[0, -1].tolist()])
    # The first and the last layers, and one between, are enough of models with more.
    found["models"][folder.name] = {str(at): layers[at] for at in sorted({0, 1, len(layers) - 1})}
print(json.dumps(found))
