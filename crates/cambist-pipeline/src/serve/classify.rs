//! `/classify` of a model with a reward head, in vLLM's shape: one number for each input, higher is better.

use std::sync::{Arc, mpsc::Receiver};

use cambist_core::prompt::Message;
use cambist_io::serve::api::{AnswerSlot, ApiAnswer};
use cambist_model::{NoReward, RewardModel};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    prompts::{Prompts, Reading},
    refusal::Refusal,
    reply::{Head, usage},
    request::{Turn, message, parsed, read_body},
};

/// A request under way.
#[derive(Debug)]
pub(super) struct Classification {
    pub(super) inputs: Inputs,
    pub(super) head: Head,
    pub(super) slot: AnswerSlot,
}

/// What is to be scored.
#[derive(Debug)]
pub(super) struct Inputs {
    sequences: Vec<Arc<[u32]>>,
    /// Whether rewards go through a sigmoid.
    is_activated: bool,
}

#[derive(Debug, Deserialize)]
struct Body {
    #[serde(default)]
    input: Option<Prompts>,
    #[serde(default)]
    messages: Option<Vec<Turn>>,
    #[serde(default)]
    use_activation: Option<bool>,
    #[serde(default)]
    add_special_tokens: Option<bool>,
    #[serde(default)]
    add_generation_prompt: Option<bool>,
}

/// Inputs of one request at most.
const MAX_INPUTS: usize = 4096;

/// Requests that are scored together at most.
const MAX_TOGETHER: usize = 64;

/// Reads a body: one conversation as `messages`, or texts or token ids as `input`.
///
/// As with vLLM, a sigmoid goes over the one label unless `use_activation` is false.
pub(super) fn read((model, name): (&RewardModel, &str), body: &[u8]) -> Result<Inputs, Refusal> {
    let body: Body = parsed(&read_body(name, body)?)?;
    if body.add_generation_prompt == Some(true) {
        return Err(Refusal::unsupported("add_generation_prompt"));
    }
    let with_specials = body.add_special_tokens.unwrap_or(true);
    let (param, sequences): (&str, Vec<Arc<[u32]>>) = match (body.input, body.messages) {
        (Some(input), None) => {
            let (tokenizer, param) = (model.model().tokenizer(), "input");
            let prompts = input.read(Reading { tokenizer, param, with_specials, with_offsets: false })?;
            (param, prompts.into_iter().map(|prompt| prompt.tokens).collect())
        }
        (None, Some(turns)) => {
            let messages = turns.into_iter().enumerate().map(message).collect::<Result<Vec<Message>, _>>()?;
            let tokens = model.encode(&messages).map_err(|error| Refusal::prompt(&error, "messages"))?;
            ("messages", vec![tokens.into()])
        }
        _ => return Err(Refusal::wrong("input", "expected either `input`, texts or token ids, or `messages`")),
    };
    check(&sequences, (param, model.model().max_positions()))?;
    Ok(Inputs { sequences, is_activated: body.use_activation.unwrap_or(true) })
}

fn check(sequences: &[Arc<[u32]>], (param, max_positions): (&str, usize)) -> Result<(), Refusal> {
    if sequences.is_empty() || sequences.iter().any(|tokens| tokens.is_empty()) {
        return Err(Refusal::wrong(param, format!("`{param}` has no token")));
    }
    if sequences.len() > MAX_INPUTS {
        let found = sequences.len();
        return Err(Refusal::wrong(param, format!("`{param}` holds {found} inputs, expected at most {MAX_INPUTS}")));
    }
    match sequences.iter().map(|tokens| tokens.len()).max() {
        Some(longest) if longest > max_positions => Err(Refusal::too_long((longest, max_positions), param)),
        _ => Ok(()),
    }
}

/// Scores requests until nobody can ask any more; those that wait are scored together.
pub(super) fn run(model: &RewardModel, incoming: &Receiver<Classification>) {
    while let Ok(first) = incoming.recv() {
        let waiting = std::iter::once(first).chain(incoming.try_iter().take(MAX_TOGETHER - 1));
        let tasks: Vec<Classification> = waiting.filter(|task| !task.slot.is_abandoned()).collect();
        let all: Vec<Arc<[u32]>> = tasks.iter().flat_map(|task| &task.inputs.sequences).cloned().collect();
        match model.rewards_of_tokens(&all) {
            Ok(rewards) => {
                let mut rewards = rewards.into_iter();
                for task in tasks {
                    let own = rewards.by_ref().take(task.inputs.sequences.len()).collect();
                    task.finish(own);
                }
            }
            Err(fault) => {
                let refusal = Refusal::ours(format!("{fault}; please report this fault of cambist"));
                tasks.into_iter().for_each(|task| task.slot.fill(refusal.answer()));
            }
        }
    }
}

impl Classification {
    fn finish(self, rewards: Vec<Result<f64, NoReward>>) {
        let Self { inputs, head, slot } = self;
        let values: Result<Vec<f64>, NoReward> = rewards.into_iter().collect();
        let answer = match values {
            Ok(values) => ApiAnswer { status: 200, body: head.classes(&values, &inputs) },
            Err(error) => Refusal::ours(error.to_string()).answer(),
        };
        slot.fill(answer);
    }
}

impl Head {
    /// A reply of one label for each input.
    fn classes(&self, rewards: &[f64], inputs: &Inputs) -> Value {
        let class = |(index, reward): (usize, &f64)| {
            let value = if inputs.is_activated { 1.0 / (1.0 + (-reward).exp()) } else { *reward };
            json!({"index": index, "label": "LABEL_0", "probs": [value], "num_classes": 1})
        };
        let data: Vec<Value> = rewards.iter().enumerate().map(class).collect();
        let n_tokens = inputs.sequences.iter().map(|tokens| tokens.len()).sum();
        json!({
            "id": self.id, "object": "list", "created": self.created, "model": self.model, "data": data,
            "usage": usage(n_tokens, 0),
        })
    }
}
