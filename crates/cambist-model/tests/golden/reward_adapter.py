"""Writes what PEFT and PyTorch make of an adapter that brings a reward head to the language model `tied` beside this file.

Pinned: torch 2.15.0, transformers 5.23.0, peft 0.21.2, safetensors 0.8.0, Python 3.11 (CPU, f32).
Run: python reward_adapter.py    (any machine; no network)

`adapter/reward/` holds an adapter with random numbers as PEFT saves it (`task_type: SEQ_CLS`), and what it makes of the
pairs of `objectives.py`: rewards, and the adapter after three steps of AdamW on the Bradley-Terry loss. `written/` in it was
written by this crate from the same numbers (../heads/adapter.rs); PEFT loads it here, and `expected.json` says how far its
rewards are from those of PEFT's own. Tolerances stand in ../heads/adapter.rs.
"""
import json
import peft, torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from objectives import encoded, here, optimizer
from reward import loss_of, rewards

folder = here / "adapter" / "reward"
settings = dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"])


def base():
    return AutoModelForSequenceClassification.from_pretrained(
        here / "tied", num_labels=1, dtype=torch.float32, attn_implementation="eager")


def adapted(folder):
    return PeftModel.from_pretrained(base(), folder, is_trainable=True)


def both(model, rows):
    with torch.no_grad():
        return torch.stack(rewards(model, rows))


def trained_of(model):
    return {n.replace(".modules_to_save", "").replace(".default.", "."): p
            for n, p in model.named_parameters() if p.requires_grad}


def main():
    folder.mkdir(parents=True, exist_ok=True)
    rows = [[tokens for tokens, _ in row] for row in encoded(AutoTokenizer.from_pretrained(here / "tied"))]
    model = get_peft_model(base(), LoraConfig(task_type="SEQ_CLS", **settings))
    with torch.no_grad():
        for name, parameter in trained_of(model).items():
            parameter.copy_(torch.randn_like(parameter) * (1.0 if "score" in name else 0.3))
    model.peft_config["default"].base_model_name_or_path = "tied"
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    saved = load_file(folder / "adapter_model.safetensors")

    model = adapted(folder)
    assert trained_of(model).keys() == saved.keys(), trained_of(model).keys() ^ saved.keys()
    found = both(model, rows)
    merged = both(adapted(folder).merge_and_unload(), rows)
    assert (merged - found).abs().max() < 1e-5 * found.abs().max(), (merged, found)

    adam = torch.optim.AdamW(trained_of(model).values(), lr=optimizer["lr"], betas=tuple(optimizer["betas"]),
                             eps=optimizer["eps"], weight_decay=optimizer["weight_decay"])
    losses, norms = [], []
    for _ in range(optimizer["steps"]):
        adam.zero_grad()
        loss = loss_of({}, *rewards(model, rows))
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(trained_of(model).values(), optimizer["max_grad_norm"]).item())
        losses.append(loss.item())
        adam.step()
    save_file({n: p.detach().contiguous().clone() for n, p in trained_of(model).items()},
              folder / "expected_weights.safetensors")
    expected = {"n_trained": sum(p.numel() for p in saved.values()), "chosen": found[0].tolist(),
                "rejected": found[1].tolist(), "losses": losses, "grad_norms": norms}

    if (folder / "written").is_dir():
        gap = (both(adapted(folder / "written"), rows) - found).abs().max().item()
        assert gap == 0.0, gap
        expected["written"] = {"peft": peft.__version__, "torch": torch.__version__, "largest_reward_gap": gap}
    else:
        print("`written` is not there yet; run the test with CAMBIST_WRITE_GOLDEN=1, then this again")
    (folder / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")


torch.manual_seed(0)
torch.set_num_threads(1)
main()
