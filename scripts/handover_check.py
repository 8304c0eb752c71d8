#!/usr/bin/env python3
"""Hands tiny models over to TRL for two steps and takes them back; ends with 1 where the two trainers differ.

    python scripts/handover_check.py CAMBIST_BINARY [STUDENT ...]

Runs in the Python that has TRL (and `trl` beside it). Every step sees all rows, without warm-up, decay or clipping, so
that neither the order of rows nor what TRL does otherwise plays a part: the losses of both steps have to be equal to 1e-3
for SFT, for DPO, for DPO and SimPO with the likelihood of the chosen answers, and for reward models, and the weights of
whole models to 1e-2 of how far they moved. PEFT draws another `A` for adapters and KTO takes its baseline from other neighbours there:
their second steps may differ by 1e-2 (by 5e-2 for reward models, whose first step takes a quarter of the loss), and their
weights are not compared. ORPO takes the likelihood of prompts too there:
of it the preference term of the first step is compared alone. Made with Python 3.11, torch 2.15.0,
transformers 5.23.0, trl 1.16.0, peft 0.21.2, accelerate 1.13.0. Uses no network; takes some minutes.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from safetensors.numpy import load_file

RECIPE = """
name: handover
seed: 3
steps:
  - id: prompts
    prompts: {polyglot: {tasks: [date-long]}, languages: [ja, tr], splits: {teach: 12}}
  - id: start
    train:
      objective: pretrain
      new: {vocab_size: 320, shape: {hidden_size: 32, n_layers: 2, n_heads: 2, n_kv_heads: 1, intermediate_size: 64}}
      data: prompts.teach
      config: {steps: 20}
"""
STUDENT = """
  - id: NAME
    train:
      base: start
      WHAT
      config: {steps: 2, batch_size: ROWS, lr: 0.003, schedule: constant, warmup_steps: 0, weight_decay: 0, max_grad_norm: null}
"""
TARGETS = "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"
# What each student is told, and how many rows there are.
STUDENTS = {
    "whole": (["objective: sft", "data: prompts.teach"], 24),
    "adapted": (["objective: sft", "data: prompts.teach", f"lora: {{r: 4, targets: [{TARGETS}]}}"], 24),
    "preferring": (["objective: dpo", "data_file: pairs.jsonl", "loss: {beta: 0.5}"], 12),
    "likelier": (["objective: dpo", "data_file: pairs.jsonl", "loss: {nll: {weight: 0.5, reduce: token}}"], 12),
    "adapted-preferring": (["objective: dpo", "data_file: pairs.jsonl", f"lora: {{r: 4, targets: [{TARGETS}]}}"], 12),
    "labelled": (["objective: kto", "data_file: labels.jsonl", "loss: {beta: 0.5, undesirable_weight: 1.5}"], 24),
    "rewarding": (["objective: reward", "data_file: pairs.jsonl", "loss: {center_rewards_coefficient: 0.01}"], 12),
    "adapted-rewarding": (["objective: reward", "data_file: pairs.jsonl", f"lora: {{r: 4, targets: [{TARGETS}]}}"], 12),
    "simple": (["objective: simpo", "data_file: pairs.jsonl", "loss: {gamma: 0.5, nll: {weight: 0.2, reduce: token}}"], 12),
    "odds": (["objective: orpo", "data_file: pairs.jsonl", "loss: {beta: 0.3}"], 12),
}


def rows():
    """Pairs and single answers in two languages."""
    days = ["Montag", "Dienstag", "Mittwoch", "Pazartesi", "Salı", "Çarşamba"]
    pairs, labels = [], []
    for at in range(12):
        prompt, language = f"{at}. {days[at % 6]}?", "de" if at % 6 < 3 else "tr"
        chosen, rejected = f"{at} {days[at % 6]}", days[(at + 1) % 6] * (1 + at % 2)
        pairs.append({"language": language, "prompt": prompt, "chosen": chosen, "rejected": rejected})
        labels += [{"language": language, "prompt": prompt, "completion": text, "label": text == chosen}
                   for text in (chosen, rejected)]
    return {"pairs.jsonl": pairs, "labels.jsonl": labels}


def run(*command, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}{done.stderr[-6000:]}")
    return done.stdout


def weights(run_folder, name):
    folder = run_folder / name
    adapter = folder / "adapter_model.safetensors"
    return load_file(adapter if adapter.exists() else folder / "model.safetensors")


binary = Path(sys.argv[1]).resolve()
environment = os.environ | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "ACCELERATE_USE_CPU": "true",
}
with tempfile.TemporaryDirectory() as temporary:
    work = Path(temporary)
    environment["HF_HOME"] = str(work / "cache")
    (work / "before.yaml").write_text(RECIPE)
    for name, lines in rows().items():
        (work / name).write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    run(binary, "run", "before.yaml", "--quiet", cwd=work)
    wanted = sys.argv[2:] or STUDENTS
    for name, (told, n_rows) in STUDENTS.items():
        if name not in wanted:
            continue
        student = STUDENT.replace("NAME", name).replace("WHAT", "\n      ".join(told)).replace("ROWS", str(n_rows))
        (work / f"{name}.yaml").write_text(RECIPE + student)
        handover = work / f"{name}-handover"
        exported = json.loads(run(binary, "export-training", f"{name}.yaml", "--step", name, "-o", handover, "--json", cwd=work))
        run("sh", handover / "train.sh", "--bf16", "false", "--use_cpu", "true", cwd=work, env=environment)
        run(binary, "import-checkpoint", f"{name}.yaml", handover, "--step", name, "--store", "cambist-store", cwd=work)
        theirs = weights(work / "cambist-store/runs/handover", name)
        run(binary, "run", f"{name}.yaml", "--quiet", "--store", "own", cwd=work)
        ours = weights(work / "own/runs/handover", name)
        logs = [[json.loads(line) for line in (work / store / "runs/handover" / name / "train.jsonl").open()]
                for store in ("own", "cambist-store")]
        losses = [[line["loss"] for line in log if "loss" in line] for log in logs]
        if name == "odds":
            notes = max((handover / "checkpoint").glob("**/trainer_state.json"))
            there = json.loads(notes.read_text())["log_history"][0]["log_odds_ratio"]
            losses = [[next(line["metrics"]["loss/pref"] for line in logs[0] if "metrics" in line)], [-0.3 * there]]
        gaps = [abs(a / b - 1) for a, b in zip(*losses, strict=True)]
        is_adapter = any(line.startswith("lora") for line in told)
        of_second = 5e-2 if name == "adapted-rewarding" else 1e-2 if is_adapter or name == "labelled" else 1e-3
        limits = [1e-3, of_second][: len(gaps)]
        print(f"{name}: losses {losses[0]} here, {losses[1]} there; {exported['n_loss_tokens']} tokens count")
        if ours.keys() != theirs.keys() or any(gap > limit for gap, limit in zip(gaps, limits, strict=True)):
            sys.exit(f"{name}: other tensors, or losses that are {gaps} apart")
        if is_adapter or name in ("labelled", "odds"):
            # PEFT draws another `A`, KTO pairs other answers, ORPO has another term: the second steps differ in more.
            continue
        base = load_file(handover / "base/model.safetensors") if name == "rewarding" else weights(work / "own/runs/handover", "start")
        moved = max(abs(ours[key] - base[key]).max() for key in ours)
        apart = max(abs(ours[key] - theirs[key]).max() for key in ours)
        print(f"{name}: weights moved by {moved:.2e} and are {apart:.1e} apart")
        if apart > 1e-2 * moved:
            sys.exit(f"{name}: the two trainers differ")
