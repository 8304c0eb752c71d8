"""Writes what PyTorch and TRL make of pairs of answers: `objectives.json` beside this file.

The model that is trained is `tied`, the reference model `untied`; both were written by this crate. Every loss is a plain
PyTorch program here; where TRL has the loss, its own trainer runs the same three steps, and the script refuses to write
numbers that the two do not agree on (losses to 1e-5, weights to 1e-4 of the largest).
Pinned: torch 2.15.0, transformers 5.23.0, trl 1.16.0, datasets 5.2.0, Python 3.11 (CPU, f32).
Run: python objectives.py    (any machine; no network)
Tolerances stand in ../objectives/main.rs.
"""
import json, math, pathlib, tempfile
import torch
from torch.nn.functional import logsigmoid, relu
from transformers import AutoModelForCausalLM, AutoTokenizer

here = pathlib.Path(__file__).parent
pairs = [
    ("en", "Write 12 in Turkish", "on iki", "twelve, I think"),
    ("ru", "Сегодня?", "среда", "четверг, 13 марта"),
    ("zh", "今天?", "星期四 3 月", "今天"),
    ("ar", "اليوم", "الأربعاء ١٢ مارس", "مارس"),
    ("ru", "А завтра?", "четверг", "пятница, наверное"),
]
weights = [1.0, 0.5, 2.0, 1.0, 1.5]
optimizer = {"steps": 3, "batch_size": len(pairs), "lr": 0.01, "schedule": "constant", "warmup_steps": 0,
             "weight_decay": 0.0, "betas": [0.9, 0.95], "eps": 1e-8, "max_grad_norm": 0.5}
EVERY = 7  # of the numbers of a tensor, one in so many is kept

nll = lambda weight, reduce: {"weight": weight, "reduce": reduce}
cases = {
    "sigmoid": {"beta": 0.5},
    "sigmoid+nll-sequence": {"kind": "sigmoid", "beta": 0.1, "nll": nll(1.0, "sequence")},
    "sigmoid+nll-token": {"kind": "sigmoid", "beta": 0.1, "nll": nll(0.2, "token")},
    "sigmoid+weights": {"kind": "sigmoid", "beta": 0.3, "nll": nll(0.5, "token"), "weighted": True},
    "cdpo": {"beta": 0.5, "label_smoothing": 0.1},
    "robust": {"beta": 0.5, "label_smoothing": 0.1},
    "sigmoid-norm": {"beta": 5.0},
    "ipo": {"beta": 0.5, "normalize": "token"},
    "ipo-sum": {"kind": "ipo", "beta": 0.5, "normalize": "sum"},
    "hinge": {"beta": 0.2},
    "simpo": {"beta": 2.0, "gamma": 0.5},
    "orpo": {"beta": 0.3, "nll": nll(1.0, "sequence")},
}
in_trl = {"sigmoid": "sigmoid", "sigmoid+nll-token": ["sigmoid", "sft"], "robust": "robust", "sigmoid-norm": "sigmoid_norm",
          "ipo": "ipo", "hinge": "hinge"}


def load(name):
    return AutoModelForCausalLM.from_pretrained(here / name, dtype=torch.float32, attn_implementation="eager")


def encoded(tokenizer):
    turn = lambda role, text: {"role": role, "content": text}
    ids = lambda messages, cue: tokenizer.apply_chat_template(messages, add_generation_prompt=cue, tokenize=True,
                                                              return_dict=False)
    rows = []
    for _, prompt, *answers in pairs:
        cue = ids([turn("user", prompt)], True)
        sides = [ids([turn("user", prompt), turn("assistant", answer)], False) for answer in answers]
        assert all(side[: len(cue)] == cue for side in sides)
        rows.append([(side, len(cue)) for side in sides])
    return rows


def sums(model, rows):
    """Log-probability of each answer and its tokens: [chosen, rejected] of [S, T]."""
    def side(tokens, start):
        logp = model(torch.tensor([tokens])).logits[0, :-1].log_softmax(-1)
        picked = logp.gather(1, torch.tensor(tokens[1:])[:, None])[start - 1 :, 0]
        return picked.sum(), len(picked)
    found = [[side(*answer) for answer in row] for row in rows]
    stack = lambda at: (torch.stack([row[at][0] for row in found]), torch.tensor([float(row[at][1]) for row in found]))
    return stack(0), stack(1)


def loss_of(name, case, policy, reference):
    kind, beta = case.get("kind", name), case["beta"]
    ((s_w, t_w), (s_l, t_l)), ((r_w, _), (r_l, _)) = policy, reference
    rho_w, rho_l = s_w - r_w, s_l - r_l
    z, eps = beta * (rho_w - rho_l), case.get("label_smoothing", 0.0)
    if kind == "sigmoid":
        per_pair = -logsigmoid(z)
    elif kind == "cdpo":
        per_pair = -(1 - eps) * logsigmoid(z) - eps * logsigmoid(-z)
    elif kind == "robust":
        per_pair = (-(1 - eps) * logsigmoid(z) + eps * logsigmoid(-z)) / (1 - 2 * eps)
    elif kind == "sigmoid-norm":
        per_pair = -logsigmoid(beta * (rho_w / t_w - rho_l / t_l))
    elif kind == "ipo":
        h = rho_w / t_w - rho_l / t_l if case["normalize"] == "token" else rho_w - rho_l
        per_pair = (h - 1 / (2 * beta)) ** 2
    elif kind == "hinge":
        per_pair = relu(1 - z)
    elif kind == "simpo":
        per_pair = -logsigmoid(beta * (s_w / t_w - s_l / t_l) - case["gamma"])
    elif kind == "orpo":
        odds = lambda a: a - torch.log(-torch.expm1(a))
        per_pair = -beta * logsigmoid(odds(s_w / t_w) - odds(s_l / t_l))
    w = torch.tensor(weights if case.get("weighted") else [1.0] * len(pairs))
    loss = (w * per_pair).sum() / w.sum()
    if "nll" in case:
        likelihood = {"sequence": (w * -s_w / t_w).sum() / w.sum(), "token": (w * -s_w).sum() / (w * t_w).sum()}
        loss = loss + case["nll"]["weight"] * likelihood[case["nll"]["reduce"]]
    return loss


def sampled(model, tensor_of):
    kept = lambda p: [float(f"{x:.7g}") for x in tensor_of(p).detach().flatten()[::EVERY].tolist()]
    return {name: kept(p) for name, p in model.named_parameters()}


def plain(name, case, rows, reference):
    model = load("tied").train()
    adam = torch.optim.AdamW(model.parameters(), lr=optimizer["lr"], betas=tuple(optimizer["betas"]),
                             eps=optimizer["eps"], weight_decay=0.0)
    losses, norms, gradients = [], [], None
    for _ in range(optimizer["steps"]):
        adam.zero_grad()
        loss = loss_of(name, case, sums(model, rows), reference)
        loss.backward()
        gradients = gradients or sampled(model, lambda p: p.grad)
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), optimizer["max_grad_norm"]).item())
        losses.append(loss.item())
        adam.step()
    return model, {"losses": losses, "grad_norms": norms, "gradients": gradients,
                   "weights": sampled(model, lambda p: p)}


def with_trl(name, case, tokenizer):
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    class Watched(DPOTrainer):
        def compute_loss(self, *args, **kwargs):
            loss = super().compute_loss(*args, **kwargs)
            self.losses = getattr(self, "losses", []) + [loss.item()]
            return loss

    turn = lambda role, text: [{"role": role, "content": text}]
    rows = [{"prompt": turn("user", p), "chosen": turn("assistant", w), "rejected": turn("assistant", l)}
            for _, p, w, l in pairs]
    kind = in_trl[name]
    with tempfile.TemporaryDirectory() as folder:
        args = DPOConfig(
            output_dir=folder, per_device_train_batch_size=len(pairs), max_steps=optimizer["steps"],
            learning_rate=optimizer["lr"], lr_scheduler_type="constant", warmup_steps=0, weight_decay=0.0,
            adam_beta1=optimizer["betas"][0], adam_beta2=optimizer["betas"][1], adam_epsilon=optimizer["eps"],
            max_grad_norm=optimizer["max_grad_norm"], beta=case["beta"], loss_type=kind,
            loss_weights=[1.0, case["nll"]["weight"]] if "nll" in case else None,
            label_smoothing=case.get("label_smoothing", 0.0), bf16=False, use_cpu=True, report_to="none",
            gradient_checkpointing=False, logging_steps=1, save_strategy="no", disable_tqdm=True, max_length=None)
        trainer = Watched(model=load("tied"), ref_model=load("untied"), args=args, train_dataset=Dataset.from_list(rows),
                          processing_class=tokenizer)
        trainer.train()
        first = trainer.state.log_history[0]
    metrics = {key: first[key] for key in first if key.startswith(("rewards/", "logps/"))}
    return trainer.model, trainer.losses, metrics


def main():
    tokenizer = AutoTokenizer.from_pretrained(here / "tied")
    rows = encoded(tokenizer)
    with torch.no_grad():
        reference = sums(load("untied"), rows)
        start = sums(load("tied"), rows)
    found = {}
    for name, case in cases.items():
        model, numbers = plain(name, case, rows, reference)
        if name in in_trl:
            theirs, losses, numbers["trl_metrics"] = with_trl(name, case, tokenizer)
            assert all(abs(a - b) < 1e-5 * max(1, abs(a)) for a, b in zip(numbers["losses"], losses)), (name, numbers["losses"], losses)
            for (key, ours), (_, other) in zip(model.named_parameters(), theirs.named_parameters()):
                gap = (ours - other).abs().max() / ours.abs().max()
                assert gap < 1e-4, (name, key, gap)
            numbers["trl_losses"] = losses
        found[name] = {"loss": case, **numbers}
        print(name, numbers["losses"], numbers.get("trl_losses"))
    flat = lambda found: [[side[0].tolist(), side[1].tolist()] for side in found]
    (here / "objectives.json").write_text(json.dumps(
        {"pairs": pairs, "weights": weights, "optimizer": optimizer, "every": EVERY,
         "policy": flat(start), "reference": flat(reference), "cases": found},
        ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    main()
