"""Turns a llama2.c checkpoint into two models that vLLM serves: `teacher`, and `reward` with one label.

    python model.py CHECKPOINT.bin TOKENIZER.bin OUT_DIR

vLLM's attention on CPU knows no head of 8, so heads are padded to 32: pair `i` of the rotary embedding goes to pair
`4 i`, which turns at the same rate, and queries are doubled, since the scale is now one over the root of 32. Both are
exact. The reward head is a ridge regression on the last hidden state: +1 for a sentence, -1 for its shuffled letters.
"""

import json
import random
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

HEAD = 32
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['content'] }}"
    "{% if not loop.last %}{{ '\n' }}{% endif %}{% endfor %}"
)
NOUNS = ["dog", "cat", "girl", "boy", "bird", "mom", "tree", "ball", "car", "friend"]
VERBS = ["saw", "liked", "found", "wanted", "played with", "ran to", "looked at"]
ENDS = ["in the park", "and was happy", "every day", "with a big smile", "at home", "in the garden"]


def read_weights(path):
    raw = Path(path).read_bytes()
    dim, hidden, layers, heads, kv_heads, vocab, length = struct.unpack("7i", raw[:28])
    flat, at = np.frombuffer(raw, dtype="<f4", offset=28), 0

    def take(*shape):
        nonlocal at
        size = int(np.prod(shape))
        part = torch.from_numpy(flat[at : at + size].copy()).reshape(*shape)
        at += size
        return part

    kv = dim * kv_heads // heads
    shapes = {
        "embed": (vocab, dim), "norm_in": (layers, dim), "q": (layers, dim, dim), "k": (layers, kv, dim),
        "v": (layers, kv, dim), "o": (layers, dim, dim), "norm_mid": (layers, dim), "gate": (layers, hidden, dim),
        "down": (layers, dim, hidden), "up": (layers, hidden, dim), "norm": (dim,),
    }
    weights = {name: take(*shape) for name, shape in shapes.items()}
    return weights, dict(dim=dim, hidden=hidden, layers=layers, heads=heads, kv_heads=kv_heads, vocab=vocab, length=length)


def padded(rows, n_heads, rotary):
    """Rows of heads of 8 as rows of heads of 32."""
    per = rows.shape[0] // n_heads
    old = rows.reshape(n_heads, per, -1)
    new = torch.zeros(n_heads, HEAD, rows.shape[1])
    for i in range(per // 2 if rotary else per):
        if rotary:
            new[:, i * HEAD // per], new[:, i * HEAD // per + HEAD // 2] = old[:, 2 * i], old[:, 2 * i + 1]
        else:
            new[:, i] = old[:, i]
    return new.reshape(n_heads * HEAD, -1)


def state_dict(weights, shape):
    state = {"model.embed_tokens.weight": weights["embed"], "model.norm.weight": weights["norm"]}
    widen = (HEAD / (shape["dim"] // shape["heads"])) ** 0.5
    for i in range(shape["layers"]):
        at = f"model.layers.{i}."
        state[at + "input_layernorm.weight"] = weights["norm_in"][i]
        state[at + "post_attention_layernorm.weight"] = weights["norm_mid"][i]
        state[at + "self_attn.q_proj.weight"] = widen * padded(weights["q"][i], shape["heads"], True)
        state[at + "self_attn.k_proj.weight"] = padded(weights["k"][i], shape["kv_heads"], True)
        state[at + "self_attn.v_proj.weight"] = padded(weights["v"][i], shape["kv_heads"], False)
        state[at + "self_attn.o_proj.weight"] = padded(weights["o"][i].T.contiguous(), shape["heads"], False).T
        for name in ["gate", "down", "up"]:
            state[f"{at}mlp.{name}_proj.weight"] = weights[name][i]
    return {name: tensor.contiguous() for name, tensor in state.items()}


def config(shape, **more):
    return {
        "model_type": "llama", "hidden_size": shape["dim"], "intermediate_size": shape["hidden"], "head_dim": HEAD,
        "num_hidden_layers": shape["layers"], "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["kv_heads"], "vocab_size": shape["vocab"], "rms_norm_eps": 1e-5,
        "max_position_embeddings": shape["length"], "rope_theta": 10000.0, "tie_word_embeddings": True,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "torch_dtype": "float32", **more,
    }


def read_tokenizer(path, n_tokens):
    raw, at, pieces = Path(path).read_bytes(), 4, []
    for _ in range(n_tokens):
        score, size = struct.unpack("<fi", raw[at : at + 8])
        pieces.append((raw[at + 8 : at + 8 + size].decode(), score))
        at += 8 + size
    names = ["<unk>", "<s>", "</s>"] + [text for text, _ in pieces[3:]]
    names = [name if i < 259 else name.replace(" ", "\u2581") for i, name in enumerate(names)]
    ids = {name: i for i, name in enumerate(names)}
    merges = []
    for i, name in enumerate(names[259:], 259):
        splits = [(name[:at], name[at:]) for at in range(1, len(name))]
        merges += [(-pieces[i][1], ids[a], ids[b], (a, b)) for a, b in splits if a in ids and b in ids]
    merges = [pair for *_, pair in sorted(merges)]
    tokenizer = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    parts = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in ["<unk>", "<s>", "</s>"]])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=TEMPLATE
    )


def write(folder, state, settings, tokenizer):
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(settings, indent=1))
    tokenizer.save_pretrained(folder)


def reward_head(folder, tokenizer):
    body = AutoModelForCausalLM.from_pretrained(folder).model.eval()
    draw, states, labels = random.Random(7), [], []
    for _ in range(400):
        a, b = draw.sample(NOUNS, 2)
        sentence = f"The {a} {draw.choice(VERBS)} the {b} {draw.choice(ENDS)}."
        for text, label in [(sentence, 1.0), ("".join(draw.sample(sentence, len(sentence))), -1.0)]:
            ids = torch.tensor([tokenizer("What happened?\n" + text)["input_ids"]])
            with torch.no_grad():
                states.append(body(ids).last_hidden_state[0, -1])
            labels.append(label)
    x, y = torch.stack(states).double(), torch.tensor(labels).double()
    head = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1]).double(), x.T @ y)
    print("reward head: training order right", ((x @ head)[::2] > (x @ head)[1::2]).double().mean().item())
    return head.float().reshape(1, -1)


def main(checkpoint, tokenizer_file, out):
    weights, shape = read_weights(checkpoint)
    shape["vocab"] = abs(shape["vocab"])
    tokenizer, state = read_tokenizer(tokenizer_file, shape["vocab"]), state_dict(weights, shape)
    write(Path(out) / "teacher", state, config(shape, architectures=["LlamaForCausalLM"]), tokenizer)
    model = AutoModelForCausalLM.from_pretrained(Path(out) / "teacher").eval()
    greedy = model.generate(torch.tensor([[1]]), max_new_tokens=40, do_sample=False)
    print(tokenizer.decode(greedy[0], skip_special_tokens=True))
    labelled = {**state, "score.weight": reward_head(Path(out) / "teacher", tokenizer)}
    one = {"id2label": {"0": "reward"}, "label2id": {"reward": 0}}
    settings = config({**shape, "length": 4096}, architectures=["LlamaForSequenceClassification"], **one)
    write(Path(out) / "reward", labelled, settings, tokenizer)


if __name__ == "__main__":
    main(*sys.argv[1:])
