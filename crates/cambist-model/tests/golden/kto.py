"""Writes what PyTorch and TRL make of single answers with a label: `kto.json` beside this file.

Answers are those of `objectives.py`: all chosen ones, wanted, then some rejected ones, unwanted. Every case is a plain
PyTorch program here, and TRL's KTOTrainer runs the same three steps where rows have no weights of their own; the script
refuses to write numbers that the two do not agree on (losses and baselines to 1e-5, weights to 1e-4 of the largest).
TRL pairs each prompt with the completion of the row before it, within a batch in the order of the data.
Pinned: torch 2.15.0, transformers 5.23.0, trl 1.16.0, datasets 5.2.0, Python 3.11 (CPU, f32).
Run: python kto.py    (any machine; no network)
Tolerances stand in ../objectives/kto.rs.
"""
import json, pathlib, tempfile
import torch
from transformers import AutoTokenizer

from objectives import EVERY, encoded, load, optimizer, pairs, sampled

here = pathlib.Path(__file__).parent
rows = [(i, 0) for i in range(5)] + [(i, 1) for i in (0, 2, 3)]  # of a pair: which, and which side
weights = [1.0, 0.5, 2.0, 1.0, 1.5, 1.0, 0.25, 3.0]
# A larger `eps` than usual: numbers whose gradient is next to nothing would go either way.
optimizer = optimizer | {"batch_size": len(rows), "eps": 1e-5}
cases = {
    "usual": {"beta": 0.1},
    "weights-of-kinds": {"beta": 0.5, "desirable_weight": 1.0, "undesirable_weight": 1.6},
    "other-way-round": {"beta": 0.3, "start": "untied", "reference": "tied"},
    "weights-of-rows": {"beta": 0.5, "weighted": True},
}


def answers(tokenizer):
    """Tokens and the first one of the answer, of each row; and of each prompt with the answer of the row before."""
    both = encoded(tokenizer)
    own = [both[i][side] for i, side in rows]
    mixed = [(tokens[:start] + before[cut:], start) for (tokens, start), (before, cut) in zip(own, [own[-1], *own])]
    return own, mixed


def sums(model, sequences):
    def one(tokens, start):
        logp = model(torch.tensor([tokens])).logits[0, :-1].log_softmax(-1)
        return logp.gather(1, torch.tensor(tokens[1:])[:, None])[start - 1 :, 0].sum()
    return torch.stack([one(*sequence) for sequence in sequences])


def plain(case, own, mixed):
    model, frozen = load(case.get("start", "tied")).train(), load(case.get("reference", "untied"))
    with torch.no_grad():
        reference, reference_mixed = sums(frozen, own), sums(frozen, mixed)
    w = torch.tensor(weights if case.get("weighted") else [1.0] * len(rows))
    kind = torch.tensor([case.get("undesirable_weight" if side else "desirable_weight", 1.0) for _, side in rows])
    sign = torch.tensor([-1.0 if side else 1.0 for _, side in rows])
    adam = torch.optim.AdamW(model.parameters(), lr=optimizer["lr"], betas=tuple(optimizer["betas"]),
                             eps=optimizer["eps"], weight_decay=0.0)
    losses, norms, baselines, gradients = [], [], [], None
    for _ in range(optimizer["steps"]):
        adam.zero_grad()
        with torch.no_grad():
            baseline = ((w * (sums(model, mixed) - reference_mixed)).sum() / w.sum()).clamp(min=0)
        z = case["beta"] * sign * (sums(model, own) - reference - baseline)
        loss = (w * kind * (1 - torch.sigmoid(z))).sum() / w.sum()
        loss.backward()
        gradients = gradients or sampled(model, lambda p: p.grad)
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), optimizer["max_grad_norm"]).item())
        losses.append(loss.item())
        baselines.append(baseline.item())
        adam.step()
    return model, {"losses": losses, "grad_norms": norms, "baselines": baselines, "gradients": gradients,
                   "weights": sampled(model, lambda p: p)}


def with_trl(case, tokenizer):
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    class Watched(KTOTrainer):
        def compute_loss(self, *args, **kwargs):
            loss = super().compute_loss(*args, **kwargs)
            self.losses = getattr(self, "losses", []) + [loss.item()]
            return loss

    turn = lambda role, text: [{"role": role, "content": text}]
    data = [{"prompt": turn("user", pairs[i][1]), "completion": turn("assistant", pairs[i][2 + side]), "label": side == 0}
            for i, side in rows]
    with tempfile.TemporaryDirectory() as folder:
        args = KTOConfig(
            output_dir=folder, per_device_train_batch_size=len(rows), max_steps=optimizer["steps"],
            learning_rate=optimizer["lr"], lr_scheduler_type="constant", warmup_steps=0, weight_decay=0.0,
            adam_beta1=optimizer["betas"][0], adam_beta2=optimizer["betas"][1], adam_epsilon=optimizer["eps"],
            max_grad_norm=optimizer["max_grad_norm"], beta=case["beta"],
            desirable_weight=case.get("desirable_weight", 1.0), undesirable_weight=case.get("undesirable_weight", 1.0),
            bf16=False, use_cpu=True, report_to="none", gradient_checkpointing=False, logging_steps=1,
            save_strategy="no", disable_tqdm=True, max_length=None)
        trainer = Watched(model=load(case.get("start", "tied")), ref_model=load(case.get("reference", "untied")), args=args,
                          train_dataset=Dataset.from_list(data), processing_class=tokenizer)
        trainer.train()
        logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    metrics = {key: logs[0][key] for key in logs[0] if key.startswith(("rewards/", "logps/")) or key == "kl"}
    return trainer.model, trainer.losses, [entry["kl"] for entry in logs], metrics


def main():
    tokenizer = AutoTokenizer.from_pretrained(here / "tied")
    own, mixed = answers(tokenizer)
    found = {}
    for name, case in cases.items():
        model, numbers = plain(case, own, mixed)
        if "weighted" not in case:
            theirs, losses, baselines, metrics = with_trl(case, tokenizer)
            for ours, others in ((numbers["losses"], losses), (numbers["baselines"], baselines)):
                assert all(abs(a - b) < 1e-5 * max(1, abs(a)) for a, b in zip(ours, others, strict=True)), (name, ours, others)
            for (key, ours), (_, other) in zip(model.named_parameters(), theirs.named_parameters()):
                gap = (ours - other).abs().max() / ours.abs().max()
                assert gap < 1e-4, (name, key, gap)
            numbers |= {"trl_losses": losses, "trl_metrics": metrics}
        found[name] = {"loss": case, **numbers}
        print(name, numbers["losses"], numbers["baselines"], numbers.get("trl_losses"))
    assert any(numbers["baselines"][0] > 0 for numbers in found.values())
    texts = [[*pairs[i][:2], pairs[i][2 + side], side == 0] for i, side in rows]
    (here / "kto.json").write_text(json.dumps(
        {"rows": texts, "weights": weights, "optimizer": optimizer, "every": EVERY, "cases": found},
        ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    main()
