//! Pooled hidden states against `transformers`: the numbers of `golden/hidden.py`.
#![cfg(test)]

use std::{collections::BTreeMap, fs, path::PathBuf};

use cambist_core::prompt::Message;
use cambist_model::{EncodeError, LocalModel, ModelFiles, NoLayer, Pooling, PromptEncoder};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    texts: Vec<Vec<u32>>,
    /// By model, then layer.
    models: BTreeMap<String, BTreeMap<usize, Layer>>,
}

/// By text.
#[derive(Deserialize)]
struct Layer {
    mean: Vec<Vec<f32>>,
    last: Vec<Vec<f32>>,
}

fn golden() -> Golden {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/hidden.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn files(name: &str) -> ModelFiles {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/families").join(name);
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let file = |e: fs::DirEntry| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap());
    ModelFiles(entries.map(file).filter(|(name, _)| !name.starts_with("expected")).collect())
}

fn encoder(name: &str, layer: Option<usize>, pooling: Pooling) -> PromptEncoder {
    PromptEncoder::new(LocalModel::from_files(&files(name)).unwrap(), layer, pooling).unwrap()
}

/// The largest distance as a share of the largest number.
fn gap(ours: &[Vec<f32>], theirs: &[Vec<f32>]) -> f32 {
    let (ours, theirs) = (ours.concat(), theirs.concat());
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0f32, |top, x| top.max(x.abs()));
    ours.iter().zip(theirs).fold(0f32, |top, (a, b)| top.max((a - b).abs())) / largest
}

#[test]
fn pooled_states_equal_those_of_transformers() {
    let Golden { texts, models } = golden();
    let texts: Vec<&Vec<u32>> = texts.iter().collect();
    assert_eq!(models.len(), 11);
    for (name, layers) in models {
        let last = *layers.keys().last().unwrap();
        assert_eq!(encoder(&name, None, Pooling::Mean).layer(), last, "{name}");
        for (layer, expected) in layers {
            for (pooling, theirs) in [(Pooling::Mean, &expected.mean), (Pooling::Last, &expected.last)] {
                let ours = encoder(&name, Some(layer), pooling).encode_tokens(&texts).unwrap();
                let gap = gap(&ours, theirs);
                assert!(gap < 1e-4, "{name}, layer {layer}, {}: {gap} of the largest apart", pooling.name());
            }
        }
    }
}

#[test]
fn no_text_depends_on_its_company() {
    let texts = golden().texts;
    let encoder = encoder("gemma3", Some(2), Pooling::Mean);
    let together = encoder.encode_tokens(&texts.iter().collect::<Vec<_>>()).unwrap();
    for (text, together) in texts.iter().zip(&together) {
        assert_eq!(encoder.encode_tokens(&[text]).unwrap().concat(), *together);
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let many: Vec<&Vec<u32>> = texts.iter().cycle().take(700).collect();
    let found = pool.install(|| encoder.encode_tokens(&many)).unwrap();
    assert!(found.iter().zip(together.iter().cycle()).all(|(found, alone)| found == alone));
    assert_eq!(found.len(), 700);
}

#[test]
fn conversations_are_read_as_their_answers_would_be_generated() {
    let encoder = encoder("llama", None, Pooling::Last);
    assert_eq!(encoder.width(), 16);
    let turn = |text: &str| vec![Message::user(text)];
    let (plain, long) = (turn("w5 w6 w7"), turn(&"w9 ".repeat(500)));
    let states = encoder.encode(&[&plain, &long]).unwrap();
    assert!(states.iter().all(|state| state.as_ref().unwrap().len() == 16));
    let tokens = encoder.tokens(&long).unwrap();
    assert_eq!(tokens.len(), 64, "the last tokens that the model has positions for");
    assert_eq!(*states[0].as_ref().unwrap(), encoder.encode_tokens(&[&encoder.tokens(&plain).unwrap()]).unwrap()[0]);
    let nothing: Vec<Message> = Vec::new();
    let mixed = encoder.encode(&[&nothing, &plain]).unwrap();
    assert_eq!(mixed[1].as_ref().unwrap(), states[0].as_ref().unwrap());
    assert!(mixed[0].is_ok() || matches!(mixed[0], Err(EncodeError::EmptyMask(_) | EncodeError::Template(_))));
}

#[test]
fn a_layer_that_is_not_there_is_refused() {
    let model = LocalModel::from_files(&files("gemma3")).unwrap();
    let error = PromptEncoder::new(model, Some(4), Pooling::Mean).unwrap_err();
    assert_eq!(error, NoLayer { found: 4, n_layers: 3 });
    assert!(error.to_string().contains("expected 0 (the embeddings) to 3"), "{error}");
}
