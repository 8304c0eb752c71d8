//! The settings of a run in the words of TRL, and what has no word there.

use cambist_model::{Keep, LoraConfig, Schedule, TrainConfig};
use serde_json::{Value, json};

use super::{
    loss::{LossWords, loss_words},
    trainer::Trainer,
};
use crate::{
    error::PipelineError,
    recipe::params::{ObjectiveName, TrainParams},
};

/// A run as TRL is told of it.
pub(super) struct Settings {
    pub trainer: Trainer,
    /// The lines of `training.yaml`, in groups with a heading.
    groups: Vec<(&'static str, Vec<Line>)>,
    /// What the recipe says and TRL does otherwise.
    pub unmapped: Vec<String>,
}

/// A key of `training.yaml` with its value.
pub(super) type Line = (&'static str, Value);

/// What a run is cut up by.
pub(super) struct Size<'a> {
    pub n_rows: usize,
    pub n_devices: usize,
    /// The model's positions.
    pub max_positions: usize,
    /// The base as `training.yaml` names it.
    pub base: &'a str,
    /// The run's name, for messages.
    pub label: &'a str,
}

impl Settings {
    /// Says a run in TRL's words; `config` has the seed of the run.
    ///
    /// # Errors
    /// When the rows of a step cannot be dealt out evenly to the devices, or TRL has no word for the loss.
    pub(super) fn of(params: &TrainParams, config: &TrainConfig, size: &Size<'_>) -> Result<Self, PipelineError> {
        let LossWords { trainer, lines, unmapped: of_loss } = loss_words(params, size.label)?;
        let steps = steps(config, size)?;
        if trainer == Trainer::Command("kto") && steps.contains(&("per_device_train_batch_size", json!(1))) {
            let what = "a device would see single rows, and `trl kto` compares the rows of a device's part";
            let remedy = "choose a larger `config.batch_size` or `config.micro_batch_size`, or fewer --devices";
            return Err(PipelineError::input(size.label, what, remedy));
        }
        let mut groups = vec![
            ("what is trained on what", data(size)),
            ("objective", lines),
            ("steps", steps),
            ("optimiser", optimizer(config, size)),
            ("numbers; `bf16: false` trains in f32, as cambist does", numbers(config)),
        ];
        groups.extend(params.lora.as_ref().map(|lora| ("adapter", adapter(lora, params.objective))));
        groups.extend(config.eval_every.map(|every| ("held-out rows", held_out(config, every))));
        let unmapped = unmapped(params, config).into_iter().chain(of_loss).collect();
        Ok(Self { trainer, groups, unmapped })
    }

    /// Returns `training.yaml`.
    pub(super) fn to_yaml(&self, title: &str) -> String {
        let mut text = format!("# {title}\n");
        for (heading, lines) in self.groups.iter().filter(|(_, lines)| !lines.is_empty()) {
            text += &format!("\n# {heading}\n");
            for (key, value) in lines {
                text += &format!("{key}: {}\n", yaml(value));
            }
        }
        text
    }
}

fn data(size: &Size<'_>) -> Vec<Line> {
    vec![
        ("model_name_or_path", json!(size.base)),
        ("dataset_name", json!("data")),
        ("output_dir", json!(super::OUTPUT)),
    ]
}

fn steps(config: &TrainConfig, size: &Size<'_>) -> Result<Vec<Line>, PipelineError> {
    let (batch, devices) = (config.batch_size, size.n_devices.max(1));
    let share = batch / devices;
    let per_device = config.micro_batch_size.unwrap_or(share).min(share).max(1);
    if !batch.is_multiple_of(per_device * devices) {
        let what = format!("a step of {batch} rows cannot be dealt out to {devices} devices in parts of {per_device}");
        let remedy = "choose `config.batch_size` and `config.micro_batch_size` that divide, or other --devices";
        return Err(PipelineError::input(size.label, what, remedy));
    }
    Ok(vec![
        ("max_steps", json!(config.n_steps(size.n_rows))),
        ("per_device_train_batch_size", json!(per_device)),
        ("per_device_eval_batch_size", json!(per_device)),
        ("gradient_accumulation_steps", json!(batch / (per_device * devices))),
        ("max_length", json!(config.max_length.unwrap_or(size.max_positions))),
        ("seed", json!(config.seed)),
        ("logging_steps", json!(1)),
        ("report_to", json!("none")),
    ])
}

fn optimizer(config: &TrainConfig, size: &Size<'_>) -> Vec<Line> {
    let schedule = match config.schedule {
        Schedule::Cosine => "cosine",
        Schedule::Linear => "linear",
        Schedule::Constant => "constant_with_warmup",
    };
    vec![
        ("learning_rate", json!(config.lr)),
        ("lr_scheduler_type", json!(schedule)),
        ("warmup_steps", json!(config.n_warmup_steps(config.n_steps(size.n_rows)))),
        ("weight_decay", json!(config.weight_decay)),
        ("adam_beta1", json!(config.betas.0)),
        ("adam_beta2", json!(config.betas.1)),
        ("adam_epsilon", json!(config.eps)),
        ("max_grad_norm", json!(config.max_grad_norm.unwrap_or(0.0))),
    ]
}

fn numbers(config: &TrainConfig) -> Vec<Line> {
    vec![
        ("dtype", json!("float32")),
        ("bf16", json!(true)),
        ("gradient_checkpointing", json!(config.gradient_checkpointing)),
    ]
}

fn adapter(lora: &LoraConfig, objective: ObjectiveName) -> Vec<Line> {
    let targets = if lora.targets.is_empty() { json!(["all-linear"]) } else { json!(lora.targets) };
    let task = if objective == ObjectiveName::Reward { "SEQ_CLS" } else { "CAUSAL_LM" };
    vec![
        ("use_peft", json!(true)),
        ("lora_r", json!(lora.r)),
        ("lora_alpha", json!(lora.alpha.round() as i64)),
        ("lora_dropout", json!(0.0)),
        ("lora_task_type", json!(task)),
        ("use_rslora", json!(lora.rslora)),
        ("lora_target_modules", targets),
    ]
}

fn held_out(config: &TrainConfig, every: usize) -> Vec<Line> {
    let mut lines = vec![("eval_strategy", json!("steps")), ("eval_steps", json!(every)), ("save_steps", json!(every))];
    if config.keep == Keep::Best {
        lines.extend([
            ("load_best_model_at_end", json!(true)),
            ("metric_for_best_model", json!("eval_loss")),
            ("greater_is_better", json!(false)),
        ]);
    }
    lines
}

fn unmapped(params: &TrainParams, config: &TrainConfig) -> Vec<String> {
    let mut found = vec![
        "the order of the rows: both shuffle anew for each pass, each in its own way".to_owned(),
        "the first step of the warm-up: here it has the rate `lr / warmup_steps`, there 0".to_owned(),
        "weight decay: here embeddings have none, there they have".to_owned(),
        "numbers: here all are f32, there products are in bf16 unless `bf16: false`".to_owned(),
    ];
    found.extend(config.patience.map(|n| format!("`patience: {n}`: `trl` has no early end on its command line")));
    if let Some(lora) = params.lora.as_ref().filter(|lora| lora.alpha.fract() != 0.0) {
        found.push(format!("`alpha: {}` of the adapter: there it is a whole number", lora.alpha));
    }
    found
}

/// A value as readers of YAML 1.1 take it too: small numbers with a point before the exponent.
fn yaml(value: &Value) -> String {
    match value.as_f64().filter(|_| value.is_f64()) {
        Some(number) if number != 0.0 && number.abs() < 1e-3 => {
            let text = format!("{number:e}");
            if text.contains('.') { text } else { text.replace('e', ".0e") }
        }
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, n_devices: usize) -> Result<(Settings, String), PipelineError> {
        let mut json: Value = serde_json::from_str(text).unwrap();
        json["data"] = json!("data");
        let params: TrainParams = serde_json::from_value(json).unwrap();
        let size = Size { n_rows: 100, n_devices, max_positions: 512, base: "/models/start", label: "student" };
        let settings = Settings::of(&params, &params.config, &size)?;
        let yaml = settings.to_yaml("student");
        Ok((settings, yaml))
    }

    #[test]
    fn every_setting_has_its_word() {
        let text = r#"{"objective": "sft", "lora": {"r": 8, "rslora": true, "targets": ["q_proj"]}, "config":
            {"batch_size": 16, "micro_batch_size": 2, "epochs": 2, "lr": 2e-4, "eps": 1e-8, "schedule": "constant",
             "max_grad_norm": null, "eval_every": 5, "keep": "best", "patience": 3}}"#;
        let (settings, yaml) = said(text, 2).unwrap();
        assert_eq!(settings.trainer, Trainer::Command("sft"));
        for line in [
            "model_name_or_path: \"/models/start\"",
            "max_steps: 13",
            "per_device_train_batch_size: 2",
            "gradient_accumulation_steps: 4",
            "max_length: 512",
            "learning_rate: 2.0e-4",
            "adam_epsilon: 1.0e-8",
            "lr_scheduler_type: \"constant_with_warmup\"",
            "warmup_steps: 1",
            "max_grad_norm: 0.0",
            "use_rslora: true",
            "lora_task_type: \"CAUSAL_LM\"",
            "lora_target_modules: [\"q_proj\"]",
            "load_best_model_at_end: true",
            "eval_steps: 5",
        ] {
            assert!(yaml.lines().any(|found| found == line), "{line} is not in\n{yaml}");
        }
        assert!(settings.unmapped.iter().any(|what| what.contains("`patience: 3`")));
        let (_, yaml) = said(r#"{"objective": "reward", "lora": {}}"#, 1).unwrap();
        assert!(yaml.lines().any(|found| found == "lora_task_type: \"SEQ_CLS\""), "{yaml}");
    }

    #[test]
    fn rows_that_cannot_be_dealt_out_are_told() {
        let uneven = r#"{"objective": "sft", "config": {"batch_size": 16, "micro_batch_size": 3}}"#;
        let error = said(uneven, 1).err().unwrap().to_string();
        assert!(error.contains("16 rows cannot be dealt out to 1 devices in parts of 3"), "{error}");
        let lone =
            said(r#"{"objective": "kto", "config": {"batch_size": 4, "micro_batch_size": 1}}"#, 1).err().unwrap();
        assert!(lone.to_string().contains("a device would see single rows"), "{lone}");
        let many = r#"{"objective": "sft", "config": {"batch_size": 4}}"#;
        assert!(said(many, 8).is_err());
        let (_, yaml) = said(many, 4).unwrap();
        assert!(yaml.contains("per_device_train_batch_size: 1\n") && !yaml.contains("lora"), "{yaml}");
    }
}
