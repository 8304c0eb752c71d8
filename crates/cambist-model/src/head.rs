//! What a model says of a sequence: its next token, or one number.

use serde_json::json;

use crate::{
    config::{ConfigError, DecoderConfig},
    decoder::Decoder,
    fault::TensorFault,
    model::{LocalModel, ModelError, pretty},
    model_files::{CONFIG, ModelFiles},
    weights,
};

/// What stands at the end of a decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Head {
    /// An output layer: the likelihood of each next token (`...ForCausalLM`).
    #[default]
    Language,
    /// One row of weights: a reward of the whole sequence, read at its last token (`...ForSequenceClassification` with
    /// one label).
    Reward,
}

impl Head {
    /// Names it to a reader.
    pub fn name(self) -> &'static str {
        match self {
            Self::Language => "a language model's head",
            Self::Reward => "a reward head",
        }
    }
}

impl LocalModel {
    /// Returns the model with a reward head in place of a language model's, as `transformers` names such models; the
    /// head is new, drawn as [`LocalModel::new`] draws, and an adapter becomes part of the weights. A model with a
    /// reward head stays as it is.
    ///
    /// # Errors
    /// When `transformers` has no such models of the family.
    pub fn with_reward_head(self, seed: u64) -> Result<Self, ModelError> {
        if self.head() == Head::Reward {
            return Ok(self);
        }
        let (decoder, files) = self.headed(seed)?;
        Ok(Self { decoder, chat: self.chat, files })
    }

    /// Returns the decoder of a language model with a new reward head, and the files that go with it.
    pub(crate) fn headed(&self, seed: u64) -> Result<(Decoder, ModelFiles), ModelError> {
        let old = &self.decoder.config;
        let name = old.family.classifier.ok_or(ModelError::NoClassifier(old.family.model_type))?;
        let mut config_json = self.files.json(CONFIG).map_err(ConfigError::from)?;
        config_json.remove("num_labels");
        config_json.insert("architectures".to_owned(), json!([name]));
        config_json.insert("id2label".to_owned(), json!({"0": "LABEL_0"}));
        config_json.insert("label2id".to_owned(), json!({"LABEL_0": 0}));
        // `transformers` scores no batch without it.
        if let Some(pad) = self.chat.pad.filter(|_| old.pad_token.is_none()) {
            config_json.insert("pad_token_id".to_owned(), pad.into());
        }
        let config = DecoderConfig::read(&config_json)?;
        let merged = self.decoder.merged().map_err(TensorFault)?;
        let decoder = Decoder::new(config.clone(), weights::refit(&config, merged, seed)?);
        let mut files = self.files.clone();
        files.0.insert(CONFIG.to_owned(), pretty(&config_json.into()));
        Ok((decoder, files))
    }
}
