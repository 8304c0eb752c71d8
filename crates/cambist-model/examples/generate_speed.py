"""The same work as `generate_speed.rs`, by `transformers` and lm-evaluation-harness.

Pinned: torch 2.15.0, transformers 5.23.0, lm_eval 0.4.13, Python 3.11. Threads: all cores, or as OMP_NUM_THREADS says.
Run: python generate_speed.py generate FOLDER      python generate_speed.py choices FOLDER
A third argument (float32 or bfloat16) says in which numbers weights are kept and products computed.
"""
import json, pathlib, sys, time
import torch

what, folder, dtype = sys.argv[1], sys.argv[2], (sys.argv[3:] or ["float32"])[0]
VOCABULARY, N_PROMPT, N_NEW = 16000, 64, 64


def best(work):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


if what == "generate":
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    for batch in (1, 16):
        prompts = torch.randint(300, VOCABULARY, (batch, N_PROMPT), generator=torch.Generator().manual_seed(1))
        limits = dict(do_sample=False, min_new_tokens=N_NEW, max_new_tokens=N_NEW, pad_token_id=2)
        with torch.inference_mode():
            seconds = best(lambda: model.generate(prompts, attention_mask=torch.ones_like(prompts), **limits))
            one = {**limits, "min_new_tokens": 1, "max_new_tokens": 1}
            first = best(lambda: model.generate(prompts, attention_mask=torch.ones_like(prompts), **one))
        print(f"transformers {dtype}: batch {batch}, {batch * N_NEW / seconds:.1f} tokens/s with the prompts, "
              f"{batch * (N_NEW - 1) / (seconds - first):.1f} without (best of 3)")
else:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    questions = json.loads((pathlib.Path(folder) / "questions.json").read_text())
    lm = HFLM(pretrained=folder, device="cpu", dtype=dtype, batch_size=16, max_length=1024)
    requests = [Instance("loglikelihood", {}, (c, t), 0) for c, texts in questions for t in texts]
    seconds = best(lambda: lm.loglikelihood(requests, disable_tqdm=True))
    print(f"lm_eval hf {dtype}: {len(questions) / seconds:.1f} questions/s (best of 3)")
