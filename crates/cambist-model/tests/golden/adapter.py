"""Writes what PEFT and PyTorch make of adapters on the model folders `tied` and `untied` beside this file.

Pinned: torch 2.15.0, transformers 5.23.0, peft 0.21.2, safetensors 0.8.0, Python 3.11 (CPU, f32).
Run: python adapter.py    (any machine; no network)

`adapter/CASE/` holds an adapter with random numbers as PEFT saves it, and what it makes: logits, gradients of SFT, the
adapter after three steps of AdamW, the merged model. `adapter/CASE/written/` was written by this crate from the same
numbers (../adapter.rs); PEFT loads it here, and `expected.json` says how far its logits are from those of PEFT's own.
Tolerances stand in ../adapter.rs.
"""
import json
import peft, torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from llama import answer_mask, conversations, here, loss_of, optimizer, rate

CASES = {
    "all": ("tied", dict(r=4, lora_alpha=8, target_modules=[
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])),
    "some": ("untied", dict(r=4, lora_alpha=8, use_rslora=True, target_modules=["q_proj", "v_proj", "down_proj"])),
}


def base(name):
    return AutoModelForCausalLM.from_pretrained(here / name, dtype=torch.float32, attn_implementation="eager")


def adapted(name, folder):
    return PeftModel.from_pretrained(base(name), folder, is_trainable=True)


def logits(model, rows):
    with torch.no_grad():
        return [model(torch.tensor([tokens])).logits[0] for tokens, _ in rows]


def own(model, tensor_of):
    """The adapter's numbers under the names of PEFT's files."""
    named = [(n.replace(".default.", "."), p) for n, p in model.named_parameters() if p.requires_grad]
    return {n: tensor_of(p).detach().contiguous().clone() for n, p in named}


def main(case):
    name, settings = CASES[case]
    folder = here / "adapter" / case
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(here / name)
    rows = [answer_mask(tokenizer, messages) for messages in conversations]

    model = get_peft_model(base(name), LoraConfig(task_type="CAUSAL_LM", **settings))
    model.base_model.model.config._name_or_path = name
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
    model.peft_config["default"].base_model_name_or_path = name
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)

    model = adapted(name, folder)
    found = logits(model, rows)
    plain = logits(base(name), rows)
    assert all((a - b).abs().max() > 0.01 for a, b in zip(found, plain)), "the adapter changes nothing"
    expected = {"base": name, "optimizer": optimizer, "n_trained": sum(p.numel() for p in own(model, lambda p: p).values()),
                "rows": [{"messages": m, "tokens": t, "logits": [[float(f"{x:.6g}") for x in r] for r in l[:, ::17].tolist()]}
                         for m, (t, _), l in zip(conversations, rows, found)]}

    loss_of(model, rows).backward()
    save_file(own(model, lambda p: p.grad), folder / "expected_gradients.safetensors")

    model = adapted(name, folder)
    adam = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=optimizer["lr"],
                             betas=tuple(optimizer["betas"]), eps=optimizer["eps"], weight_decay=optimizer["weight_decay"])
    losses, norms = [], []
    for step in range(optimizer["steps"]):
        adam.param_groups[0]["lr"] = rate(step)
        adam.zero_grad()
        loss = loss_of(model, rows)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(
            [p for p in model.parameters() if p.requires_grad], optimizer["max_grad_norm"]).item())
        losses.append(loss.item())
        adam.step()
    save_file(own(model, lambda p: p), folder / "expected_weights.safetensors")
    expected |= {"losses": losses, "grad_norms": norms}

    merged = adapted(name, folder).merge_and_unload()
    save_file({n: p.detach().contiguous().clone() for n, p in merged.named_parameters() if "_proj" in n},
              folder / "expected_merged.safetensors")

    if (folder / "written").is_dir():
        theirs = logits(adapted(name, folder / "written"), rows)
        gap = max((a - b).abs().max().item() for a, b in zip(found, theirs))
        assert gap == 0.0, gap
        expected["written"] = {"peft": peft.__version__, "torch": torch.__version__, "largest_logit_gap": gap}
    else:
        print(f"{case}: `written` is not there yet; run the test with CAMBIST_WRITE_GOLDEN=1, then this again")
    (folder / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, separators=(",", ":")) + "\n")


torch.manual_seed(0)
torch.set_num_threads(1)
for case in CASES:
    main(case)
