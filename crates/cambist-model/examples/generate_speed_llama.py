"""The work of `generate_speed generate` by llama.cpp: the same weights as GGUF, the same lengths, greedy, on the CPU.

Pinned: xllamacpp 2026.10.11549 (llama.cpp as a library), gguf 0.19.0, safetensors 0.8.0, numpy 2.4.6.
Run: python generate_speed_llama.py FOLDER [F32 | BF16]
"""
import json, os, pathlib, random, sys, tempfile, threading, time
import gguf, numpy
import xllamacpp as llama
from safetensors.numpy import load_file

folder = pathlib.Path(sys.argv[1])
kind = gguf.GGMLQuantizationType[(sys.argv[2:] or ["F32"])[0]]
N_PROMPT, N_NEW = 64, 64
LAYER = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
         "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
OTHER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write(path):
    config = json.loads((folder / "config.json").read_text())
    tokenizer = json.loads((folder / "tokenizer.json").read_text())["model"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    out = gguf.GGUFWriter(path, "llama")
    out.add_context_length(config["max_position_embeddings"])
    out.add_embedding_length(config["hidden_size"])
    out.add_block_count(config["num_hidden_layers"])
    out.add_feed_forward_length(config["intermediate_size"])
    out.add_head_count(heads)
    out.add_head_count_kv(kv_heads)
    out.add_layer_norm_rms_eps(config["rms_norm_eps"])
    out.add_rope_freq_base(config["rope_theta"])
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(sorted(tokenizer["vocab"], key=tokenizer["vocab"].get))
    out.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tokenizer["merges"]])
    out.add_bos_token_id(0)
    out.add_eos_token_id(1)
    for name, tensor in load_file(folder / "model.safetensors").items():
        stem = name.removesuffix(".weight")
        if stem in OTHER:
            name = OTHER[stem] + ".weight"
        else:
            _, _, layer, part = stem.split(".", 3)
            name = f"blk.{layer}.{LAYER[part]}.weight"
        if "attn_q" in name or "attn_k" in name:  # pairs to turn stand side by side there
            n = heads if "attn_q" in name else kv_heads
            tensor = tensor.reshape(n, 2, -1, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)
        tensor, dtype = tensor.astype(numpy.float32), None
        if tensor.ndim == 2 and kind != gguf.GGMLQuantizationType.F32:
            tensor, dtype = gguf.quants.quantize(tensor, kind), kind
        out.add_tensor(name, tensor, raw_dtype=dtype)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def ask(server, prompt, found):
    body = {"prompt": prompt, "n_predict": N_NEW, "temperature": 0.0, "ignore_eos": True, "cache_prompt": False}
    answer = server.handle_completions(body)
    answer = json.loads(answer) if isinstance(answer, (str, bytes)) else answer
    found.append(answer)


def best(server, batch):
    seconds, chance = [], random.Random(1)
    for _ in range(3):
        found = []
        prompts = [[chance.randrange(300, 16000) for _ in range(N_PROMPT)] for _ in range(batch)]
        asks = [threading.Thread(target=ask, args=(server, prompt, found)) for prompt in prompts]
        start = time.perf_counter()
        [thread.start() for thread in asks]
        [thread.join() for thread in asks]
        seconds.append(time.perf_counter() - start)
        n_tokens = sum(answer["usage"]["completion_tokens"] for answer in found)
        assert n_tokens == batch * N_NEW, found[0]
    return min(seconds)


with tempfile.TemporaryDirectory() as place:
    path = os.path.join(place, "model.gguf")
    write(path)
    for batch in (1, 16):
        params = llama.CommonParams()
        params.model.path, params.n_parallel, params.n_ctx, params.n_predict = path, batch, batch * 256, N_NEW
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count()
        params.n_batch = params.n_ubatch = 1024
        params.verbosity = 0
        server = llama.Server(params)
        seconds = best(server, batch)
        print(f"llama.cpp {kind.name}: batch {batch}, {batch * N_NEW / seconds:.1f} tokens/s with the prompts (best of 3)")
        del server
