#!/usr/bin/env python3
"""Hands a tiny model over to TRL for two steps and takes it back; ends with 1 where the two trainers differ.

    python scripts/handover_check.py CAMBIST_BINARY

Runs in the Python that has TRL (and `trl` beside it). Every step sees all rows, without warm-up, decay or clipping, so
that neither the order of rows nor what TRL does otherwise plays a part: the losses of both steps have to be equal to 1e-3, for
a whole model and for an adapter, and the weights of the whole model to 1e-2 of how far they moved. Made with Python 3.11, torch 2.15.0,
transformers 5.23.0, trl 1.16.0, peft 0.21.2, accelerate 1.13.0. Uses no network; takes about a minute.
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
      objective: sft
      base: start
      data: prompts.teach
      LORA
      config: {steps: 2, batch_size: 24, lr: 0.003, schedule: constant, warmup_steps: 0, weight_decay: 0, max_grad_norm: null}
"""
TARGETS = "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"
STUDENTS = {"whole": "", "adapted": f"lora: {{r: 4, targets: [{TARGETS}]}}"}


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
    run(binary, "run", "before.yaml", "--quiet", cwd=work)
    for name, lora in STUDENTS.items():
        recipe = RECIPE + STUDENT.replace("NAME", name).replace("      LORA\n", f"      {lora}\n" if lora else "")
        (work / f"{name}.yaml").write_text(recipe)
        handover = work / f"{name}-handover"
        exported = json.loads(run(binary, "export-training", f"{name}.yaml", "--step", name, "-o", handover, "--json", cwd=work))
        run("sh", handover / "train.sh", "--bf16", "false", "--use_cpu", "true", cwd=work, env=environment)
        run(binary, "import-checkpoint", f"{name}.yaml", handover, "--step", name, "--store", "cambist-store", cwd=work)
        theirs = weights(work / "cambist-store/runs/handover", name)
        run(binary, "run", f"{name}.yaml", "--quiet", "--store", "own", cwd=work)
        ours = weights(work / "own/runs/handover", name)
        base = weights(work / "own/runs/handover", "start") if not lora else {}
        losses = [[json.loads(line)["loss"] for line in (work / store / "runs/handover" / name / "train.jsonl").open()]
                  for store in ("own", "cambist-store")]
        gap = max(abs(a / b - 1) for a, b in zip(*losses, strict=True))
        print(f"{name}: losses {losses[0]} here, {losses[1]} there; {exported['n_loss_tokens']} tokens count")
        if ours.keys() != theirs.keys() or gap > 1e-3:
            sys.exit(f"{name}: other tensors, or losses that are {gap:.1e} apart")
        if lora:
            continue  # PEFT draws another `A`, so that the second step differs in more than rounding
        base = weights(work / "own/runs/handover", "start")
        moved = max(abs(ours[key] - base[key]).max() for key in ours)
        apart = max(abs(ours[key] - theirs[key]).max() for key in ours)
        print(f"{name}: weights moved by {moved:.2e} and are {apart:.1e} apart")
        if apart > 1e-2 * moved:
            sys.exit(f"{name}: the two trainers differ")
