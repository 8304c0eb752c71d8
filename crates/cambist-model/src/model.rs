//! A model that runs here: weights, tokenizer, template and config as one thing.

use std::sync::Arc;

use cambist_core::prompt::Message;
use candle_core::Tensor;
use serde_json::json;

use crate::{
    chat::{Chat, ChatError, DEFAULT_TEMPLATE, EncodeError},
    config::{ConfigError, DecoderConfig},
    decoder::{Decoder, Products},
    dtype::Dtype,
    fault::TensorFault,
    gguf::{self, Gguf, GgufError},
    head::Head,
    model_files::{CONFIG, GENERATION_CONFIG, ModelFiles, TOKENIZER, TOKENIZER_CONFIG, WEIGHTS, WEIGHTS_INDEX},
    objective::{Encoder, Objective},
    shape::Shape,
    tape::Tape,
    tokenizer::{BOS, END_OF_TURN, EOS, PAD, Tokenizer, TokenizerError},
    train_row::{RowContent, Sequence},
    weights::{self, Purpose, WeightsError},
};

/// A model that runs here, student and local teacher alike: weights on the CPU, tokenizer, template, config. What is
/// computed is f32.
#[derive(Debug)]
pub struct LocalModel {
    pub(crate) decoder: Decoder,
    pub(crate) chat: Chat,
    /// Every file but the weights, as it will be written again.
    pub(crate) files: ModelFiles,
}

/// A model cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The architecture.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A GGUF file.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// Tokenizer or template.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// The tokenizer of a new model.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The tokenizer can name tokens that the embedding table does not have.
    #[error(
        "`tokenizer.json` names tokens up to number {}, the embedding table has {rows} rows (`vocab_size`); take the tokenizer that the weights were trained with",
        tokens - 1
    )]
    Vocabulary {
        /// One more than the greatest number of a token.
        tokens: usize,
        /// Rows of the table.
        rows: usize,
    },
    /// A family whose models cannot have a reward head.
    #[error("`transformers` has no `{0}` models with a reward head; take a model of another family")]
    NoClassifier(&'static str),
    /// The tensor library failed.
    #[error(transparent)]
    Tensor(#[from] TensorFault),
}

impl LocalModel {
    /// Draws a new model around a tokenizer made by [`train_tokenizer`](crate::train_tokenizer), with the default chat
    /// template.
    ///
    /// The same shape, tokenizer and seed give the same bytes. Matrices are normal with deviation
    /// sqrt(2 / (5 `hidden_size`)) (arXiv 1910.05895), those that write to the residual stream divided by
    /// sqrt(2 `n_layers`); norms are 1.
    ///
    /// # Errors
    /// When the shape's sizes do not fit one another, or the tokenizer lacks the tokens of the default template.
    pub fn new(shape: &Shape, tokenizer: &Tokenizer, seed: u64) -> Result<Self, ModelError> {
        let config = DecoderConfig::new(shape, tokenizer.vocab_size())?;
        let id = |name: &str| tokenizer.token_id(name).ok_or_else(|| ChatError::UnknownToken(name.to_owned()));
        let (bos, eos, pad) = (id(BOS)?, id(EOS)?, id(PAD)?);
        let mut config_json = config.to_json();
        config_json.extend([("bos_token_id", bos), ("eos_token_id", eos), ("pad_token_id", pad)].map(number));
        let generation = json!({
            "bos_token_id": bos, "eos_token_id": [eos, id(END_OF_TURN)?], "pad_token_id": pad,
        });
        let tokenizer_config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS, "pad_token": PAD,
            "clean_up_tokenization_spaces": false, "model_max_length": shape.max_positions,
            "chat_template": DEFAULT_TEMPLATE,
        });
        let mut files = ModelFiles::default();
        files.0.insert(CONFIG.to_owned(), pretty(&config_json.into()));
        files.0.insert(GENERATION_CONFIG.to_owned(), pretty(&generation));
        files.0.insert(TOKENIZER_CONFIG.to_owned(), pretty(&tokenizer_config));
        files.0.insert(TOKENIZER.to_owned(), tokenizer.to_bytes()?);
        let decoder = Decoder::new(config.clone(), weights::draw(&config, seed)?);
        Self::assembled(decoder, files)
    }

    /// Reads a Hugging Face model folder of a supported family, whole or in shards, or a GGUF file (`*.gguf`) with the
    /// `tokenizer.json` beside it; f16, bf16 and quantised numbers become f32.
    ///
    /// # Errors
    /// When a file is missing or broken, or when the model holds anything that is not implemented: nothing is computed
    /// rather than wrongly.
    pub fn from_files(files: &ModelFiles) -> Result<Self, ModelError> {
        Self::read(files, Purpose::Training)
    }

    /// Reads the same for inference: weights are laid out for products with them, which makes generation and scoring
    /// several times faster, and kept in `dtype`; without one, each matrix in the narrowest type that holds its numbers
    /// exactly, so that a folder in bf16 takes two bytes a number and gives the same answers as in f32. Training turns them
    /// into f32 again.
    ///
    /// # Errors
    /// As [`LocalModel::from_files`], and when a number lies beyond what `dtype` can hold.
    pub fn for_inference(files: &ModelFiles, dtype: Option<Dtype>) -> Result<Self, ModelError> {
        Self::read(files, Purpose::Inference(dtype))
    }

    /// Returns the model for inference, as [`LocalModel::for_inference`] reads it.
    ///
    /// # Errors
    /// When a number lies beyond what `dtype` can hold.
    pub fn into_inference(mut self, dtype: Option<Dtype>) -> Result<Self, ModelError> {
        self.decoder.fit(Purpose::Inference(dtype))?;
        Ok(self)
    }

    fn read(files: &ModelFiles, purpose: Purpose) -> Result<Self, ModelError> {
        if let Some(name) = gguf::file_of(files) {
            return Self::from_gguf((name, files), purpose);
        }
        let mut config_json = files.json(CONFIG).map_err(ConfigError::from)?;
        let config = DecoderConfig::read(&config_json)?;
        let decoder = Decoder::new(config.clone(), weights::read(&config, files, purpose)?);
        let mut rest = files.clone();
        let weight_files = weights::weight_files(files).map_err(WeightsError::from)?;
        rest.0.retain(|name, _| name != WEIGHTS_INDEX && !weight_files.contains(name));
        for key in ["dtype", "torch_dtype"] {
            if let Some(dtype) = config_json.get_mut(key) {
                *dtype = "float32".into();
            }
        }
        rest.0.insert(CONFIG.to_owned(), pretty(&config_json.into()));
        Self::assembled(decoder, rest)
    }

    /// What the file says of the model goes before a `config.json` beside it.
    fn from_gguf((name, files): (&str, &ModelFiles), purpose: Purpose) -> Result<Self, ModelError> {
        let file = Gguf::read(files.0.get(name).map_or(&[], Vec::as_slice))?;
        let config_json = file.config()?;
        let config = DecoderConfig::read(&config_json)?;
        let mut rest = ModelFiles(files.0.iter().filter(|(other, _)| *other != name).map(owned).collect());
        file.complete(&mut rest)?;
        let parameters = weights::assemble(&config, file.tensors(&config_json)?, purpose)?;
        let decoder = Decoder::new(config, parameters);
        rest.0.insert(CONFIG.to_owned(), pretty(&config_json.into()));
        let model = Self::assembled(decoder, rest)?;
        file.check_tokens(model.tokenizer())?;
        Ok(model)
    }

    pub(crate) fn assembled(decoder: Decoder, files: ModelFiles) -> Result<Self, ModelError> {
        let chat = Chat::read(&files)?;
        let (tokens, rows) = (chat.tokenizer.n_numbers(), decoder.config.vocab_size);
        if tokens > rows {
            return Err(ModelError::Vocabulary { tokens, rows });
        }
        Ok(Self { decoder, chat, files })
    }

    /// Returns the model as a Hugging Face folder in f32 that `transformers` loads with the same logits; an adapter is
    /// merged into what is written.
    ///
    /// # Errors
    /// When memory does not suffice for a copy of the weights.
    pub fn to_files(&self) -> Result<ModelFiles, ModelError> {
        self.to_files_in(Dtype::F32)
    }

    /// Returns the same with weights rounded to `dtype`.
    ///
    /// # Errors
    /// When a number lies beyond what `dtype` can hold, too.
    pub fn to_files_in(&self, dtype: Dtype) -> Result<ModelFiles, ModelError> {
        let mut files = self.files.clone();
        if !dtype.is_f32() {
            let mut config = files.json(CONFIG).map_err(ConfigError::from)?;
            config.remove("torch_dtype");
            config.insert("dtype".to_owned(), dtype.name().into());
            files.0.insert(CONFIG.to_owned(), pretty(&config.into()));
        }
        files.0.insert(WEIGHTS.to_owned(), weights::write(&self.decoder.merged().map_err(TensorFault)?, dtype)?);
        Ok(files)
    }

    /// Returns the files that text is turned into tokens with: what lies beside an adapter.
    pub fn tokenizer_files(&self) -> ModelFiles {
        let mut files = self.files.clone();
        files.0.retain(|name, _| ![CONFIG, GENERATION_CONFIG].contains(&name.as_str()));
        files
    }

    /// Returns the number of all weights without an adapter's; a tied output layer counts once.
    pub fn n_parameters(&self) -> usize {
        self.decoder.n_parameters()
    }

    /// The text to tokens and back.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.chat.tokenizer
    }

    /// What it says of a sequence.
    pub fn head(&self) -> Head {
        self.decoder.config.head
    }

    /// Longest sequence in tokens, prompt and answer together.
    pub fn max_positions(&self) -> usize {
        self.decoder.config.shape.max_positions
    }

    /// Returns what the chat template makes of a conversation, with the cue for an answer where asked.
    ///
    /// # Errors
    /// When the model has no template, or the template refuses the conversation.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, EncodeError> {
        self.chat.render(messages, add_generation_prompt)
    }

    /// Returns the tokens that an answer to `messages` is generated from, exactly one beginning and the cue included.
    ///
    /// # Errors
    /// When the template refuses the conversation, or a text holds a control token.
    pub fn encode(&self, messages: &[Message]) -> Result<Vec<u32>, EncodeError> {
        self.chat.encode_whole(messages, true)
    }

    /// Returns a row as the tokens that a run would train on, cut to `max_length` (the model's positions when none).
    ///
    /// # Errors
    /// When the row is of another kind than the objective's or cannot become tokens.
    pub fn sequences(
        &self,
        row: &RowContent,
        objective: &dyn Objective,
        max_length: Option<usize>,
    ) -> Result<Vec<Sequence>, EncodeError> {
        let max_length = max_length.unwrap_or(self.max_positions());
        objective.encode(row, Encoder { chat: &self.chat, max_length })
    }

    /// Says in what another model cannot have been trained from this one: another architecture or size, numbers that are
    /// not finite; none when it can.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn differs_from(&self, other: &Self) -> Result<Option<String>, TensorFault> {
        let (ours, theirs) = (&self.decoder, &other.decoder);
        for (ours, theirs) in ours.parameters.iter().zip(&theirs.parameters) {
            let (name, expected, found) = (ours.name(), ours.dims(), theirs.dims());
            if name != theirs.name() || expected != found {
                let other = theirs.name();
                return Ok(Some(format!("it has `{other}` of {found:?}, expected `{name}` of {expected:?}")));
            }
            // A sum is finite only where every number is.
            if !theirs.tensor()?.sum_all()?.to_scalar::<f32>()?.is_finite() {
                return Ok(Some(format!("its `{name}` holds numbers that are not finite")));
            }
        }
        Ok((ours.config != theirs.config).then(|| "its `config.json` describes another decoder".to_owned()))
    }

    /// Whether every weight of another model of the same shape is the same to the last bit, adapters merged.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn has_weights_of(&self, other: &Self) -> Result<bool, TensorFault> {
        let numbers = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        for (ours, theirs) in self.decoder.merged()?.iter().zip(&other.decoder.merged()?) {
            if numbers(&ours.tensor()?)? != numbers(&theirs.tensor()?)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the logits of every position of a sequence, `[tokens, vocabulary]` row by row.
    ///
    /// # Errors
    /// When a token is beyond the vocabulary.
    pub fn logits(&self, tokens: &[u32]) -> Result<Vec<f32>, TensorFault> {
        let (tape, mut attention) = (Tape::idle(), self.decoder.causal(Arc::from([0, tokens.len()])));
        let hidden = self.decoder.hidden(&tape, &Arc::from(tokens), &mut attention, (Products::Blocked, None))?;
        Ok(self.decoder.logits(&hidden, Products::Blocked)?.flatten_all()?.to_vec1()?)
    }
}

fn owned((name, bytes): (&String, &Vec<u8>)) -> (String, Vec<u8>) {
    (name.clone(), bytes.clone())
}

fn number((key, id): (&str, u32)) -> (String, serde_json::Value) {
    (key.to_owned(), id.into())
}

pub(crate) fn pretty(value: &serde_json::Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}
