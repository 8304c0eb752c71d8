"""Writes tiny GGUF files of five architectures and what `transformers` makes of the models that they were made from.

Pinned: torch 2.15.0, transformers 5.23.0, tokenizers 0.23.3, gguf 0.19.0, Python 3.11 (CPU, f32, eager).
Run: python gguf_models.py    makes the folder `gguf` beside this file (any machine; no network)

The conversion is written out here after llama.cpp's `convert_hf_to_gguf.py`: names by the `gguf` package, rows of queries and
keys of llama put in their order, 1 added to the gains of Gemma. `transformers` then reads the files of llama and qwen2 with its own
reader of GGUF, and the script refuses to write one whose weights it does not find again (to 1e-6 of the largest). That reader
knows no width of a head for Qwen3 and Gemma, so that for these the names of the `gguf` package are all the second opinion.
Logits of the Q8_0 file are those of a model with the weights that the `gguf` package reads out of it.
`words-*.gguf` hold tokenizers, `words.json` what the `tokenizers` package makes of texts by them.
`blocks.gguf` holds random blocks of every type, `blocks.json` what the `gguf` package reads out of them.
Tolerances stand in ../gguf.rs.
"""
import json, pathlib, shutil
import gguf, numpy as np, torch
from transformers import AutoConfig, AutoModelForCausalLM
from families import N_TOKENS, VOCAB, here as families_folder, tokens

here = pathlib.Path(__file__).parent / "gguf"
TEXT = tokens(N_TOKENS, 1)
base = dict(vocab_size=VOCAB, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2)
llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_theta": 500000.0,
          "original_max_position_embeddings": 8192}
theta = lambda value: {"rope_type": "default", "rope_theta": value}
both = {"sliding_attention": theta(10000.0), "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 300.0}}
wide = dict(hidden_size=32, intermediate_size=32, num_attention_heads=4, head_dim=8)
models = {
    "llama": ("llama", dict(rope_parameters=llama3, head_dim=8, tie_word_embeddings=False)),
    "qwen2": ("qwen2", dict(rope_parameters=theta(1000.0), tie_word_embeddings=True)),
    "qwen3": ("qwen3", dict(head_dim=8, rope_parameters=theta(300.0), tie_word_embeddings=True)),
    "gemma2": ("gemma2", dict(head_dim=8, sliding_window=5, query_pre_attn_scalar=12, attn_logit_softcapping=4.0,
                              final_logit_softcapping=3.0, hidden_activation="gelu_pytorch_tanh")),
    "gemma3": ("gemma3_text", dict(num_hidden_layers=7, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
                                   sliding_window=5, query_pre_attn_scalar=8, rope_parameters=both,
                                   hidden_activation="gelu_pytorch_tanh",
                                   layer_types=["full_attention" if i == 5 else "sliding_attention" for i in range(7)])),
    "llama-q8_0": ("llama", dict(rope_parameters=theta(100.0), tie_word_embeddings=True, **wide)),
}
ARCHITECTURE = {"llama": gguf.MODEL_ARCH.LLAMA, "qwen2": gguf.MODEL_ARCH.QWEN2, "qwen3": gguf.MODEL_ARCH.QWEN3,
                "gemma2": gguf.MODEL_ARCH.GEMMA2, "gemma3_text": gguf.MODEL_ARCH.GEMMA3}


def make(name):
    model_type, keys = models[name]
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


def permuted(weight, n_heads):
    """As llama.cpp's `LlamaModel.permute`."""
    return weight.reshape(n_heads, 2, weight.shape[0] // n_heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def unpermuted(weight, n_heads):
    return weight.reshape(n_heads, weight.shape[0] // n_heads // 2, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def converted(model):
    """Each tensor under its name in GGUF, as its numbers stand there."""
    config, kind = model.config, models_type(model)
    names = gguf.get_tensor_name_map(ARCHITECTURE[kind], config.num_hidden_layers)
    for key, p in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        data = p.numpy()
        if kind == "llama" and ".q_proj." in key:
            data = permuted(data, config.num_attention_heads)
        if kind == "llama" and ".k_proj." in key:
            data = permuted(data, config.num_key_value_heads)
        if kind.startswith("gemma") and key.endswith("norm.weight"):
            data = data + 1
        yield names.get_name(key, try_suffixes=(".weight", ".bias")), key, data


def models_type(model):
    return model.config.model_type


def divisors(config):
    """The tensor that llama.cpp keeps in place of Llama 3's rotary keys."""
    rope, found = config.rope_parameters, []
    for i in range(0, config.head_dim, 2):
        wavelength = 2 * np.pi * rope["rope_theta"] ** (i / config.head_dim)
        low, high = (rope["original_max_position_embeddings"] / rope[f"{which}_freq_factor"] for which in ("low", "high"))
        if wavelength < high:
            found.append(1.0)
        elif wavelength > low:
            found.append(rope["factor"])
        else:
            smooth = (rope["original_max_position_embeddings"] / wavelength - rope["low_freq_factor"]) / (
                rope["high_freq_factor"] - rope["low_freq_factor"])
            found.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(found, dtype=np.float32)


def describe(writer, model):
    config, kind = model.config, models_type(model)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_file_type(0)
    if kind != "qwen2":
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if kind == "llama":
        writer.add_rope_dimension_count(head_dim)
        writer.add_vocab_size(config.vocab_size)
    rope = config.rope_parameters
    if kind == "gemma3_text":
        writer.add_rope_freq_base(rope["full_attention"]["rope_theta"])
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["full_attention"]["factor"])
    elif kind != "gemma2":
        writer.add_rope_freq_base(rope["rope_theta"])
    if kind.startswith("gemma"):
        writer.add_sliding_window(config.sliding_window)
    if kind == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
        writer.add_attention_scale(config.query_pre_attn_scalar ** -0.5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<pad>", "<s>", "</s>"] + [f"w{i}" for i in range(3, VOCAB)])
    writer.add_token_types([gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (VOCAB - 3))
    writer.add_pad_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    template = json.loads((families_folder / "llama" / "tokenizer_config.json").read_text())["chat_template"]
    writer.add_chat_template(template)


def write(name):
    model = make(name)
    kind = models_type(model)
    path = here / f"{name}.gguf"
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[ARCHITECTURE[kind]])
    describe(writer, model)
    if (model.config.rope_parameters or {}).get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", divisors(model.config))
    state = model.state_dict()
    for own, key, data in converted(model):
        if name.endswith("q8_0") and data.ndim == 2:
            blocks = gguf.quants.quantize(data, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(own, blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
            read = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType.Q8_0)
            n_heads = {"q_proj": model.config.num_attention_heads, "k_proj": model.config.num_key_value_heads}
            heads = next((n for part, n in n_heads.items() if part in key), None)
            state[key] = torch.tensor(unpermuted(read, heads) if heads else read)
        else:
            writer.add_tensor(own, np.ascontiguousarray(data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model.load_state_dict(state)
    with torch.no_grad():
        logits = model(torch.tensor([TEXT])).logits[0]
        if name in ("llama", "qwen2", "llama-q8_0"):
            theirs = AutoModelForCausalLM.from_pretrained(here, gguf_file=path.name, dtype=torch.float32,
                                                          attn_implementation="eager")
            others = dict(theirs.named_parameters())
            for key, p in model.named_parameters():
                gap = (p - others[key]).abs().max() / p.abs().max()
                assert gap < 1e-6, (name, key, gap)
    print(f"{name}: {path.stat().st_size // 1024} KB, logits within {logits.min():.2f}..{logits.max():.2f}")
    return {"tokens": TEXT, "logits": [[float(f"{x:.7g}") for x in row] for row in logits[::5].tolist()]}


def blocks():
    kinds = gguf.GGMLQuantizationType
    writer, expected, random = gguf.GGUFWriter(here / "blocks.gguf", "llama"), {}, np.random.default_rng(3)
    for kind in (kinds.F16, kinds.BF16, kinds.Q4_0, kinds.Q4_1, kinds.Q5_0, kinds.Q5_1, kinds.Q8_0, kinds.Q2_K, kinds.Q3_K,
                 kinds.Q4_K, kinds.Q5_K, kinds.Q6_K):
        n_numbers, n_bytes = gguf.GGML_QUANT_SIZES[kind]
        n_blocks = 16 if n_numbers == 1 else 2
        data = random.integers(0, 256, size=(n_blocks, n_bytes), dtype=np.uint8)
        if kind in (kinds.F16, kinds.BF16):
            data[:, 1] &= 0x3F  # no infinities
        else:
            # The scales of a block, in f16: small, and no infinities.
            at = {kinds.Q2_K: [-4, -2], kinds.Q3_K: [-2], kinds.Q6_K: [-2], kinds.Q4_1: [0, 2], kinds.Q5_1: [0, 2],
                  kinds.Q4_K: [0, 2], kinds.Q5_K: [0, 2]}.get(kind, [0])
            for place in at:
                data[:, place:place + 2 or None] = np.float16(random.uniform(0.01, 0.1, size=(n_blocks, 1))).view(np.uint8)
        data = data.reshape(1, -1)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        expected[kind.name] = [float(x) for x in gguf.quants.dequantize(data, kind).flatten()]
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (here / "blocks.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
TEXTS = ["", "Hello world, it's 12345 o'clock!", "  two  spaces\n\n\tand a tab ", "Über die Brücke gehen wir 2026 nicht",
         "cafe\u0301 and caf\u00e9", "Сегодня среда, 13 марта", "今天是星期三，三月十三日。", "اليوم الأربعاء ١٢ مارس",
         "नमस्ते दुनिया", "🙂👍🏽 ok", "<|end|>a<|end|><s>b", "I'LL we'Ve don't", "x=3.14159;\r\ny++"]


def words():
    """Byte-level tokenizers, cut up as four models do it, trained on the texts; each in a file without tensors."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
    level = lambda cuts: pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=cuts)
    split = lambda pattern: pre_tokenizers.Split(Regex(pattern), "isolated")
    cuts = {"llama-bpe": [split(LLAMA3), level(False)], "qwen2": [split(QWEN2), level(False)], "gpt-2": [level(True)],
            "smollm": [pre_tokenizers.Digits(individual_digits=True), level(True)]}
    found = {}
    for pre, steps in cuts.items():
        tokenizer = Tokenizer(models.BPE(ignore_merges=pre == "llama-bpe"))
        tokenizer.normalizer = normalizers.NFC() if pre == "qwen2" else None
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
        trainer = trainers.BpeTrainer(vocab_size=340, show_progress=False, special_tokens=["<s>", "</s>", "<|end|>"],
                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
        tokenizer.train_from_iterator(TEXTS, trainer)
        whole = json.loads(tokenizer.to_str())
        names = sorted(whole["model"]["vocab"], key=whole["model"]["vocab"].get)
        writer = gguf.GGUFWriter(here / f"words-{pre}.gguf", "llama")
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre)
        writer.add_token_list(names)
        writer.add_token_types([gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(names) - 3))
        writer.add_token_merges([" ".join(merge) for merge in whole["model"]["merges"]])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        found[pre] = {text: tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS}
    (here / "words.json").write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    found = {name: write(name) for name in models}
    (here / "expected.json").write_text(json.dumps(found, separators=(",", ":")) + "\n")
    blocks()
    words()
