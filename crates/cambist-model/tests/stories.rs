//! A real model: the 260 thousand parameters of `stories260K` tell their reference story word for word.
//!
//! The model is read where it lies beside the repository; without it the test says that it was skipped.
#![cfg(test)]

use std::{
    collections::BTreeMap,
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use cambist_core::prompt::Message;
use cambist_model::{GenerateRequest, Generated, LocalModel, ModelFiles, Sampling, generate, log_probs};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};

fn data() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/tiny-llm-stories260k");
    if !folder.exists() {
        println!("skipped: {} is not there", folder.display());
    }
    folder.exists().then_some(folder)
}

/// A llama2.c checkpoint of version 0: seven numbers, then one kind of tensor after another, layers together.
struct Checkpoint {
    header: Vec<usize>,
    floats: Vec<f32>,
    next: usize,
}

impl Checkpoint {
    fn read(bytes: &[u8]) -> Self {
        let word = |b: &[u8]| <[u8; 4]>::try_from(b).unwrap();
        let header = bytes[..28].chunks_exact(4).map(|b| i32::from_le_bytes(word(b)) as usize).collect();
        let floats = bytes[28..].chunks_exact(4).map(|b| f32::from_le_bytes(word(b))).collect();
        Self { header, floats, next: 0 }
    }

    fn take(&mut self, n: usize) -> Vec<f32> {
        self.next += n;
        self.floats[self.next - n..self.next].to_vec()
    }

    /// Tensors by their Hugging Face names.
    fn tensors(mut self) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
        let [dim, hidden, n_layers, n_heads, n_kv, vocab, _] = self.header[..] else { panic!("{:?}", self.header) };
        let head_dim = dim / n_heads;
        let mut tensors = BTreeMap::new();
        tensors.insert("model.embed_tokens".to_owned(), (vec![vocab, dim], self.take(vocab * dim)));
        let kinds = [
            ("input_layernorm", vec![dim], 0),
            ("self_attn.q_proj", vec![dim, dim], n_heads),
            ("self_attn.k_proj", vec![n_kv * head_dim, dim], n_kv),
            ("self_attn.v_proj", vec![n_kv * head_dim, dim], 0),
            ("self_attn.o_proj", vec![dim, dim], 0),
            ("post_attention_layernorm", vec![dim], 0),
            ("mlp.gate_proj", vec![hidden, dim], 0),
            ("mlp.down_proj", vec![dim, hidden], 0),
            ("mlp.up_proj", vec![hidden, dim], 0),
        ];
        for (name, shape, turned_heads) in kinds {
            for layer in 0..n_layers {
                let mut numbers = self.take(shape.iter().product());
                if turned_heads > 0 {
                    numbers = halves(&numbers, head_dim, dim);
                }
                tensors.insert(format!("model.layers.{layer}.{name}"), (shape.clone(), numbers));
            }
        }
        tensors.insert("model.norm".to_owned(), (vec![dim], self.take(dim)));
        tensors
    }
}

/// llama2.c turns neighbouring numbers of a head, Hugging Face those half a head apart: rows change places.
fn halves(matrix: &[f32], head_dim: usize, dim: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = matrix.chunks_exact(dim).collect();
    let row = |i: usize| {
        let (head, within) = (i / head_dim * head_dim, i % head_dim);
        rows[head + within % (head_dim / 2) * 2 + within / (head_dim / 2)]
    };
    (0..rows.len()).flat_map(row).copied().collect()
}

/// The vocabulary, each token a word of its own: enough to tell a story from its beginning.
fn tokenizer(bytes: &[u8]) -> Value {
    let (mut vocab, mut at) = (serde_json::Map::new(), 4);
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        let token = String::from_utf8(bytes[at + 8..at + 8 + length].to_vec()).unwrap();
        vocab.insert(token.trim_matches('\n').to_owned(), vocab.len().into());
        at += 8 + length;
    }
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "special": true, "normalized": false, "single_word": false,
               "lstrip": false, "rstrip": false})
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "added_tokens": [special(1, "<s>"), special(2, "</s>")],
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    })
}

fn model(folder: &Path) -> LocalModel {
    let checkpoint = Checkpoint::read(&fs::read(folder.join("stories260K.bin")).unwrap());
    let [dim, hidden, n_layers, n_heads, n_kv, vocab, positions] = checkpoint.header[..] else { panic!() };
    let config = json!({
        "model_type": "llama", "hidden_size": dim, "intermediate_size": hidden, "num_hidden_layers": n_layers,
        "num_attention_heads": n_heads, "num_key_value_heads": n_kv, "vocab_size": vocab, "rms_norm_eps": 1e-5,
        "max_position_embeddings": positions, "tie_word_embeddings": true, "rope_theta": 10000.0, "hidden_act": "silu",
    });
    let tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = checkpoint
        .tensors()
        .into_iter()
        .map(|(name, (shape, x))| (format!("{name}.weight"), (shape, x.iter().flat_map(|x| x.to_le_bytes()).collect())))
        .collect();
    let view = |(shape, bytes)| TensorView::new(Dtype::F32, Vec::clone(shape), Vec::as_slice(bytes)).unwrap();
    let views = tensors.iter().map(|(name, (shape, bytes))| (name, view((shape, bytes))));
    // The template opens a turn with the beginning alone, and ends the assistant's with `</s>`.
    let template = "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}</s>{% endif %}{% endfor %}";
    let tokenizer_config = json!({"bos_token": "<s>", "eos_token": "</s>", "chat_template": template});
    let mut files = ModelFiles::default();
    files.0.insert("config.json".into(), config.to_string().into_bytes());
    files.0.insert("model.safetensors".into(), safetensors::serialize(views, None).unwrap());
    let vocabulary = tokenizer(&fs::read(folder.join("tok512.bin")).unwrap());
    files.0.insert("tokenizer.json".into(), vocabulary.to_string().into_bytes());
    files.0.insert("tokenizer_config.json".into(), tokenizer_config.to_string().into_bytes());
    files.0.insert("generation_config.json".into(), json!({"eos_token_id": [1, 2]}).to_string().into_bytes());
    LocalModel::from_files(&files).unwrap()
}

fn story(model: &LocalModel, max_new_tokens: usize) -> Generated {
    let request = GenerateRequest { messages: vec![Message::user("")], sampling_key: "story".into() };
    let sampling = Sampling { max_new_tokens, ..Sampling::default() };
    let mut story = None;
    let mut keep = |_: usize, answer: Result<Generated, _>| {
        story = Some(answer.unwrap());
        ControlFlow::Continue(())
    };
    generate(model, &[request], (&sampling, 1), &mut keep).unwrap();
    story.unwrap()
}

#[test]
fn the_reference_story_is_told_word_for_word() {
    let Some(folder) = data() else { return };
    let model = model(&folder);
    assert_eq!(model.n_parameters(), 260_032);
    let expected: Value = serde_json::from_slice(&fs::read(folder.join("expected_greedy.json")).unwrap()).unwrap();
    let text = |key: &str| expected[key].as_str().unwrap().trim().to_owned();
    let longer = story(&model, 256); // what the reference calls the end is its default limit
    assert_eq!((longer.tokens_in, longer.tokens_out), (1, 256));
    assert_eq!(longer.text.trim(), text("until_bos_text"));
    assert_eq!(story(&model, 200).text.trim(), text("steps_200_text"));
}

#[test]
fn the_story_is_likelier_than_its_words_backwards() {
    let Some(folder) = data() else { return };
    let model = model(&folder);
    let score = |word: &str| {
        let conversation = vec![Message::user(""), Message::assistant(word)];
        log_probs(&model, &[conversation]).unwrap().remove(0).unwrap()
    };
    let (likely, unlikely) = (score(" the"), score(" red"));
    assert_eq!((likely.n_tokens, unlikely.n_tokens), (2, 2));
    assert!(likely.sum < 0.0 && unlikely.sum < likely.sum, "{likely:?} {unlikely:?}");
}
