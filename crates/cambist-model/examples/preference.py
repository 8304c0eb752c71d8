"""What `preference.rs` does, by TRL: the same model, pairs, loss and steps.

Pinned: torch 2.15.0, transformers 5.23.0, trl 1.16.0 (CPU, f32).
Run: python preference.py FOLDER [large]    (the folder that `preference.rs` wrote)
"""
import os, sys, tempfile, time
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

folder = sys.argv[1]
batch_size, n_steps = (4, 5) if "large" in sys.argv else (16, 9)
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
steps = []


class Timed(DPOTrainer):
    def training_step(self, model, inputs, *args, **kwargs):
        n_tokens = int(inputs["attention_mask"].sum())
        start = time.perf_counter()
        loss = super().training_step(model, inputs, *args, **kwargs)
        steps.append([start, n_tokens])
        return loss


load = lambda: AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
with tempfile.TemporaryDirectory() as out:
    args = DPOConfig(output_dir=out, per_device_train_batch_size=batch_size, max_steps=n_steps, learning_rate=3e-4, warmup_steps=0,
                     lr_scheduler_type="cosine", adam_beta1=0.9, adam_beta2=0.95, weight_decay=0.01, max_grad_norm=1.0,
                     beta=0.1, loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.2], precompute_ref_log_probs=True,
                     precompute_ref_batch_size=4 * batch_size, bf16=False, use_cpu=True, report_to="none", max_length=None,
                     gradient_checkpointing=False, save_strategy="no", disable_tqdm=True, logging_steps=100)
    pairs = load_dataset("json", data_files=f"{folder}/pairs.jsonl", split="train", cache_dir=out)
    start = time.perf_counter()
    trainer = Timed(model=load(), args=args, train_dataset=pairs, processing_class=AutoTokenizer.from_pretrained(folder))
    made = time.perf_counter()
    trainer.train()
    end = time.perf_counter()
times = [step[0] for step in steps] + [end]
seconds = times[-1] - times[1]
tokens = sum(n for _, n in steps[1:])
print(f"TRL: {sum(p.numel() for p in trainer.model.parameters())} parameters, {tokens / seconds:.0f} tokens/s in training, "
      f"{steps[0][0] - start:.2f} s before the first step (of them {made - start:.2f} s to make the trainer)")
