//! Adapters against PEFT and PyTorch: the numbers of `golden/adapter.py`; what an adapter never changes; bad adapters.
//!
//! `golden/adapter/CASE/written` is what this crate writes; the second test keeps that true. After a change that is meant
//! to change it: `CAMBIST_WRITE_GOLDEN=1 cargo test -p cambist-model --test adapter`, then run the script.
#![cfg(test)]

use std::{collections::BTreeMap, fs, ops::ControlFlow, path::PathBuf};

use cambist_core::{language::Language, prompt::Message};
use cambist_model::{
    AdapterError, GenerateRequest, LocalModel, LoraConfig, ModelFiles, Sampling, Sft, StepLog, TrainConfig, TrainRow,
    generate, train,
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::Deserialize;
use serde_json::{Value, json};

const CASES: [&str; 2] = ["all", "some"];

#[derive(Deserialize)]
struct Expected {
    base: String,
    n_trained: usize,
    rows: Vec<ExpectedRow>,
    losses: Vec<f64>,
    grad_norms: Vec<f64>,
    optimizer: TrainConfig,
    #[serde(default)]
    written: Value,
}

#[derive(Deserialize)]
struct ExpectedRow {
    messages: Vec<Message>,
    tokens: Vec<u32>,
    logits: Vec<Vec<f32>>,
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn folder(name: &str) -> ModelFiles {
    let entries = fs::read_dir(golden(name)).unwrap().map(Result::unwrap).filter(|e| e.file_type().unwrap().is_file());
    let file = |e: fs::DirEntry| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap());
    ModelFiles(entries.map(file).filter(|(name, _)| !name.starts_with("expected")).collect())
}

fn expected(case: &str) -> Expected {
    serde_json::from_slice(&fs::read(golden("adapter").join(case).join("expected.json")).unwrap()).unwrap()
}

fn base(name: &str) -> LocalModel {
    LocalModel::from_files(&folder(name)).unwrap()
}

/// The base of a case with PEFT's adapter on it.
fn adapted(case: &str) -> LocalModel {
    let mut model = base(&expected(case).base);
    model.read_adapter(&folder(&format!("adapter/{case}"))).unwrap();
    model
}

fn rows(expected: &Expected) -> Vec<TrainRow> {
    let english = Language::parse("en").unwrap();
    let row = |(i, row): (usize, &ExpectedRow)| TrainRow::chat(i.to_string(), english.clone(), row.messages.clone());
    expected.rows.iter().enumerate().map(row).collect()
}

fn tensors(bytes: &[u8]) -> BTreeMap<String, Vec<f32>> {
    let read = SafeTensors::deserialize(bytes).unwrap();
    let floats = |data: &[u8]| data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    read.iter().map(|(name, view)| (name.to_owned(), floats(view.data()))).collect()
}

fn numbers(model: &LocalModel) -> BTreeMap<String, Vec<f32>> {
    tensors(&model.adapter_files("").unwrap().0["adapter_model.safetensors"])
}

fn gap(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0f32, |top, x| top.max(x.abs()));
    ours.iter().zip(theirs).fold(0f32, |top, (a, b)| top.max((a - b).abs())) / largest
}

/// Compares every tensor of a golden file: `tolerance` of the tensor's largest number.
fn compare(case: &str, file: &str, (ours, tolerance): (&BTreeMap<String, Vec<f32>>, f32)) {
    let theirs = tensors(&fs::read(golden("adapter").join(case).join(file)).unwrap());
    for (name, theirs) in &theirs {
        let gap = gap(&ours[name], theirs);
        assert!(gap < tolerance, "{case}, {file}: {name} is {gap} of its largest number apart");
    }
}

/// Trains as the script did and returns the model with its losses and gradient norms.
fn trained(case: &str, config: &TrainConfig) -> (LocalModel, Vec<(f64, f64)>) {
    let (mut model, mut logs) = (adapted(case), vec![]);
    let mut keep = |log: &StepLog| {
        logs.push((log.loss, log.grad_norm));
        ControlFlow::Continue(())
    };
    train(&mut model, (&rows(&expected(case)), &Sft), config, &mut keep).unwrap();
    (model, logs)
}

fn greedy(model: &LocalModel, expected: &Expected) -> Vec<String> {
    let request = |row: &ExpectedRow| GenerateRequest {
        messages: row.messages[..row.messages.len() - 1].to_vec(),
        sampling_key: String::new(),
    };
    let requests: Vec<_> = expected.rows.iter().map(request).collect();
    let mut texts = vec![String::new(); requests.len()];
    let mut keep = |i: usize, answer: Result<cambist_model::Generated, _>| {
        texts[i] = answer.unwrap().text;
        ControlFlow::Continue(())
    };
    generate(model, &requests, (&Sampling { max_new_tokens: 12, ..Sampling::default() }, 3), &mut keep).unwrap();
    texts
}

#[test]
fn logits_equal_those_of_peft() {
    for case in CASES {
        let (model, expected) = (adapted(case), expected(case));
        assert_eq!(model.n_trained(), expected.n_trained);
        for row in &expected.rows {
            let logits = model.logits(&row.tokens).unwrap();
            let by_token = logits.chunks_exact(model.tokenizer().vocab_size());
            let kept: Vec<f32> = by_token.flat_map(|row| row.iter().copied().step_by(17)).collect();
            let gap = gap(&kept, &row.logits.concat());
            assert!(gap < 1e-5, "{case}: logits are {gap} of the largest apart");
        }
    }
}

#[test]
fn what_is_written_is_what_peft_loads_with_equal_logits() {
    for case in CASES {
        let files = adapted(case).adapter_files(&expected(case).base).unwrap();
        let name = format!("adapter/{case}/written");
        if std::env::var_os("CAMBIST_WRITE_GOLDEN").is_some() {
            fs::create_dir_all(golden(&name)).unwrap();
            for (file, bytes) in &files.0 {
                fs::write(golden(&name).join(file), bytes).unwrap();
            }
            continue;
        }
        assert_eq!(files, folder(&name), "{case}");
        let theirs = folder(&format!("adapter/{case}"));
        assert_eq!(tensors(&files.0["adapter_model.safetensors"]), tensors(&theirs.0["adapter_model.safetensors"]));
        let evidence = expected(case).written;
        assert_eq!(evidence["largest_logit_gap"], 0.0, "{case}: what PEFT said of the written folder: {evidence}");
    }
}

/// One step of plain descent reveals the gradients: with `beta1 = beta2 = 0`, a large `eps` makes AdamW linear in them.
#[test]
fn gradients_of_both_sides_equal_those_of_pytorch() {
    const EPS: f64 = 1e4;
    for case in CASES {
        let config = TrainConfig {
            steps: Some(1),
            batch_size: 4,
            lr: EPS,
            eps: EPS,
            betas: (0.0, 0.0),
            weight_decay: 0.0,
            max_grad_norm: None,
            warmup_steps: Some(0),
            ..TrainConfig::default()
        };
        let (before, after) = (numbers(&adapted(case)), numbers(&trained(case, &config).0));
        let moved = |(name, before): (&String, &Vec<f32>)| {
            (name.clone(), before.iter().zip(&after[name]).map(|(b, a)| b - a).collect::<Vec<f32>>())
        };
        compare(case, "expected_gradients.safetensors", (&before.iter().map(moved).collect(), 1e-4));
    }
}

#[test]
fn three_steps_of_adamw_equal_a_pytorch_program_and_leave_the_base_alone() {
    for case in CASES {
        let expected = expected(case);
        let (mut model, logs) = trained(case, &expected.optimizer);
        for ((loss, norm), (their_loss, their_norm)) in
            logs.iter().zip(expected.losses.iter().zip(&expected.grad_norms))
        {
            assert!((loss / their_loss - 1.0).abs() < 1e-6, "{case}: loss {loss} {their_loss}");
            assert!((norm / their_norm - 1.0).abs() < 1e-5, "{case}: gradient norm {norm} {their_norm}");
        }
        compare(case, "expected_weights.safetensors", (&numbers(&model), 1e-4));
        model.merge_adapter().unwrap();
        let (ours, start) = (model.to_files().unwrap(), folder(&expected.base));
        let (ours, start) = (tensors(&ours.0["model.safetensors"]), tensors(&start.0["model.safetensors"]));
        for (name, numbers) in ours.iter().filter(|(name, _)| !name.contains("_proj")) {
            assert_eq!(numbers, &start[name], "{case}: {name} is no part of the adapter");
        }
    }
}

#[test]
fn a_merged_adapter_equals_pefts_merge_and_answers_alike() {
    for case in CASES {
        let (mut model, expected) = (adapted(case), expected(case));
        let (before, unmerged) = (greedy(&model, &expected), model.to_files().unwrap());
        let report = model.merge_adapter().unwrap();
        let files = model.to_files().unwrap();
        assert_eq!(files, unmerged, "a folder of an adapted model is that of the merged one");
        compare(case, "expected_merged.safetensors", (&tensors(&files.0["model.safetensors"]), 1e-6));
        assert_eq!(greedy(&model, &expected), before, "{case}");
        assert_ne!(greedy(&base(&expected.base), &expected), before, "{case}: the adapter changes no answer");
        assert_eq!(report.n_changed, report.n_adapted);
        assert!(report.largest_change > 0.1 && report.tensor.ends_with("_proj.weight"), "{report:?}");
        assert!(matches!(model.merge_adapter(), Err(AdapterError::None)));
    }
}

#[test]
fn a_new_adapter_changes_nothing_to_the_last_bit() {
    for name in ["tied", "untied"] {
        let (plain, mut model) = (base(name), base(name));
        let config = LoraConfig { rslora: name == "tied", ..LoraConfig::default() };
        model.add_adapter(&config, 3).unwrap();
        let expected = expected("all");
        for row in &expected.rows {
            assert_eq!(model.logits(&row.tokens).unwrap(), plain.logits(&row.tokens).unwrap());
        }
        assert_eq!(greedy(&model, &expected), greedy(&plain, &expected));
        assert_eq!(model.to_files().unwrap(), plain.to_files().unwrap());
        assert!(matches!(model.merge_adapter(), Err(AdapterError::Unchanged)));
        let drawn = numbers(&model);
        let (a, b): (Vec<_>, Vec<_>) = drawn.iter().partition(|(name, _)| name.contains("lora_A"));
        assert!(b.iter().all(|(_, numbers)| numbers.iter().all(|x| *x == 0.0)));
        let bound = |name: &str| if name.contains("down_proj") { 12f32 } else { 8.0 }.sqrt().recip();
        assert!(a.iter().all(|(name, n)| n.iter().all(|x| x.abs() <= bound(name)) && n.iter().any(|x| *x > 0.0)));
        let mut again = base(name);
        again.add_adapter(&config, 4).unwrap();
        assert_ne!(numbers(&again), drawn, "another seed, another adapter");
    }
}

/// The reference of a preference objective is the model that training starts from, never another one.
#[test]
fn the_model_without_its_adapter_is_the_reference_only_where_training_starts_from_it() {
    let (expected, tokens) = (expected("some"), expected("some").rows[0].tokens.clone());
    let config = TrainConfig { lr: 0.05, ..expected.optimizer.clone() };
    let train = |model: &mut LocalModel| {
        train(model, (&rows(&expected), &Sft), &config, &mut |_| ControlFlow::Continue(())).unwrap()
    };
    let mut model = base("untied");
    assert!(matches!(model.start_model(), Err(AdapterError::None)));
    model.add_adapter(&LoraConfig::default(), 1).unwrap();
    let start = model.start_model().unwrap();
    train(&mut model);
    assert_eq!(start.logits(&tokens).unwrap(), base("untied").logits(&tokens).unwrap());
    assert_ne!(model.logits(&tokens).unwrap(), start.logits(&tokens).unwrap());

    let mut second = base("untied");
    second.read_adapter(&model.adapter_files("untied").unwrap()).unwrap();
    assert!(matches!(second.start_model(), Err(AdapterError::NotTheStart)), "iteration 1 is not in the base");
    second.merge_adapter().unwrap();
    let iteration_1 = second.logits(&tokens).unwrap();
    second.add_adapter(&LoraConfig::default(), 2).unwrap();
    assert_eq!(second.start_model().unwrap().logits(&tokens).unwrap(), iteration_1);

    model.merge_adapter().unwrap();
    train(&mut model);
    assert_eq!(start.logits(&tokens).unwrap(), base("untied").logits(&tokens).unwrap(), "weights were shared");
}

#[test]
fn bad_settings_are_refused_by_name() {
    let refused = |config: LoraConfig| base("tied").add_adapter(&config, 1).unwrap_err().to_string();
    assert_eq!(refused(LoraConfig { r: 0, ..LoraConfig::default() }), "`r` is 0; give at least 1");
    assert!(refused(LoraConfig { alpha: f64::NAN, ..LoraConfig::default() }).contains("`alpha` is NaN"));
    let target = refused(LoraConfig { targets: vec!["c_attn".into()], ..LoraConfig::default() });
    assert!(
        target.contains("`targets` names `c_attn`, but the model has `down_proj`, `gate_proj`, `k_proj`"),
        "{target}"
    );
}

/// Reads the adapter of case `some` after a change of its config.
fn with_config(key: &str, value: Value) -> Result<(), AdapterError> {
    let mut files = folder("adapter/some");
    let mut json: Value = serde_json::from_slice(&files.0["adapter_config.json"]).unwrap();
    json[key] = value;
    files.0.insert("adapter_config.json".into(), json.to_string().into_bytes());
    base("untied").read_adapter(&files)
}

#[test]
fn adapters_of_other_kinds_are_refused_by_name() {
    with_config("lora_dropout", json!(0.1)).unwrap();
    for (key, value) in [
        ("use_dora", json!(true)),
        ("bias", json!("lora_only")),
        ("modules_to_save", json!(["lm_head"])),
        ("rank_pattern", json!({"q_proj": 2})),
        ("alpha_pattern", json!({"q_proj": 2})),
        ("fan_in_fan_out", json!(true)),
        ("init_lora_weights", json!("pissa")),
        ("layers_to_transform", json!([0])),
        ("alora_invocation_tokens", json!([1, 2])),
        ("peft_type", json!("LOHA")),
        ("a_later_invention", json!(2)),
        ("r", json!("four")),
    ] {
        let message = with_config(key, value.clone()).unwrap_err().to_string();
        assert!(message.contains(&format!("`{key}` = `{value}`")), "{message}");
    }
    assert!(
        with_config("r", json!(5))
            .unwrap_err()
            .to_string()
            .contains("shape [4, 8], but its rank and this base call for [5, 8]")
    );
}

/// Reads the adapter of case `some` after a change of its tensors.
fn with_tensors(change: impl FnOnce(&mut BTreeMap<String, (Vec<usize>, Vec<u8>)>)) -> String {
    let mut files = folder("adapter/some");
    let bytes = files.0["adapter_model.safetensors"].clone();
    let read = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors = read.iter().map(|(name, t)| (name.to_owned(), (t.shape().to_vec(), t.data().to_vec()))).collect();
    change(&mut tensors);
    let views =
        tensors.iter().map(|(name, (shape, bytes))| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    files.0.insert("adapter_model.safetensors".into(), safetensors::serialize(views, None).unwrap());
    base("untied").read_adapter(&files).unwrap_err().to_string()
}

#[test]
fn broken_adapters_are_refused_by_tensor() {
    const A: &str = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight";
    let message = with_tensors(|tensors| drop(tensors.remove(A)));
    assert!(message.contains(A) && message.contains("[4, 8]"), "{message}");
    let message = with_tensors(|tensors| {
        let odd = tensors[A].clone();
        tensors.insert("base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight".into(), odd);
    });
    assert!(message.contains("layers.7") && message.contains("no place"), "{message}");
    let message = with_tensors(|tensors| {
        let (_, bytes) = tensors.get_mut(A).unwrap();
        bytes[4..8].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    assert!(message.contains(A) && message.contains("not finite"), "{message}");
    let message = with_tensors(BTreeMap::clear);
    assert!(message.contains("it holds no tensor"), "{message}");
    let files = |keep: &str, bytes: Option<&[u8]>| {
        let mut files = folder("adapter/some");
        files.0.retain(|name, _| name == keep || bytes.is_some());
        if let Some(bytes) = bytes {
            files.0.insert(keep.to_owned(), bytes.to_vec());
        }
        base("untied").read_adapter(&files).unwrap_err().to_string()
    };
    assert!(files("adapter_config.json", None).contains("`adapter_model.safetensors`"));
    assert!(files("adapter_model.safetensors", None).contains("`adapter_config.json`"));
    assert!(files("adapter_config.json", Some(b"[1]")).contains("JSON object"));
    assert!(files("adapter_model.safetensors", Some(&[0xff; 40])).contains("cannot be read as safetensors"));
    let mut other = base("tied");
    other.add_adapter(&LoraConfig::default(), 1).unwrap();
    assert!(matches!(other.read_adapter(&folder("adapter/all")), Err(AdapterError::Present)));
}
