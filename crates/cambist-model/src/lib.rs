//! Local models: students and local teachers, one decoder for all families, one trainer, batched generation.
//!
//! **The odd decision: no batch is ever padded.** Sequences lie behind one another in one long row of tokens;
//! attention knows where each begins, everything else treats tokens one by one.
//! *Why*: short rows of many lengths are what tiny models are trained on, and padding would be half the work; without
//! it there is no padding mask to get wrong, and an answer cannot depend on who was in the batch.
//! *The price*: attention is an operation of our own, with its own backward pass, as are the other fused operations.
//!
//! The second one: an [`Objective`] sees log-probabilities of tokens, never tensors.
//!
//! This crate never touches disk, network or clock, and never prints: bytes in, bytes out ([`ModelFiles`]).

mod model;
mod model_files;
mod shape;

mod chat;
mod chat_format;
mod config;
mod tokenizer;
mod weights;

mod adapter;
mod batch;
mod buffers;
mod decoder;
mod dtype;
mod family;
mod fault;
mod gguf;
mod head;
mod hidden;
mod layout;
mod log_prob;
mod ops;
mod recompute;
mod rope;
mod tape;

pub mod generate;
pub mod objective;
mod reward_model;
pub mod score;
pub mod train;
mod train_row;

pub use crate::{
    adapter::{AdapterError, LoraConfig, PROJECTIONS, merge::MergeReport},
    chat::{
        ChatError, Conversation, EncodeError,
        view::{TokenView, TokenizedText},
    },
    chat_format::ChatFormat,
    config::ConfigError,
    dtype::Dtype,
    fault::TensorFault,
    generate::{
        AnswerRequest, Drawn, GenerateRequest, Generated, Generation, generate, sampling::Sampling, text_offsets,
    },
    gguf::GgufError,
    head::Head,
    hidden::{NoLayer, Pooling, PromptEncoder},
    log_prob::TokenLogProb,
    model::{LocalModel, ModelError},
    model_files::{FileError, ModelFiles},
    objective::{
        Objective,
        kto::Kto,
        preference::{ChosenNll, IpoNormalization, NllReduction, Preference, PreferenceError, PreferenceLoss},
        pretrain::Pretrain,
        reward::BradleyTerry,
        sft::Sft,
    },
    reward_model::{NoReward, RewardModel, RewardModelError, RewardTokens},
    score::{
        AnswerLogProb, ChoiceLogProb, ChoiceQuestion, MeanLoss, choices, log_probs, mean_loss, sequence_log_probs,
    },
    shape::Shape,
    tokenizer::{Tokenizer, TokenizerError, train_tokenizer},
    train::{
        DroppedRow, Means, ReferenceRow, ReferenceSource, StateError, StepLog, TrainError, TrainSummary, Training,
        config::{Keep, OnEmptyMask, Schedule, TrainConfig},
        memory::MemoryNeed,
        observer::{HeldOutLog, Observer},
        run, train,
    },
    train_row::{RowContent, Sequence, TrainRow},
    weights::WeightsError,
};
