//! A `train` step as a folder that TRL trains from.

use std::path::{Path, PathBuf};

use cambist_io::{disk, formats, store::StoreView};
use serde::Serialize;
use serde_json::json;

use super::{
    TICKET, Target, absolute, in_workshop,
    rows::Kept,
    settings::{Settings, Size},
};
use crate::{
    error::PipelineError,
    plan::Plan,
    run::Runtime,
    verbs::{Prepared, prepare},
};

/// What to hand over, and where to.
#[derive(Clone, Debug)]
pub struct HandoverOptions {
    /// The run of a `train` step; needed where the recipe has several.
    pub step: Option<String>,
    /// Devices to train on.
    pub n_devices: usize,
    /// The folder to write, which must not hold anything yet.
    pub to: PathBuf,
}

/// What was handed over.
#[derive(Clone, Debug, Serialize)]
pub struct Exported {
    /// The run.
    pub step: String,
    /// The folder.
    pub folder: PathBuf,
    /// Rows to learn from.
    pub n_rows: usize,
    /// Tokens of those rows that count in the loss.
    pub n_loss_tokens: usize,
    /// Rows that are measured.
    pub n_held_out: usize,
    /// Rows that training would leave out, and that were left out: pairs that are too long, empty or identical.
    pub n_dropped: usize,
    /// The model that training starts from, as `training.yaml` names it.
    pub base: String,
    /// What the recipe says and TRL does otherwise.
    pub unmapped: Vec<String>,
}

/// Writes rows as the tokens that this program would train on, settings for TRL and accelerate, and how to start them.
///
/// # Errors
/// When the step's inputs are not made yet, rows cannot become tokens or be dealt out, or the folder holds something.
pub fn export_training(
    plan: &Plan,
    options: &HandoverOptions,
    store_folder: &Path,
    runtime: &Runtime<'_>,
) -> Result<Exported, PipelineError> {
    let target = Target::find(plan, options.step.as_deref())?;
    if options.to.exists() && !disk::entries(&options.to)?.is_empty() {
        let what = format!("`{}` is not empty", options.to.display());
        return Err(PipelineError::input(&target.job.label, what, "write to a new folder"));
    }
    let store = StoreView::open(store_folder)?;
    target.check_inputs(&store)?;
    in_workshop((plan, &store), runtime, |workshop| {
        let prepared = prepare(workshop, target.job, target.params)?;
        write(target, &prepared, options)
    })
}

fn write(target: Target<'_>, prepared: &Prepared, options: &HandoverOptions) -> Result<Exported, PipelineError> {
    let (label, to) = (&target.job.label, &options.to);
    let Prepared { rows, held_out, start, config } = prepared;
    let base = start.at.as_deref().map_or_else(|| "base".to_owned(), absolute);
    let (kept, measured) = (Kept::of(target, &start.model, rows)?, Kept::of(target, &start.model, held_out)?);
    let (n_rows, n_devices, max_positions) = (kept.n_rows(), options.n_devices, start.model.max_positions());
    let settings = Settings::of(target.params, config, &Size { n_rows, n_devices, max_positions, base: &base, label })?;
    if start.at.is_none() {
        let files = start.model.to_files().map_err(|error| PipelineError::model(label, error))?;
        formats::write_model_folder(&to.join("base"), &files.0)?;
    }
    kept.write(target, prepared, &to.join("data/train.jsonl"))?;
    if measured.n_rows() > 0 {
        measured.write(target, prepared, &to.join("data/test.jsonl"))?;
    }
    let title = format!("`{}` for `{label}` ({})", settings.trainer.name(), target.job.id);
    let text = |name: &str, text: String| disk::write_atomic(&to.join(name), text.as_bytes());
    text("training.yaml", settings.to_yaml(&title))?;
    text("accelerate.yaml", accelerate(n_devices))?;
    text("train.sh", launch(&settings.trainer.launch()))?;
    if let Some(program) = settings.trainer.program() {
        text("train.py", program)?;
    }
    text("README.md", readme(&title, &settings.unmapped))?;
    text(TICKET, format!("{:#}\n", json!({ "step": label, "artifact": target.job.id })))?;
    Ok(Exported {
        step: label.clone(),
        folder: to.clone(),
        n_rows,
        n_loss_tokens: kept.n_loss_tokens(),
        n_held_out: measured.n_rows(),
        n_dropped: kept.n_dropped + measured.n_dropped,
        base,
        unmapped: settings.unmapped,
    })
}

/// One process for each device; several share the model (FSDP, arXiv 2304.11277).
fn accelerate(n_devices: usize) -> String {
    let common = format!(
        "compute_environment: LOCAL_MACHINE\nmachine_rank: 0\nnum_machines: 1\nnum_processes: {n_devices}\n\
         mixed_precision: 'no'  # `bf16` in training.yaml decides\n"
    );
    match n_devices {
        1 => format!("{common}distributed_type: 'NO'\n"),
        _ => format!(
            "{common}distributed_type: FSDP\nfsdp_config:\n  fsdp_version: 2\n  \
             fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP\n  fsdp_reshard_after_forward: true\n  \
             fsdp_cpu_ram_efficient_loading: true\n  fsdp_state_dict_type: FULL_STATE_DICT\n"
        ),
    }
}

fn launch(command: &str) -> String {
    format!(
        "#!/bin/sh\n# Needs: pip install \"trl[peft]\". What stands on the command line goes before training.yaml.\n\
         cd \"$(dirname \"$0\")\" && exec {command} \"$@\"\n"
    )
}

fn readme(title: &str, unmapped: &[String]) -> String {
    let unmapped: String = unmapped.iter().map(|what| format!("- {what}\n")).collect();
    format!(
        "# {title}\n\n`data/` holds the rows: as tokens, with `labels` of -100 where a token does not count, or as messages \
         that TRL applies the base's template to.\n\n```console\n$ sh train.sh                      # writes `{output}/`\n\
         $ cambist import-checkpoint RECIPE {output}\n```\n\nWhat the recipe says and TRL does otherwise:\n\n{unmapped}",
        output = super::OUTPUT,
    )
}
