"""Writes what PyTorch and TRL make of a reward head and pairs of answers: `reward.json` beside this file.

The backbone is `tied`, which this crate wrote; the head's row is drawn here. Every loss is a plain PyTorch program; TRL's
own RewardTrainer runs the same three steps where it can say them (it has no weights of rows, and multiplies margins by 1),
and the script refuses to write numbers that the two do not agree on (losses to 1e-5, weights to 1e-4 of the largest).
Pinned: torch 2.15.0, transformers 5.23.0, trl 1.16.0, datasets 5.2.0, Python 3.11 (CPU, f32).
Run: python reward.py    (any machine; no network)
Tolerances stand in ../heads/reward.rs.
"""
import json, tempfile
import torch
from safetensors.torch import load_file
from torch.nn.functional import logsigmoid
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from objectives import EVERY, encoded, here, optimizer, pairs, sampled, weights

margins = [0.5, 0.25, 1.0, 0.0, 2.0]
cases = {
    "plain": {},
    "margin": {"margin_scale": 1.0},
    "margin-scaled": {"margin_scale": 0.4},
    "center": {"center_rewards_coefficient": 0.05},
    "all": {"margin_scale": 1.0, "center_rewards_coefficient": 0.01, "weighted": True},
}
in_trl = ["plain", "margin", "center"]


def load():
    config = AutoConfig.from_pretrained(here / "tied", num_labels=1)
    config._attn_implementation = "eager"
    model = AutoModelForSequenceClassification.from_config(config).float()
    state = load_file(here / "tied" / "model.safetensors")
    state.pop("lm_head.weight", None)
    row = torch.randn(1, config.hidden_size, generator=torch.Generator().manual_seed(5))
    missing, unexpected = model.load_state_dict({**state, "score.weight": row}, strict=False)
    assert not missing and not unexpected, (missing, unexpected)
    return model


def rewards(model, rows):
    side = lambda at: torch.stack([model(torch.tensor([row[at]])).logits[0, 0] for row in rows])
    return side(0), side(1)


def loss_of(case, chosen, rejected):
    w = torch.tensor(weights if case.get("weighted") else [1.0] * len(pairs))
    z = chosen - rejected - case.get("margin_scale", 0.0) * torch.tensor(margins)
    loss = (w * -logsigmoid(z)).sum() / w.sum()
    return loss + case.get("center_rewards_coefficient", 0.0) * (w * (chosen + rejected) ** 2).sum() / w.sum()


def plain(case, rows):
    model = load().train()
    adam = torch.optim.AdamW(model.parameters(), lr=optimizer["lr"], betas=tuple(optimizer["betas"]),
                             eps=optimizer["eps"], weight_decay=0.0)
    losses, norms, gradients = [], [], None
    for _ in range(optimizer["steps"]):
        adam.zero_grad()
        loss = loss_of(case, *rewards(model, rows))
        loss.backward()
        gradients = gradients or sampled(model, lambda p: p.grad)
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), optimizer["max_grad_norm"]).item())
        losses.append(loss.item())
        adam.step()
    return model, {"losses": losses, "grad_norms": norms, "gradients": gradients,
                   "weights": sampled(model, lambda p: p)}


def with_trl(case, tokenizer):
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    class Watched(RewardTrainer):
        def compute_loss(self, *args, **kwargs):
            loss = super().compute_loss(*args, **kwargs)
            self.losses = getattr(self, "losses", []) + [loss.item()]
            return loss

    turn = lambda role, text: [{"role": role, "content": text}]
    rows = [{"prompt": turn("user", p), "chosen": turn("assistant", w), "rejected": turn("assistant", l)}
            for _, p, w, l in pairs]
    if "margin_scale" in case:
        rows = [{**row, "margin": margin} for row, margin in zip(rows, margins)]
    with tempfile.TemporaryDirectory() as folder:
        args = RewardConfig(
            output_dir=folder, per_device_train_batch_size=len(pairs), max_steps=optimizer["steps"],
            learning_rate=optimizer["lr"], lr_scheduler_type="constant", warmup_steps=0, weight_decay=0.0,
            adam_beta1=optimizer["betas"][0], adam_beta2=optimizer["betas"][1], adam_epsilon=optimizer["eps"],
            max_grad_norm=optimizer["max_grad_norm"], bf16=False, use_cpu=True, report_to="none",
            center_rewards_coefficient=case.get("center_rewards_coefficient"), gradient_checkpointing=False,
            logging_steps=1, save_strategy="no", disable_tqdm=True, max_length=None)
        trainer = Watched(model=load(), args=args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
        trainer.train()
        first = trainer.state.log_history[0]
    return trainer.model, trainer.losses, {key: first[key] for key in ("accuracy", "margin", "mean_reward")}


def main():
    tokenizer = AutoTokenizer.from_pretrained(here / "tied")
    rows = [[tokens for tokens, _ in row] for row in encoded(tokenizer)]
    found = {}
    for name, case in cases.items():
        model, numbers = plain(case, rows)
        if name in in_trl:
            theirs, losses, numbers["trl_metrics"] = with_trl(case, tokenizer)
            assert all(abs(a - b) < 1e-5 * max(1, abs(a)) for a, b in zip(numbers["losses"], losses)), (name, numbers["losses"], losses)
            for (key, ours), (_, other) in zip(model.named_parameters(), theirs.named_parameters()):
                gap = (ours - other).abs().max() / ours.abs().max()
                assert gap < 1e-4, (name, key, gap)
            numbers["trl_losses"] = losses
        found[name] = {"loss": case, **numbers}
        print(name, numbers["losses"], numbers.get("trl_losses"), numbers.get("trl_metrics"))
    with torch.no_grad():
        chosen, rejected = rewards(load(), rows)
    (here / "reward.json").write_text(json.dumps(
        {"score": load().score.weight[0].tolist(), "margins": margins, "chosen": chosen.tolist(),
         "rejected": rejected.tolist(), "cases": found}, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    main()
