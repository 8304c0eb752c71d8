"""Makes one tiny random model of every family and writes what `transformers` and PyTorch make of it.

Pinned: torch 2.15.0, transformers 5.23.0, tokenizers 0.23.3, safetensors 0.8.0, Python 3.11 (CPU, f32, eager).
Run: python families.py           makes the folders under `families` and their numbers (any machine; no network)
     python families.py --back D  compares folders that Cambist wrote under D with the numbers (see ../families.rs)

Every weight is random, norms and biases too, and large enough that soft-caps, windows and norms matter: a part that is
left out or put in the wrong place moves the logits. Tolerances stand in ../families.rs.
"""
import json, pathlib, shutil, sys
import torch, transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from transformers import AutoConfig, AutoModelForCausalLM

here = pathlib.Path(__file__).parent / "families"
N_TOKENS, VOCAB = 26, 48
TIED = {"tie_word_embeddings": True}
base = dict(vocab_size=VOCAB, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2)
yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 1000.0}
long = {"rope_type": "longrope", "short_factor": [1.0, 1.1, 1.3], "long_factor": [2.0, 5.0, 9.0], "rope_theta": 1000.0,
        "partial_rotary_factor": 0.75}
three = {"sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
         "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 10000.0}}
llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_theta": 500.0,
          "original_max_position_embeddings": 32}
families = {
    "llama": ("llama", dict(rope_parameters=llama3, attention_bias=True, mlp_bias=True, head_dim=8)),
    "mistral": ("mistral", dict(sliding_window=7, head_dim=6)),
    "qwen2": ("qwen2", dict(sliding_window=6, use_sliding_window=True, max_window_layers=1, rope_parameters=yarn, **TIED)),
    "qwen3": ("qwen3", dict(head_dim=8, rope_parameters={"rope_type": "default", "rope_theta": 300.0}, **TIED)),
    "phi3": ("phi3", dict(hidden_size=32, sliding_window=9, original_max_position_embeddings=64, rope_parameters={
        "rope_type": "default", "rope_theta": 1000.0, "partial_rotary_factor": 0.75})),
    "phi3-long": ("phi3", dict(hidden_size=32, original_max_position_embeddings=30, rope_parameters=long)),
    "gemma2": ("gemma2", dict(head_dim=8, sliding_window=5, query_pre_attn_scalar=12, attn_logit_softcapping=4.0,
                              final_logit_softcapping=3.0, hidden_activation="gelu_pytorch_tanh")),
    "gemma3": ("gemma3_text", dict(num_hidden_layers=3, head_dim=8, sliding_window=5, query_pre_attn_scalar=12,
                                   rope_parameters=three, hidden_activation="gelu_pytorch_tanh",
                                   layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
    "cohere": ("cohere", dict(logit_scale=0.3, num_hidden_layers=2)),
    "cohere-norm": ("cohere", dict(logit_scale=0.5, use_qk_norm=True, attention_bias=True, num_key_value_heads=4)),
    "cohere2": ("cohere2", dict(logit_scale=0.4, sliding_window=6, num_hidden_layers=3,
                                layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
}


def tokens(n, seed):
    return torch.randint(3, VOCAB, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


TEXT, PROMPT, ANSWER = tokens(N_TOKENS, 1), [1] + tokens(N_TOKENS - 1, 2), 18


def make(name):
    model_type, keys = families[name]
    config = AutoConfig.for_model(model_type, **{**base, **keys})
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config).float().eval()
    generator = torch.Generator().manual_seed(sum(name.encode()))
    with torch.no_grad():
        for key, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if "norm" in key:
                p.copy_((0.0 if "gemma" in name else 1.0) + 0.3 * noise)
            else:
                p.copy_(noise * (0.4 if p.ndim == 1 or "embed" in key else 1.3 / p.shape[1] ** 0.5))
    return model


def log_probs(model, row):
    logp = model(torch.tensor([row])).logits[0, :-1].log_softmax(-1)
    return logp.gather(1, torch.tensor(row[1:])[:, None])[:, 0]


def numbers(model):
    with torch.no_grad():
        logits = model(torch.tensor([TEXT])).logits[0]
        text = log_probs(model, TEXT)
        greedy = model.generate(torch.tensor([PROMPT]), attention_mask=torch.ones(1, N_TOKENS), do_sample=False,
                                max_new_tokens=16, eos_token_id=2, pad_token_id=0)[0, N_TOKENS:].tolist()
    return {"tokens": TEXT, "logits": [[float(f"{x:.7g}") for x in row] for row in logits[::5].tolist()],
            "log_probs": text.tolist(), "prompt": PROMPT, "greedy": greedy}


def tokenizer_files(folder):
    """A vocabulary of words `<i>`: any tokens can be written as a text."""
    vocab = {"<pad>": 0, "<s>": 1, "</s>": 2, **{f"w{i}": i for i in range(3, VOCAB)}}
    plain = Tokenizer(models.WordLevel(vocab, unk_token="<pad>"))
    from tokenizers import pre_tokenizers
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    plain.add_special_tokens(["<pad>", "<s>", "</s>"])
    plain.save(str(folder / "tokenizer.json"), pretty=False)
    template = ("{{ bos_token }}{% for m in messages %} {{ m.content }}{% if m.role == 'assistant' %} </s>{% endif %}"
                "{% endfor %}")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
              "pad_token": "<pad>", "clean_up_tokenization_spaces": False, "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write(name):
    folder = here / name
    shutil.rmtree(folder, ignore_errors=True)
    model = make(name)
    model.save_pretrained(folder)
    tokenizer_files(folder)
    found = numbers(model)
    # The loss of the answer alone: the mean over tokens `ANSWER..` of the text.
    model.train()
    loss = -log_probs(model, TEXT)[ANSWER - 1:].mean()
    loss.backward()
    found |= {"answer": ANSWER, "loss": loss.item()}
    (folder / "expected.json").write_text(json.dumps(found))
    gradients = {key: p.grad.contiguous() for key, p in model.named_parameters()}
    save_file(gradients, folder / "expected_gradients.safetensors")
    spread = torch.tensor(found["logits"])
    print(f"{name}: loss {loss.item():.4f}, logits within {spread.min():.2f}..{spread.max():.2f}, "
          f"{sum(f.stat().st_size for f in folder.iterdir()) // 1024} KB")


def back(folder):
    for name in families:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder / name, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"], (name, info)
        expected = json.loads((here / name / "expected.json").read_text())
        with torch.no_grad():
            logits = model(torch.tensor([TEXT])).logits[0, ::5]
        theirs = torch.tensor(expected["logits"])
        gap = ((logits - theirs).abs().max() / theirs.abs().max()).item()
        assert gap < 1e-6, (name, gap)
        print(f"{name}: loaded, logits {gap:.1e} of the largest apart")


if __name__ == "__main__":
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    if sys.argv[1:2] == ["--back"]:
        back(pathlib.Path(sys.argv[2]))
    else:
        for name in sys.argv[1:] or families:
            write(name)
