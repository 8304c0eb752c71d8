//! An arbiter behind a server: a reward model in any dialect, or a model asked as a judge of one answer, of two, or of
//! all answers to a prompt.

use std::sync::Arc;

use cambist_core::{
    digest::Digest,
    language::Language,
    prompt::{Message, Prompt},
    teacher::Price,
};
use cambist_io::{
    dialect::{
        decode::decode,
        encode::{self, encode_body},
        identity::{endpoint_identity, seed_for},
        judge::{
            JudgeMode,
            prompt::{JudgeQuestion, judge_prompt},
            verdict::{JudgeVerdict, read_verdict},
        },
        probe::ServerFacts,
        request::{EncodeOptions, RenderedPrompt, RequestSampling, TeacherRequest, Thinking},
        reward::{
            RewardDialect, RewardInput, RewardOptions,
            activation::{ActivationVerdict, ProbedPair, judge_activation},
            decode::{NoReward, decode_rewards},
            encode::encode_reward_body,
            probe_pairs::PROBE_PAIRS,
        },
        teacher::{KeyHeader, TeacherDialect},
    },
    endpoint::Endpoint,
    exchange::{Exchange, Failure, FailureClass, HttpCall, HttpReply, TokenEstimate},
    ledger::{ScoreRecord, score_key},
    transport::{Client, LaneOptions},
};
use cambist_model::ChatFormat;
use serde_json::{Value, json};

use super::{
    contest::Showing,
    remote::{chat_format, estimated_tokens},
    scoring::{Candidate, candidate_digest},
};
use crate::{
    error::PipelineError,
    plan::Plan,
    recipe::{self, Compare, JudgeManner},
    run::Workshop,
};

/// Likeliest tokens among which the two labels of a verdict are looked for.
const N_LOGPROBS: u32 = 5;

/// An arbiter behind a server.
pub(super) struct RemoteArbiter {
    name: String,
    endpoint: Endpoint,
    identity: String,
    chat_format: Option<ChatFormat>,
    max_chars: Option<usize>,
    batch: usize,
    probes: bool,
    /// How it is shown answers side by side; none for an arbiter of one answer at a time.
    showing: Option<Showing>,
    wire: Arc<Wire>,
}

/// What every request to one arbiter shares.
struct Wire {
    model: String,
    kind: Kind,
    price: Option<Price>,
}

enum Kind {
    Reward { dialect: RewardDialect, options: RewardOptions },
    Judge { dialect: TeacherDialect, mode: JudgeMode, sampling: RequestSampling },
}

impl RemoteArbiter {
    /// Reads what the recipe says of the arbiter; none when no server is named.
    pub(super) fn open(declared: &recipe::Arbiter, plan: &Plan) -> Result<Option<Self>, PipelineError> {
        let Some(endpoint) = declared.endpoint.clone() else { return Ok(None) };
        let mend = |error: String| PipelineError::input(&declared.id, error, "change `endpoint.dialect`");
        let kind = match &declared.judge {
            Some(judge) => Kind::Judge {
                dialect: TeacherDialect::ALL
                    .into_iter()
                    .find(|dialect| dialect.name() == endpoint.dialect)
                    .ok_or_else(|| mend(format!("`{}` is no dialect of a judge", endpoint.dialect)))?,
                mode: judge.mode,
                sampling: judge_sampling(judge),
            },
            None => Kind::Reward {
                dialect: RewardDialect::parse(&endpoint.dialect).map_err(|error| mend(error.to_string()))?,
                options: declared.reward.options.clone(),
            },
        };
        // A verdict is the same whatever else is compared, and in how many orders.
        let judge = declared.judge.clone();
        let judge = judge.map(|judge| JudgeManner { compare: Compare::All, double: false, ..judge });
        let settings = json!({ "judge": judge, "reward": declared.reward });
        let identity = format!(
            "{} {}",
            endpoint_identity(&endpoint, &endpoint.dialect, &ServerFacts::default()),
            Digest::of_bytes(settings.to_string().as_bytes()).short()
        );
        let tokenizer = declared.reward.tokenizer.as_deref();
        Ok(Some(Self {
            name: declared.id.clone(),
            identity,
            chat_format: tokenizer.map(|path| chat_format(&plan.folder.join(path))).transpose()?,
            max_chars: declared.reward.max_chars,
            batch: declared.reward.batch,
            probes: declared.reward.probe && declared.judge.is_none(),
            showing: declared.judge.as_ref().and_then(|judge| Showing::of(judge, plan.recipe.seed)),
            wire: Arc::new(Wire { model: endpoint.model.clone(), kind, price: declared.price }),
            endpoint,
        }))
    }

    /// Its name in the recipe.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What names it in the ledger.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// Where it is.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The name of a candidate's score in the ledger.
    pub(super) fn key(&self, candidate: &Digest) -> Digest {
        score_key(candidate, &self.identity)
    }

    /// How a judge is asked; none for a reward model.
    pub(super) fn judge_dialect(&self) -> Option<TeacherDialect> {
        match &self.wire.kind {
            Kind::Judge { dialect, .. } => Some(*dialect),
            Kind::Reward { .. } => None,
        }
    }

    /// How it is shown answers side by side; none for an arbiter of one answer at a time.
    pub(super) fn showing(&self) -> Option<&Showing> {
        self.showing.as_ref()
    }

    /// Names a comparison by what the judge reads: the texts in this order, and who wrote them nowhere.
    pub(super) fn comparison_digest(&self, prompt: &Prompt, answers: &[&str]) -> Digest {
        let turns = match &self.wire.kind {
            Kind::Judge { mode, .. } => judge_turns(*mode, prompt, answers),
            Kind::Reward { .. } => Vec::new(),
        };
        let read = turns.iter().map(|turn| turn.content.as_bytes());
        Digest::of_parts(["cambist comparison".as_bytes()].into_iter().chain(read))
    }

    /// The verdict that the ledger keeps as `value`; none for a reward model.
    pub(super) fn verdict(&self, value: f64) -> Option<JudgeVerdict> {
        match &self.wire.kind {
            Kind::Judge { mode, .. } => Some(JudgeVerdict::of_value(*mode, value)),
            Kind::Reward { .. } => None,
        }
    }

    /// Whether it is asked whether its values are raw rewards.
    pub(super) fn probes(&self) -> bool {
        self.probes
    }

    /// Whether nobody has to be asked again: there is a value, or a comparison that no judge could ever read.
    pub(super) fn is_settled(&self, record: &ScoreRecord) -> bool {
        let failed_for_good = || record.failure_class.is_some_and(|class| !class.may_pass());
        record.value.is_some() || (self.showing.is_some() && failed_for_good())
    }

    /// How its key is sent.
    pub(super) fn key_header(&self) -> KeyHeader {
        match &self.wire.kind {
            Kind::Judge { dialect, .. } => dialect.key_header(),
            Kind::Reward { .. } => KeyHeader::Bearer,
        }
    }

    /// Makes requests of answers; an answer that is too long for the arbiter comes back with the reason.
    pub(super) fn batches(&self, candidates: Vec<Candidate>) -> Result<Vec<Prepared>, PipelineError> {
        let mut prepared = Vec::new();
        let mut fitting = Vec::new();
        for candidate in candidates {
            match self.overlong(&candidate) {
                Some(reason) => prepared.push(Err((candidate, reason))),
                None => fitting.push(candidate),
            }
        }
        let (size, by_prompt) = match &self.wire.kind {
            Kind::Judge { .. } => (1, false),
            Kind::Reward { dialect, .. } => {
                (self.batch.min(dialect.max_batch(self.chat_format.is_some())).max(1), dialect.one_prompt_a_request())
            }
        };
        if by_prompt {
            fitting.sort_by(|a, b| a.prompt.id.cmp(&b.prompt.id));
        }
        let mut fitting = fitting.into_iter().peekable();
        while let Some(first) = fitting.next() {
            let mut batch = vec![first];
            while batch.len() < size
                && let Some(next) = fitting.next_if(|next| !by_prompt || next.prompt.id == batch[0].prompt.id)
            {
                batch.push(next);
            }
            prepared.push(Ok(self.batch_of(batch)?));
        }
        Ok(prepared)
    }

    fn overlong(&self, candidate: &Candidate) -> Option<String> {
        let limit = self.max_chars?;
        let turns = candidate.prompt.messages.iter().map(|turn| &turn.content);
        let n_chars: usize =
            turns.chain([&candidate.text]).chain(&candidate.rivals).map(|text| text.chars().count()).sum();
        (n_chars > limit).then(|| format!("overlong: {n_chars} characters, the arbiter reads {limit}"))
    }

    fn batch_of(&self, candidates: Vec<Candidate>) -> Result<ScoreBatch, PipelineError> {
        let refused =
            |error: String| PipelineError::input(&self.name, error, "change the arbiter's `endpoint` or `reward`");
        let body = match &self.wire.kind {
            Kind::Reward { dialect, options } => {
                let inputs = candidates.iter().map(|candidate| self.input(candidate)).collect::<Result<Vec<_>, _>>()?;
                encode_reward_body(*dialect, &self.wire.model, &inputs, options)
                    .map_err(|error| refused(error.to_string()))?
            }
            Kind::Judge { dialect, mode, sampling } => {
                let request = judge_request((&candidates[0], *mode), (&self.wire.model, sampling));
                encode_body(*dialect, &request, EncodeOptions::default()).map_err(|error| refused(error.to_string()))?
            }
        };
        Ok(ScoreBatch { candidates, body, wire: self.wire.clone() })
    }

    fn input(&self, candidate: &Candidate) -> Result<RewardInput, PipelineError> {
        let mut messages = candidate.prompt.messages.clone();
        messages.push(Message::assistant(candidate.text.clone()));
        let Some(format) = &self.chat_format else { return Ok(RewardInput { messages, rendered: None }) };
        let refused = |error: cambist_model::EncodeError| {
            PipelineError::input(&self.name, error.to_string(), "mend the template in `reward.tokenizer`")
        };
        let text = format.render(&messages, false).map_err(refused)?;
        let ids = format.encode(&text).map_err(refused)?;
        Ok(RewardInput { messages, rendered: Some(RenderedPrompt { text, ids }) })
    }

    /// Asks a reward model about pairs of a good and an awful answer, and refuses one that does not give raw rewards.
    pub(super) fn probe(&self, workshop: &Workshop<'_>, client: &Client) -> Result<(), PipelineError> {
        if !self.probes {
            return Ok(());
        }
        let mut candidates = Vec::new();
        for pair in PROBE_PAIRS {
            for text in [pair.good, pair.awful] {
                let prompt = probe_prompt(pair.language, pair.prompt)?;
                let digest = candidate_digest(&prompt, text);
                let (teacher, text) = ("probe".to_owned(), text.to_owned());
                candidates.push(Candidate { prompt, teacher, text, rivals: Vec::new(), digest });
            }
        }
        let digests: Vec<Digest> = candidates.iter().map(|candidate| candidate.digest.clone()).collect();
        let rewards = self.ask_now(workshop, client, candidates)?;
        let reward = |digest: &Digest| {
            let found = rewards.iter().find(|(other, _)| other == digest).map(|(_, reward)| reward.clone());
            found.unwrap_or_else(|| Err(NoReward::NotANumber { found: "no reward".to_owned() }))
        };
        let pairs: Vec<ProbedPair> = PROBE_PAIRS
            .iter()
            .zip(digests.chunks(2))
            .map(|(pair, digests)| ProbedPair {
                language: pair.language.to_owned(),
                good: reward(&digests[0]),
                awful: reward(&digests[1]),
            })
            .collect();
        match judge_activation(&pairs) {
            ActivationVerdict::Raw { .. } => Ok(()),
            refused => Err(PipelineError::Arbiter { arbiter: self.name.clone(), why: refused.to_string() }),
        }
    }

    fn ask_now(
        &self,
        workshop: &Workshop<'_>,
        client: &Client,
        candidates: Vec<Candidate>,
    ) -> Result<Vec<ProbedReward>, PipelineError> {
        let options = LaneOptions { queue: 64, cap: None, stop: workshop.runtime.calls.clone() };
        let (submit, outcomes) = client.lane::<ScoreBatch>(options);
        for batch in self.batches(candidates)?.into_iter().flatten() {
            if let Err(closed) = submit.send(batch) {
                return Err(PipelineError::Endpoint { teacher: self.name.clone(), failure: Box::new(closed.failure) });
            }
        }
        drop(submit);
        let mut rewards = Vec::new();
        for settled in outcomes {
            let scored = settled.outcome.map_err(|failure| PipelineError::Endpoint {
                teacher: self.name.clone(),
                failure: Box::new(failure),
            })?;
            let digests = settled.exchange.candidates.into_iter().map(|candidate| candidate.digest);
            rewards.extend(digests.zip(scored.raw));
        }
        Ok(rewards)
    }
}

/// The reward of a probe's answer, by the answer's name.
type ProbedReward = (Digest, Result<f64, NoReward>);

fn probe_prompt(language: &str, text: &str) -> Result<Prompt, PipelineError> {
    let language = Language::parse(language).map_err(|error| PipelineError::Internal(error.to_string()))?;
    Ok(Prompt {
        id: "probe".into(),
        source_id: "probe".into(),
        language,
        answer_language: None,
        messages: vec![Message::user(text)],
        task: None,
        reference: None,
        check: None,
        source: String::new(),
        origin: None,
        mt_engine: None,
    })
}

/// One token and what else it might have been, where log-probabilities are read; as the recipe says elsewhere.
fn judge_sampling(judge: &JudgeManner) -> RequestSampling {
    let asked = judge.sampling.clone();
    match judge.mode {
        JudgeMode::PairLogprob => {
            let logprobs = asked.logprobs.or(Some(N_LOGPROBS));
            RequestSampling { max_tokens: judge.max_tokens(), logprobs, ..asked }
        }
        _ => asked,
    }
}

fn judge_turns(mode: JudgeMode, prompt: &Prompt, answers: &[&str]) -> Vec<Message> {
    let question = JudgeQuestion {
        language: prompt.expected_language(),
        instruction: prompt.instruction(),
        answers,
        reference: prompt.reference.as_deref(),
    };
    judge_prompt(mode, &question)
}

fn judge_request(
    (candidate, mode): (&Candidate, JudgeMode),
    (model, sampling): (&str, &RequestSampling),
) -> TeacherRequest {
    let answers: Vec<&str> = [&candidate.text].into_iter().chain(&candidate.rivals).map(String::as_str).collect();
    TeacherRequest {
        messages: judge_turns(mode, &candidate.prompt, &answers),
        model: model.to_owned(),
        sampling: sampling.clone(),
        ..TeacherRequest::default()
    }
}

/// A request, or an answer that cannot be in one with the reason.
pub(super) type Prepared = Result<ScoreBatch, (Candidate, String)>;

/// Answers that are scored by one request.
pub(super) struct ScoreBatch {
    /// The answers, in the order of the request.
    pub candidates: Vec<Candidate>,
    body: Value,
    wire: Arc<Wire>,
}

/// The scores of one request, in its order.
pub(super) struct ScoredBatch {
    /// A value, or why there is none.
    pub values: Vec<Result<f64, String>>,
    /// The same as the dialect read it, for the probe.
    pub raw: Vec<Result<f64, NoReward>>,
    /// Tokens read and written for all, as the server counts them.
    pub tokens: (Option<u32>, Option<u32>),
    /// USD for all; none when nobody can tell.
    pub cost_usd: Option<f64>,
}

impl Exchange for ScoreBatch {
    type Answer = ScoredBatch;

    fn call(&self, attempt: u32) -> HttpCall {
        match &self.wire.kind {
            Kind::Reward { dialect, .. } => HttpCall::post_json(dialect.path(), &self.body),
            Kind::Judge { dialect, .. } => {
                let mut body = self.body.clone();
                // A verdict that nobody can read is asked for again with another seed.
                encode::put_seed(*dialect, &mut body, seed_for(0, &self.body, attempt));
                encode::call(*dialect, &body)
            }
        }
    }

    fn read(&mut self, reply: &HttpReply) -> Result<ScoredBatch, Failure> {
        match &self.wire.kind {
            Kind::Reward { dialect, options } => {
                let raw = decode_rewards(*dialect, options, self.candidates.len(), reply)?;
                let values = raw.iter().map(|reward| reward.clone().map_err(|error| error.to_string())).collect();
                let counted = counted_tokens(reply);
                Ok(ScoredBatch { values, raw, tokens: (counted, None), cost_usd: Some(self.cost(counted)) })
            }
            Kind::Judge { dialect, mode, .. } => {
                let answer = decode(*dialect, Thinking::Strip, reply)?;
                let n_answers = 1 + self.candidates[0].rivals.len();
                let verdict = read_verdict(*mode, &answer, n_answers).ok_or_else(|| unread(*mode, &answer.text))?;
                Ok(ScoredBatch {
                    values: vec![Ok(verdict.value())],
                    raw: vec![Ok(verdict.value())],
                    tokens: (answer.usage.input, answer.usage.output),
                    cost_usd: self.wire.price.map_or(Some(0.0), |price| {
                        let usage = answer.usage;
                        usage.input.zip(usage.output).map(|(input, output)| price.of(Some(input), Some(output)))
                    }),
                })
            }
        }
    }

    /// A verdict that nobody can read is asked for again, the same way.
    fn mend(&mut self, failure: &Failure) -> bool {
        failure.class == FailureClass::Content
    }

    fn tokens(&self) -> TokenEstimate {
        let output_max = if let Kind::Judge { sampling, .. } = &self.wire.kind { sampling.max_tokens } else { 0 };
        TokenEstimate { input: estimated_tokens(&self.body), output_max }
    }

    fn tokens_done(&self, _answer: &ScoredBatch) -> u32 {
        self.tokens().input
    }

    fn worst_cost_usd(&self) -> Option<f64> {
        let TokenEstimate { input, output_max } = self.tokens();
        Some(self.wire.price.map_or(0.0, |price| price.of(Some(input), Some(output_max))))
    }

    fn cost_usd(&self, answer: &ScoredBatch) -> Option<f64> {
        answer.cost_usd
    }
}

/// Reward models say how many tokens they read, in one of two places, or nothing.
fn counted_tokens(reply: &HttpReply) -> Option<u32> {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
    let counted = body.pointer("/usage/prompt_tokens").or_else(|| body.pointer("/usage/total_tokens"));
    counted.and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok())
}

fn unread(mode: JudgeMode, text: &str) -> Failure {
    let shown: String = text.chars().rev().take(80).collect::<Vec<_>>().into_iter().rev().collect();
    let wanted = if mode.is_pair() || mode.is_listwise() { "verdict" } else { "grade" };
    let reason = format!("no {wanted} where `{}` has one; the answer ends in `{shown}`", mode.name());
    Failure::new(FailureClass::Content, reason)
}

impl ScoreBatch {
    fn cost(&self, counted: Option<u32>) -> f64 {
        let Some(price) = self.wire.price else { return 0.0 };
        price.of(Some(counted.unwrap_or_else(|| self.tokens().input)), None)
    }
}
