"""Gives the tiny models of `families.py` reward heads and writes what `transformers` and PyTorch make of them.

Pinned: torch 2.15.0, transformers 5.23.0, tokenizers 0.23.3, safetensors 0.8.0, Python 3.11 (CPU, f32, eager).
Run: python heads.py           writes heads.json beside this file (any machine; no network)
     python heads.py --back D  loads the folders that Cambist wrote under D and compares rewards (see ../heads/main.rs)

The weights are those of the folders under `families`; only the head's row is drawn here. Rewards are of conversations
of different lengths, padded to one batch: padding must not move them. Tolerances stand in ../heads/main.rs.
"""
import json, pathlib, sys
import torch, transformers
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification
from families import here, tokens

NAMES = ["llama", "mistral", "qwen2", "qwen3", "phi3", "gemma2", "gemma3"]
BOS, END = 1, 2
# A user's turn, an assistant's turn, and the template's end of it.
TURNS = [(tokens(9, 11), tokens(12, 12)), (tokens(4, 13), tokens(3, 14)), (tokens(9, 11), tokens(5, 15))]
CONVERSATIONS = [[BOS] + user + answer + [END] for user, answer in TURNS]
GOOD, BAD = 7, 9


def rows(pad):
    longest = max(map(len, CONVERSATIONS))
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in CONVERSATIONS])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in CONVERSATIONS])
    return {"input_ids": ids, "attention_mask": mask}


def classifier(name, pad):
    config = AutoConfig.from_pretrained(here / name, num_labels=1, pad_token_id=pad)
    config._attn_implementation = "eager"
    model = AutoModelForSequenceClassification.from_config(config).float().eval()
    state = {key: t for key, t in load_file(here / name / "model.safetensors").items() if key != "lm_head.weight"}
    row = torch.randn(1, config.hidden_size, generator=torch.Generator().manual_seed(len(name)))
    missing, unexpected = model.load_state_dict({**state, "score.weight": row}, strict=False)
    assert not missing and not unexpected, (name, missing, unexpected)
    return model


def rewards(model, pad=0):
    return model(**rows(pad)).logits[:, 0]


def at(tensor):
    flat = tensor.flatten()
    return {"norm": flat.double().norm().item(), "numbers": flat[:: max(1, len(flat) // 7)].tolist()}


def numbers(name):
    model = classifier(name, 0)
    found = {"class": type(model).__name__, "score": model.score.weight[0].tolist()}
    r = rewards(model)
    found["rewards"] = r.tolist()
    # Bradley-Terry on the two answers to one prompt.
    loss = -torch.nn.functional.logsigmoid(r[0] - r[2])
    loss.backward()
    found["loss"] = loss.item()
    found["gradients"] = {key: at(p.grad) for key, p in model.named_parameters()}
    with torch.no_grad():
        found["rewards_end_pads"] = rewards(classifier(name, END), END).tolist()
        language = AutoModelForCausalLM.from_pretrained(here / name, dtype=torch.float32, attn_implementation="eager")
        logits = [language(torch.tensor([row])).logits[0, -1] for row in CONVERSATIONS]
        found["logits"] = [row[GOOD].item() for row in logits]
        found["log_odds"] = [(row[GOOD] - row[BAD]).item() for row in logits]
    print(f"{name}: rewards {r.tolist()}, loss {loss.item():.4f}")
    return found


def back(folder):
    expected = json.loads((pathlib.Path(__file__).parent / "heads.json").read_text())
    for name in NAMES:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            folder / name, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"], (name, info)
        assert type(model).__name__ == expected["models"][name]["class"], (name, type(model))
        with torch.no_grad():
            r = rewards(model)
        theirs = torch.tensor(expected["models"][name]["rewards"])
        gap = ((r - theirs).abs().max() / theirs.abs().max()).item()
        assert gap < 1e-6, (name, gap)
        print(f"{name}: loaded, rewards {gap:.1e} of the largest apart")


if __name__ == "__main__":
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    if sys.argv[1:2] == ["--back"]:
        back(pathlib.Path(sys.argv[2]))
    else:
        whole = {"turns": TURNS, "good": GOOD, "bad": BAD, "models": {name: numbers(name) for name in NAMES}}
        text = json.dumps(whole).replace("}, \"", "},\n\"")
        (pathlib.Path(__file__).parent / "heads.json").write_text(text + "\n")
