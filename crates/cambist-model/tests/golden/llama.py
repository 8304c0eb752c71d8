"""Writes what `transformers` and PyTorch make of the model folders `tied` and `untied` beside this file.

Pinned: torch 2.15.0, transformers 5.23.0, tokenizers 0.23.3, safetensors 0.8.0, Python 3.11 (CPU, f32).
Run: python llama.py    (any machine; no network)
Tolerances stand in ../golden.rs. Masks are made here from token prefixes, losses and AdamW are PyTorch's own.
"""
import json, math, pathlib
import torch, tokenizers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

here = pathlib.Path(__file__).parent
texts = json.loads((here / "texts.json").read_text())
U, A = (lambda c: {"role": "user", "content": c}), (lambda c: {"role": "assistant", "content": c})
conversations = [
    [U("Write 12 in Turkish"), A("on iki")],
    [U("Сегодня?"), A("среда"), U("А завтра?"), A("четверг, 13 марта")],
    [{"role": "system", "content": "短く"}, U("今天?"), A("星期四")],
    [U("اليوم"), A("الأربعاء ١٢ مارس")],
]
optimizer = {"steps": 3, "batch_size": 4, "lr": 0.01, "schedule": "cosine", "warmup_steps": 2, "weight_decay": 0.1,
             "betas": [0.9, 0.95], "eps": 1e-8, "max_grad_norm": 0.5}


def rate(step):
    if step < optimizer["warmup_steps"]:
        return optimizer["lr"] * (step + 1) / optimizer["warmup_steps"]
    progress = (step - optimizer["warmup_steps"]) / (optimizer["steps"] - optimizer["warmup_steps"])
    return optimizer["lr"] * 0.5 * (1 + math.cos(math.pi * progress))


def ids(tokenizer, messages, cue):
    return tokenizer.apply_chat_template(messages, add_generation_prompt=cue, tokenize=True, return_dict=False)


def answer_mask(tokenizer, messages):
    tokens = ids(tokenizer, messages, False)
    mask = [0] * len(tokens)
    for turn, message in enumerate(messages):
        if message["role"] == "assistant":
            start, end = ids(tokenizer, messages[:turn], True), ids(tokenizer, messages[: turn + 1], False)
            assert tokens[: len(start)] == start and tokens[: len(end)] == end
            mask[len(start) : len(end)] = [1] * (len(end) - len(start))
    return tokens, mask


def loss_of(model, rows):
    total, count = 0.0, 0
    for tokens, mask in rows:
        logp = model(torch.tensor([tokens])).logits[0, :-1].log_softmax(-1)
        chosen = logp.gather(1, torch.tensor(tokens[1:])[:, None])[:, 0]
        total = total - (chosen * torch.tensor(mask[1:])).sum()
        count += sum(mask[1:])
    return total / count


def named(model, tensor_of):
    seen = {n: tensor_of(p).detach().contiguous().clone() for n, p in model.named_parameters()}
    return seen


def main(name):
    folder = here / name
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoded = {s: [plain.encode(t, add_special_tokens=False).ids for t in ts] for s, ts in texts.items()}
    assert encoded == {s: [tokenizer(t, add_special_tokens=False).input_ids for t in ts] for s, ts in texts.items()}
    assert encoded == {s: [tokenizer(t).input_ids for t in ts] for s, ts in texts.items()}
    decoded = {s: [plain.decode(i) for i in ii] for s, ii in encoded.items()}

    load = lambda: AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    rows = []
    for messages in conversations:
        tokens, mask = answer_mask(tokenizer, messages)
        prompt = ids(tokenizer, messages[:-1], True)
        last = [m if i >= len(prompt) else 0 for i, m in enumerate(mask)]
        with torch.no_grad():
            logits = model(torch.tensor([tokens])).logits[0]
            log_prob = -(loss_of(model, [(tokens, last)]) * sum(last)).item()
            greedy = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), do_sample=False,
                                    max_new_tokens=24)[0, len(prompt):].tolist()
        short = [t for t in greedy if t not in model.generation_config.eos_token_id]
        rows.append({"messages": messages, "rendered": tokenizer.apply_chat_template(messages, tokenize=False),
                     "prompt": prompt, "tokens": tokens, "logits": [[float(f"{x:.6g}") for x in r] for r in logits[:, ::17].tolist()],
                     "answer_log_prob": log_prob, "greedy": greedy, "greedy_text": plain.decode(short)})

    batch = [answer_mask(tokenizer, m) for m in conversations]
    model = load().train()
    loss_of(model, batch).backward()
    save_file(named(model, lambda p: p.grad), folder / "expected_gradients.safetensors")

    model = load().train()
    decays = lambda n, p: p.ndim == 2 and "embed_tokens" not in n
    groups = [{"params": [p for n, p in model.named_parameters() if decays(n, p) == d],
               "weight_decay": optimizer["weight_decay"] * d} for d in (True, False)]
    adam = torch.optim.AdamW(groups, lr=optimizer["lr"], betas=tuple(optimizer["betas"]), eps=optimizer["eps"])
    losses, norms = [], []
    for step in range(optimizer["steps"]):
        for group in adam.param_groups:
            group["lr"] = rate(step)
        adam.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), optimizer["max_grad_norm"]).item())
        losses.append(loss.item())
        adam.step()
    save_file(named(model, lambda p: p), folder / "expected_weights.safetensors")
    (folder / "expected.json").write_text(json.dumps(
        {"encoded": encoded, "decoded": decoded, "rows": rows, "losses": losses, "grad_norms": norms,
         "optimizer": optimizer}, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for name in ("tied", "untied"):
        main(name)
