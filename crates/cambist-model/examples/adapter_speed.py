"""The work of adapter_speed.rs with PEFT and TRL's SFTTrainer on the CPU in f32, and the model and rows for both.

torch 2.15.0, transformers 5.23.0, trl 1.16.0, peft 0.21.2, accelerate as TRL takes it, tokenizers 0.23.3.

Run: python adapter_speed.py make FOLDER | lora FOLDER STEPS [checkpointing] | full FOLDER STEPS [checkpointing]

The model: 100 million random parameters (hidden 768, 12 layers, 12 heads, 4 key heads, 2048 in between, vocabulary 32,000,
tied). The rows: 4 of 256 random tokens of which the last 192 count, all of them in every step.
"""
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false"}

import torch


def make(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers, decoders
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=32000, hidden_size=768, intermediate_size=2048, num_hidden_layers=12,
                         num_attention_heads=12, num_key_value_heads=4, max_position_embeddings=2048,
                         tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    LlamaForCausalLM(config).float().save_pretrained(folder)
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<s>", "</s>"])}
    for byte in pre_tokenizers.ByteLevel.alphabet():
        vocabulary[byte] = len(vocabulary)
    while len(vocabulary) < 32000:
        vocabulary[f"<{len(vocabulary)}>"] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    template = "{% for m in messages %}{{ m.content }}</s>{% endfor %}"
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
                                   chat_template=template)
    fast.save_pretrained(folder)
    rows = torch.randint(3, 32000, (4, 256)).tolist()
    (Path(folder) / "rows.txt").write_text("".join(" ".join(map(str, [64, *row])) + "\n" for row in rows))


def train(mode, folder, n_steps, checkpointing):
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    rows = [[int(n) for n in line.split()] for line in (Path(folder) / "rows.txt").read_text().splitlines()]
    ignore = lambda row: [-100] * row[0] + row[1 + row[0]:]
    data = Dataset.from_list([{"input_ids": row[1:], "labels": ignore(row)} for row in rows])
    seconds, losses = [], []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_, **__):
            self.at = time.perf_counter()

        def on_step_end(self, *_, **__):
            seconds.append(time.perf_counter() - self.at)

        def on_log(self, args, state, control, logs=None, **__):
            if "loss" in logs:
                losses.append(logs["loss"])

    with tempfile.TemporaryDirectory() as output:
        config = SFTConfig(
            output_dir=output, max_steps=n_steps, per_device_train_batch_size=len(rows), learning_rate=2e-4,
            lr_scheduler_type="constant", warmup_steps=0, weight_decay=0.0, adam_beta2=0.95, max_grad_norm=1.0,
            bf16=False, use_cpu=True, gradient_checkpointing=checkpointing, logging_steps=1, report_to="none",
            save_strategy="no", max_length=None, disable_tqdm=True, model_init_kwargs={"dtype": "float32"})
        peft = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM") if mode == "lora" else None
        trainer = SFTTrainer(model=folder, args=config, train_dataset=data, peft_config=peft, callbacks=[Clock()])
        before = time.process_time()
        trainer.train()
        processor = (time.process_time() - before) / n_steps
    steady = sorted(seconds[1:] or seconds)
    median, n_tokens = steady[len(steady) // 2], sum(len(row) - 1 for row in rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"{mode}: {median * 1e3:.0f} ms a step, {n_tokens / median:.0f} tokens/s, {processor:.2f} s of processor time a step; "
          f"memory {peak:.0f} MB at most; losses {losses}")


if sys.argv[1] == "make":
    make(sys.argv[2])
else:
    train(sys.argv[1], sys.argv[2], int(sys.argv[3]), "checkpointing" in sys.argv[4:])
