//! Requests to reward models.

use serde_json::{Value, json};

use super::{RewardDialect, RewardInput, RewardOptions};
use crate::exchange::HttpCall;

/// Why inputs cannot be put into a dialect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewardEncodeError {
    /// The dialect takes rendered texts and one has none.
    #[error("the reward dialect `{dialect}` takes rendered texts: give the reward model's chat template")]
    NotRendered {
        /// The dialect.
        dialect: &'static str,
    },
    /// The dialect joins prompt and answer without a template.
    #[error(
        "the reward dialect `{dialect}` joins prompt and answer without a chat template, which is wrong for reward models of chats: use `vllm-classify`, or set `allow_pair_join`"
    )]
    PairJoin {
        /// The dialect.
        dialect: &'static str,
    },
    /// Answers to several prompts in one request.
    #[error(
        "the reward dialect `{dialect}` scores answers to one prompt a request, found several prompts: send one request for each"
    )]
    MixedPrompts {
        /// The dialect.
        dialect: &'static str,
    },
    /// More inputs than one request may hold, or none.
    #[error(
        "the reward dialect `{dialect}` takes 1 to {most} inputs of this kind a request, found {found}: send several requests"
    )]
    BatchSize {
        /// The dialect.
        dialect: &'static str,
        /// How many there may be.
        most: usize,
        /// How many there are.
        found: usize,
    },
    /// The dialect asks a language model for one of two tokens and they are not named.
    #[error("the reward dialect `{dialect}` needs `label_token_ids`: the ids of the tokens that mean good and bad")]
    NoLabels {
        /// The dialect.
        dialect: &'static str,
    },
}

/// Returns the request that scores `inputs`, in their order.
///
/// # Errors
/// When the dialect cannot say it.
pub fn encode_rewards(
    dialect: RewardDialect,
    model: &str,
    inputs: &[RewardInput],
    options: &RewardOptions,
) -> Result<HttpCall, RewardEncodeError> {
    Ok(HttpCall::post_json(dialect.path(), &encode_reward_body(dialect, model, inputs, options)?))
}

/// Returns the body of the request that scores `inputs`, in their order.
///
/// # Errors
/// As [`encode_rewards`].
pub fn encode_reward_body(
    dialect: RewardDialect,
    model: &str,
    inputs: &[RewardInput],
    options: &RewardOptions,
) -> Result<Value, RewardEncodeError> {
    check(dialect, inputs, options)?;
    let name = dialect.name();
    let not_rendered = || RewardEncodeError::NotRendered { dialect: name };
    let no_labels = || RewardEncodeError::NoLabels { dialect: name };
    let body = match dialect {
        RewardDialect::VllmClassify => vllm(model, inputs),
        RewardDialect::VllmPooling => {
            let mut body = vllm(model, inputs);
            body["task"] = json!("classify");
            body
        }
        RewardDialect::VllmScore => {
            let queries: Vec<String> = inputs.iter().map(query).collect();
            json!({"model": model, "queries": queries, "documents": answers(inputs), "use_activation": false})
        }
        RewardDialect::SglangClassify => {
            json!({"model": model, "text": texts(inputs, options).ok_or_else(not_rendered)?})
        }
        RewardDialect::SglangEmbeddings => {
            let input = all_ids(inputs).or_else(|| texts(inputs, options).map(|texts| json!(texts)));
            json!({"model": model, "input": input.ok_or_else(not_rendered)?})
        }
        RewardDialect::SglangScore => {
            let mut body = json!({"model": model, "query": first_query(inputs), "items": answers(inputs)});
            if let Some(ids) = options.label_token_ids {
                body["label_token_ids"] = json!(ids);
            }
            body["apply_softmax"] = json!(false);
            body
        }
        RewardDialect::NimChat => json!({"model": model, "messages": turns(inputs)}),
        RewardDialect::Openrlhf => json!({"query": texts(inputs, options).ok_or_else(not_rendered)?}),
        RewardDialect::TeiPredict => {
            let texts = texts(inputs, options).ok_or_else(not_rendered)?;
            let inputs: Vec<[String; 1]> = texts.into_iter().map(|text| [text]).collect();
            json!({"inputs": inputs, "raw_scores": true, "truncate": false})
        }
        RewardDialect::TeiRerank => {
            json!({"query": first_query(inputs), "texts": answers(inputs), "raw_scores": true, "truncate": false})
        }
        RewardDialect::VllmGenerativeScoring => json!({
            "model": model, "query": first_query(inputs), "items": answers(inputs),
            "label_token_ids": options.label_token_ids.ok_or_else(no_labels)?, "item_first": false,
        }),
    };
    Ok(body)
}

fn check(dialect: RewardDialect, inputs: &[RewardInput], options: &RewardOptions) -> Result<(), RewardEncodeError> {
    let name = dialect.name();
    let most = dialect.max_batch(inputs.iter().all(|input| input.rendered.is_some()));
    if !(1..=most).contains(&inputs.len()) {
        return Err(RewardEncodeError::BatchSize { dialect: name, most, found: inputs.len() });
    }
    if dialect == RewardDialect::VllmScore && !options.allow_pair_join {
        return Err(RewardEncodeError::PairJoin { dialect: name });
    }
    let prompt = |input: &RewardInput| input.messages.split_last().map(|(_, prompt)| prompt.to_vec());
    let is_mixed = inputs.windows(2).any(|pair| prompt(&pair[0]) != prompt(&pair[1]));
    if dialect.one_prompt_a_request() && is_mixed {
        return Err(RewardEncodeError::MixedPrompts { dialect: name });
    }
    Ok(())
}

/// vLLM takes ids, then no template and no second beginning-of-text token are in doubt; else texts, which carry both
/// already; else the turns of one input.
fn vllm(model: &str, inputs: &[RewardInput]) -> Value {
    let mut body = json!({"model": model});
    let rendered: Option<Vec<&str>> = inputs.iter().map(|i| i.rendered.as_ref().map(|r| r.text.as_str())).collect();
    match (all_ids(inputs), rendered) {
        (Some(ids), _) => body["input"] = ids,
        (None, Some(texts)) => {
            body["input"] = json!(texts);
            body["add_special_tokens"] = json!(false);
        }
        (None, None) => {
            body["messages"] = turns(inputs);
            body["add_generation_prompt"] = json!(false);
        }
    }
    body["use_activation"] = json!(false);
    body
}

/// The ids of every input, where all have them.
fn all_ids(inputs: &[RewardInput]) -> Option<Value> {
    let ids = |input: &RewardInput| input.rendered.as_ref().map(|r| &r.ids).filter(|ids| !ids.is_empty()).cloned();
    inputs.iter().map(ids).collect::<Option<Vec<_>>>().map(|ids| json!(ids))
}

/// The rendered texts of every input, where all have them, for servers that put the beginning-of-text token in.
fn texts(inputs: &[RewardInput], options: &RewardOptions) -> Option<Vec<String>> {
    let bos = options.bos.as_deref().unwrap_or_default();
    let text = |input: &RewardInput| {
        let text = &input.rendered.as_ref()?.text;
        Some(text.strip_prefix(bos).unwrap_or(text).to_owned())
    };
    inputs.iter().map(text).collect()
}

fn turns(inputs: &[RewardInput]) -> Value {
    inputs.first().map_or(Value::Null, |input| {
        input.messages.iter().map(|message| json!({"role": message.role, "content": message.content})).collect()
    })
}

/// The turns before the answer as plain text, a blank line between them.
fn query(input: &RewardInput) -> String {
    let prompt = input.messages.split_last().map(|(_, prompt)| prompt).unwrap_or_default();
    prompt.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n\n")
}

fn first_query(inputs: &[RewardInput]) -> String {
    inputs.first().map(query).unwrap_or_default()
}

fn answers(inputs: &[RewardInput]) -> Vec<&str> {
    inputs.iter().map(|input| input.messages.last().map_or("", |message| message.content.as_str())).collect()
}
