//! Model folders that are not what they should be: each is refused with the thing, what was found and what to do.
#![cfg(test)]

use std::{collections::BTreeMap, fs, path::PathBuf};

use cambist_core::prompt::Message;
use cambist_model::{ConfigError, EncodeError, LocalModel, ModelError, ModelFiles, WeightsError};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};

fn files() -> ModelFiles {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/families/llama");
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let file = |e: fs::DirEntry| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap());
    ModelFiles(entries.map(file).filter(|(name, _)| !name.starts_with("expected")).collect())
}

const WEIGHTS: &str = "model.safetensors";

/// Name, type, shape and bytes of every tensor.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn tensors(files: &ModelFiles) -> Tensors {
    let read = SafeTensors::deserialize(&files.0[WEIGHTS]).unwrap();
    read.iter()
        .map(|(name, view)| (name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
        .collect()
}

fn with_weights(change: impl FnOnce(&mut Tensors)) -> Result<LocalModel, ModelError> {
    let mut files = files();
    let mut tensors = tensors(&files);
    change(&mut tensors);
    files.0.insert(WEIGHTS.to_owned(), safetensors(&tensors));
    LocalModel::from_files(&files)
}

fn safetensors(tensors: &Tensors) -> Vec<u8> {
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// The weights with their bytes changed.
fn with_bytes(change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
    let mut files = files();
    let bytes = change(files.0.remove(WEIGHTS).unwrap());
    files.0.insert(WEIGHTS.to_owned(), bytes);
    let error = LocalModel::from_files(&files).unwrap_err();
    assert!(matches!(error, ModelError::Weights(WeightsError::Format { .. })), "{error}");
    error.to_string()
}

/// The weights with another header; the tensors' bytes stay.
fn with_header(change: impl FnOnce(&mut Value)) -> String {
    with_bytes(|bytes| {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        change(&mut header);
        let text = header.to_string().into_bytes();
        [&(text.len() as u64).to_le_bytes()[..], &text[..], &bytes[8 + length..]].concat()
    })
}

fn with_json(file: &str, changes: Value) -> Result<LocalModel, ModelError> {
    let mut files = files();
    let mut json: Value = serde_json::from_slice(&files.0[file]).unwrap();
    json.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    files.0.insert(file.to_owned(), json.to_string().into_bytes());
    LocalModel::from_files(&files)
}

#[test]
fn the_folder_itself_is_sound() {
    assert!(with_weights(|_| ()).is_ok());
}

#[test]
fn tensors_that_are_missing_or_too_many_or_of_another_shape_are_named() {
    let name = "model.layers.1.mlp.up_proj.weight";
    let missing = with_weights(|tensors| drop(tensors.remove(name))).unwrap_err().to_string();
    assert_eq!(missing, format!("the weights have no tensor `{name}`, expected with shape [20, 16]"));
    let extra = with_weights(|tensors| {
        let copy = tensors[name].clone();
        tensors.insert("model.layers.2.mlp.up_proj.weight".to_owned(), copy);
    });
    let extra = extra.unwrap_err().to_string();
    assert_eq!(extra, "the weights hold `model.layers.2.mlp.up_proj.weight`, which this architecture has no place for");
    let turned = with_weights(|tensors| tensors.get_mut(name).unwrap().1.reverse()).unwrap_err().to_string();
    assert_eq!(turned, format!("tensor `{name}` has shape [16, 20], but `config.json` calls for [20, 16]"));
}

#[test]
fn weights_that_are_no_numbers_are_named_with_their_places() {
    let name = "model.norm.weight";
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error =
            with_weights(|tensors| tensors.get_mut(name).unwrap().2[12..16].copy_from_slice(&bad.to_le_bytes()));
        let error = error.unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "tensor `{name}` holds {bad} at place 3; expected finite numbers: did the run that wrote it diverge?"
            )
        );
    }
}

#[test]
fn numbers_of_other_types_are_refused() {
    let error = with_weights(|tensors| {
        let (dtype, shape, _) = tensors.get_mut("model.norm.weight").unwrap();
        assert_eq!(shape, &[16]);
        *dtype = Dtype::I32;
    });
    let error = error.unwrap_err().to_string();
    assert_eq!(
        error,
        "tensor `model.norm.weight` holds I32; expected F16, BF16, F32 or F64: quantised weights are not read"
    );
}

#[test]
fn files_that_are_cut_off_or_lie_about_themselves_are_no_safetensors() {
    let begins = "`model.safetensors` is no whole safetensors file: ";
    let ends = "; save or fetch it again";
    let is_told = |error: String, reason: &str| {
        assert!(error.starts_with(begins) && error.ends_with(ends) && error.contains(reason), "{reason}: {error}");
    };
    is_told(with_bytes(|bytes| bytes[..5].to_vec()), "it has fewer than eight bytes");
    is_told(with_bytes(|bytes| bytes[..200].to_vec()), "its header goes beyond its end");
    is_told(with_bytes(|bytes| bytes[..bytes.len() - 4].to_vec()), "its tensors end elsewhere than the file");
    is_told(with_bytes(|bytes| [bytes, vec![0; 4]].concat()), "its tensors end elsewhere than the file");
    is_told(with_bytes(|bytes| [&u64::MAX.to_le_bytes()[..], &bytes[8..]].concat()), "header of more than 100 MB");
    is_told(
        with_bytes(|bytes| [&bytes[..8], &vec![b' '; bytes.len() - 8][..]].concat()),
        "its header is not what it should be",
    );
    is_told(
        with_bytes(|bytes| [&bytes[..8], &vec![0xff; bytes.len() - 8][..]].concat()),
        "its header is not what it should be",
    );
    let name = "model.norm.weight";
    is_told(with_header(|header| header[name]["shape"] = json!([17])), "not as many bytes as its shape and type");
    is_told(with_header(|header| header[name]["shape"] = json!([u64::MAX, 16])), "more numbers than can be counted");
    is_told(
        with_header(|header| header[name]["data_offsets"] = json!([0, 64])),
        "begin before those of the tensor before",
    );
    is_told(with_header(|header| header[name]["dtype"] = json!("F1")), "its header is not what it should be");
}

#[test]
fn shards_that_are_missing_or_hold_a_tensor_twice_are_named() {
    let sharded = |names: &[&str]| {
        let mut files = files();
        let weights = files.0.remove(WEIGHTS).unwrap();
        let map: serde_json::Map<String, Value> =
            names.iter().enumerate().map(|(i, name)| (format!("tensor{i}"), json!(name))).collect();
        files.0.insert("model.safetensors.index.json".to_owned(), json!({"weight_map": map}).to_string().into_bytes());
        files.0.insert("a.safetensors".to_owned(), weights.clone());
        files.0.insert("b.safetensors".to_owned(), weights);
        LocalModel::from_files(&files)
    };
    assert!(sharded(&["a.safetensors"]).is_ok());
    let absent = sharded(&["a.safetensors", "../c.safetensors"]).unwrap_err().to_string();
    assert!(absent.contains("names `../c.safetensors`, which the model folder does not have"), "{absent}");
    let twice = sharded(&["a.safetensors", "b.safetensors"]).unwrap_err();
    assert!(
        matches!(&twice, ModelError::Weights(WeightsError::Twice { file, .. }) if file == "b.safetensors"),
        "{twice}"
    );
}

#[test]
fn a_tokenizer_larger_than_the_embedding_is_refused() {
    let error = with_json("config.json", json!({"vocab_size": 40}));
    // The table of the file has 48 rows: its shape is looked at first.
    assert!(matches!(error, Err(ModelError::Weights(WeightsError::Shape { .. }))));
    let mut files = files();
    let mut tokenizer: Value = serde_json::from_slice(&files.0["tokenizer.json"]).unwrap();
    tokenizer["model"]["vocab"]["far"] = json!(60);
    files.0.insert("tokenizer.json".to_owned(), tokenizer.to_string().into_bytes());
    let error = LocalModel::from_files(&files).unwrap_err();
    assert!(matches!(error, ModelError::Vocabulary { tokens: 61, rows: 48 }), "{error}");
    assert_eq!(
        error.to_string(),
        "`tokenizer.json` names tokens up to number 60, the embedding table has 48 rows (`vocab_size`); take the \
         tokenizer that the weights were trained with"
    );
}

#[test]
fn a_model_without_a_template_answers_nothing_and_says_where_to_give_one() {
    let mut files = files();
    files.0.insert("tokenizer_config.json".to_owned(), br#"{"bos_token": "<s>"}"#.to_vec());
    let model = LocalModel::from_files(&files).unwrap();
    let error = model.encode(&[Message::user("w3")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model has no chat template; give `chat_template` in `tokenizer_config.json` or `chat_template.jinja`"
    );
    files.0.insert("chat_template.jinja".to_owned(), b"{% for m in messages %}".to_vec());
    let error = LocalModel::from_files(&files).unwrap_err().to_string();
    assert!(error.starts_with("the chat template cannot be read: "), "{error}");
    files.0.remove("chat_template.jinja");
    files.0.insert("tokenizer_config.json".to_owned(), br#"{"bos_token": "<begin>"}"#.to_vec());
    let error = LocalModel::from_files(&files).unwrap_err().to_string();
    assert_eq!(error, "`tokenizer_config.json` names `<begin>`, which `tokenizer.json` does not have");
}

#[test]
fn a_conversation_beyond_the_positions_is_refused() {
    let model = LocalModel::from_files(&files()).unwrap();
    let long = vec![Message::user("w3"), Message::assistant(vec!["w4"; 70].join(" "))];
    let scored = cambist_model::log_probs(&model, &[long]).unwrap();
    assert!(matches!(scored[0], Err(EncodeError::TooLong { n_tokens: 73, max_positions: 64 })), "{scored:?}");
}

#[test]
fn files_that_are_missing_or_no_json_are_named() {
    for (file, expected) in [
        ("config.json", "the model folder has no `config.json`"),
        (WEIGHTS, "the model folder has no `model.safetensors`"),
        ("tokenizer.json", "the model folder has no `tokenizer.json`"),
    ] {
        let mut files = files();
        files.0.remove(file);
        assert_eq!(LocalModel::from_files(&files).unwrap_err().to_string(), expected);
    }
    for file in ["config.json", "tokenizer_config.json", "generation_config.json"] {
        let mut files = files();
        files.0.insert(file.to_owned(), b"[1, 2".to_vec());
        let error = LocalModel::from_files(&files).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{file}` is not the JSON object that it should be")), "{error}");
    }
    let mut files = files();
    files.0.insert("tokenizer.json".to_owned(), b"{}".to_vec());
    let error = LocalModel::from_files(&files).unwrap_err().to_string();
    assert!(error.starts_with("`tokenizer.json` cannot be read: "), "{error}");
}

#[test]
fn sizes_that_no_model_has_are_refused_before_anything_is_made_of_them() {
    for (key, limit) in [
        ("num_hidden_layers", 4096),
        ("hidden_size", 1 << 27),
        ("vocab_size", 1 << 27),
        ("intermediate_size", 1 << 27),
        ("max_position_embeddings", 1 << 27),
        ("head_dim", 1 << 27),
    ] {
        let error = with_json("config.json", json!({key: 1u64 << 40})).unwrap_err();
        assert!(matches!(error, ModelError::Config(ConfigError::TooLarge { .. })), "{error}");
        assert_eq!(
            error.to_string(),
            format!("`{key}` is 1099511627776; expected at most {limit}: is the file damaged?")
        );
    }
}
