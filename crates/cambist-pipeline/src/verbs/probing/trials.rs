//! Small questions that show what a server does.

use cambist_io::{
    dialect::{
        answer::TeacherAnswer,
        probe::{ServerFacts, Shown, TOKENIZED, follows_schema, gives_n, keeps_seed, same_tokens, tokenize_call},
        teacher::TeacherDialect,
    },
    exchange::{Failure, FailureClass},
    store::{Trial, Trials},
    transport::Client,
};

use super::{
    Wish,
    look::{Page, ask},
};
use crate::{
    error::PipelineError,
    run::Workshop,
    verbs::remote::{Answered, Remote},
};

/// The seeds of trials.
const SEEDS: [u32; 2] = [11, 1213];

/// Makes trials of one teacher.
pub(super) struct Trying<'a> {
    /// The run.
    pub workshop: &'a Workshop<'a>,
    /// The teacher's name.
    pub name: &'a str,
    /// The teacher.
    pub remote: &'a Remote,
    /// The connection for trials.
    pub client: &'a Client,
    /// What the server says of itself.
    pub facts: &'a ServerFacts,
}

/// What making trials has come to, beside what they showed.
#[derive(Default)]
pub(super) struct Tried {
    /// USD, as far as it is known.
    pub cost_usd: f64,
    /// Why nothing can be asked, where that is so.
    pub failure: Option<Failure>,
}

impl Trying<'_> {
    /// Makes the trials that are wanted and were not made yet.
    pub(super) fn make(&self, trials: &mut Trials, wish: Wish) -> Result<Tried, PipelineError> {
        let mut tried = Tried::default();
        let is_new = |trials: &Trials, trial| trials.of(trial).is_none();
        let takes_n = self.remote.dialect().takes_n();
        if wish.everything {
            self.plainly(trials, &mut tried)?;
        }
        if tried.failure.is_some() {
            return Ok(tried);
        }
        let wants_n = (wish.several && self.remote.may_take_n()) || (wish.everything && takes_n);
        if wants_n && is_new(trials, Trial::N) {
            let came = self.ask((2, SEEDS[0], false), &mut tried)?;
            let came = came.as_ref().map(|answered| answered.shares.iter().flatten().count());
            trials.shown.insert(Trial::N, gives_n(2, came));
        }
        if self.remote.json_schema().is_some() && is_new(trials, Trial::JsonSchema) {
            let came = self.ask((1, SEEDS[0], true), &mut tried)?;
            let schema = self.remote.json_schema().unwrap_or(&serde_json::Value::Null);
            trials.shown.insert(Trial::JsonSchema, follows_schema(schema, came.as_ref().and_then(first_of)));
        }
        if wish.everything && self.remote.dialect().takes_seed() && is_new(trials, Trial::Seed) {
            let shown = self.seeds(&mut tried)?;
            trials.shown.insert(Trial::Seed, shown);
        }
        if self.remote.chat_format().is_some() && is_new(trials, Trial::Tokenizer) {
            trials.shown.insert(Trial::Tokenizer, self.tokens()?);
        }
        Ok(tried)
    }

    /// Asks for nothing special: what the length limit is called, and whether the key and the account will do.
    fn plainly(&self, trials: &mut Trials, tried: &mut Tried) -> Result<(), PipelineError> {
        match self.ask((1, SEEDS[0], false), tried)? {
            Ok(_) if self.remote.dialect() == TeacherDialect::OpenAiChat => {
                trials.length_field = Some(self.remote.length_field());
            }
            Ok(_) => {}
            // An empty answer of four tokens says nothing against the server.
            Err(failure) if matches!(failure.class, FailureClass::Empty | FailureClass::Stopped) => {}
            Err(failure) => tried.failure = Some(failure),
        }
        Ok(())
    }

    fn seeds(&self, tried: &mut Tried) -> Result<Shown, PipelineError> {
        let mut answers: Vec<TeacherAnswer> = Vec::new();
        for seed in [SEEDS[0], SEEDS[0], SEEDS[1]] {
            let Ok(answered) = self.ask((1, seed, false), tried)? else { return Ok(Shown::Unknown) };
            answers.extend(answered.shares.into_iter().flatten().map(|share| share.answer));
        }
        Ok(match answers.as_slice() {
            [once, again, other] => keeps_seed(once, again, other),
            _ => Shown::Unknown,
        })
    }

    /// Whether the server cuts texts of several languages into the same tokens as the recipe's tokenizer.
    fn tokens(&self) -> Result<Shown, PipelineError> {
        let Some(format) = self.remote.chat_format() else { return Ok(Shown::Unknown) };
        let refused = |error: cambist_model::EncodeError| {
            PipelineError::input(self.name, error.to_string(), "mend the tokenizer in `request.tokenizer`")
        };
        for text in TOKENIZED {
            let ids = format.encode(text).map_err(refused)?;
            let call = tokenize_call(self.facts.kind, &self.remote.endpoint().model, text);
            let Ok(reply) = ask((self.workshop, self.client), Page(call), None) else { return Ok(Shown::Unknown) };
            let shown = same_tokens(&ids, &reply);
            if shown != Shown::Yes {
                return Ok(shown);
            }
        }
        Ok(Shown::Yes)
    }

    fn ask(
        &self,
        (n, seed, as_json): (u32, u32, bool),
        tried: &mut Tried,
    ) -> Result<Result<Answered, Failure>, PipelineError> {
        let exchange = self.remote.trial(n, seed, as_json)?;
        let purse = self.workshop.purse(self.name);
        let outcome = ask((self.workshop, self.client), exchange, purse);
        if let Ok(answered) = &outcome {
            tried.cost_usd += answered.cost_usd.unwrap_or(0.0);
        }
        Ok(outcome)
    }
}

fn first_of(answered: &Answered) -> Result<&TeacherAnswer, &Failure> {
    // A reply without a good answer is a failure as a whole.
    answered.shares.iter().flatten().map(|share| &share.answer).next().ok_or(&NOTHING)
}

static NOTHING: Failure =
    Failure { class: FailureClass::Shape, reason: String::new(), status: None, retry_after: None };
