//! Names of many calls to one voice: what their requests share is encoded once.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use cambist_core::{
    digest::Digest,
    prompt::{Message, Prompt, Role},
};
use cambist_io::{
    canonical::{TextFrame, canonical_json},
    dialect::identity::{put_seed_name, seed_of},
    ledger::put_call_name,
};
use cambist_model::Sampling;
use serde_json::Value;

use super::voices::{Speaker, Voice};
use crate::error::PipelineError;

/// Turns of the longest conversation whose frame is kept: two bits of a number for each role.
const MOST_TURNS: usize = 31;

/// Frames that are kept, one for each order of roles.
const MOST_FRAMES: usize = 256;

/// Names calls to one voice with one sampling, as [`Voice::question`] does, without making their requests.
pub(super) struct Naming<'v> {
    voice: &'v Voice,
    sampling: &'v Sampling,
    /// By the order of the roles; none where requests have no frame.
    frames: RwLock<HashMap<u64, Option<Arc<TextFrame>>>>,
}

impl<'v> Naming<'v> {
    /// Of nothing yet.
    pub(super) fn new(voice: &'v Voice, sampling: &'v Sampling) -> Self {
        Self { voice, sampling, frames: RwLock::default() }
    }

    /// Returns the name of the call for answer `sample` to `prompt`; none for recorded answers, which nobody is asked
    /// for.
    pub(super) fn key(&self, prompt: &Prompt, sample: u32) -> Result<Option<Digest>, PipelineError> {
        let mut names = Names::default();
        names.push(self, (prompt, sample))?;
        Ok(names.keys().pop().flatten())
    }

    /// Hands a writer of the request's canonical text to `take`; false for recorded answers.
    fn with_text(
        &self,
        prompt: &Prompt,
        take: impl FnOnce(&str, &dyn Fn(&mut Vec<u8>)),
    ) -> Result<bool, PipelineError> {
        let Some(endpoint) = self.voice.endpoint() else { return Ok(false) };
        let messages = prompt.messages.as_slice();
        if let Some(frame) = self.frame(messages) {
            let texts: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
            take(endpoint, &|into| frame.fill(&texts, into));
            return Ok(true);
        }
        let Some(request) = self.voice.request(messages, self.sampling)? else { return Ok(false) };
        let text = canonical_json(&request);
        take(endpoint, &|into| into.extend_from_slice(text.as_bytes()));
        Ok(true)
    }

    fn frame(&self, messages: &[Message]) -> Option<Arc<TextFrame>> {
        if messages.len() > MOST_TURNS {
            return None;
        }
        let order = messages.iter().fold(1, |order, message| order << 2 | message.role as u64);
        if let Some(known) = self.frames.read().unwrap_or_else(PoisonError::into_inner).get(&order) {
            return known.clone();
        }
        let roles: Vec<Role> = messages.iter().map(|message| message.role).collect();
        let made = TextFrame::of(roles.len(), |texts| self.framed(&roles, texts)).map(Arc::new);
        let mut frames = self.frames.write().unwrap_or_else(PoisonError::into_inner);
        if frames.len() < MOST_FRAMES {
            frames.insert(order, made.clone());
        }
        made
    }

    /// The request with these texts; none where texts go through a chat template first, which may change them.
    fn framed(&self, roles: &[Role], texts: &[String]) -> Option<Value> {
        let is_rendered = matches!(&self.voice.speaker, Speaker::Remote(remote) if remote.chat_format().is_some());
        if is_rendered {
            return None;
        }
        let message = |(role, text): (&Role, &String)| Message { role: *role, content: text.clone() };
        let messages: Vec<Message> = roles.iter().zip(texts).map(message).collect();
        // What cannot be encoded is told when it is asked for with its own texts.
        self.voice.request(&messages, self.sampling).ok().flatten()
    }
}

/// Calls whose names are made together: digests of many are cheaper than each by itself.
#[derive(Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    /// Where the bytes of each call end; none where nobody is asked.
    ends: Vec<Option<usize>>,
}

impl Names {
    /// Forgets all calls and keeps the room that they took.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds the call for answer `sample` to a prompt.
    pub(super) fn push(&mut self, naming: &Naming<'_>, (prompt, sample): (&Prompt, u32)) -> Result<(), PipelineError> {
        let put =
            |endpoint: &str, text: &dyn Fn(&mut Vec<u8>)| put_call_name(&mut self.bytes, (endpoint, sample), text);
        let is_asked = naming.with_text(prompt, put)?;
        self.ends.push(is_asked.then_some(self.bytes.len()));
        Ok(())
    }

    /// Adds what [`seed_of`](cambist_io::dialect::identity::seed_of) the call's key is read from: a name beside it.
    pub(super) fn push_seed(
        &mut self,
        naming: &Naming<'_>,
        (prompt, sample): (&Prompt, u32),
    ) -> Result<(), PipelineError> {
        let seed = naming.sampling.seed;
        let put = |_: &str, text: &dyn Fn(&mut Vec<u8>)| put_seed_name(&mut self.bytes, (seed, sample), text);
        let is_asked = naming.with_text(prompt, put)?;
        self.ends.push(is_asked.then_some(self.bytes.len()));
        Ok(())
    }

    /// Returns keys and seeds of calls that were added as pairs of a key and a seed; none for recorded answers.
    pub(super) fn keys_and_seeds(&self) -> impl Iterator<Item = Option<(Digest, u32)>> {
        let mut keys = self.keys().into_iter();
        std::iter::from_fn(move || {
            let (key, seed) = (keys.next()?, keys.next()?);
            Some(key.zip(seed.as_ref().map(seed_of)))
        })
    }

    /// Returns the names in the order of the calls; none for recorded answers.
    pub(super) fn keys(&self) -> Vec<Option<Digest>> {
        let mut start = 0;
        let cut = |end: &usize| &self.bytes[std::mem::replace(&mut start, *end)..*end];
        let mut keys = Digest::of_each(&self.ends.iter().flatten().map(cut).collect::<Vec<_>>()).into_iter();
        self.ends.iter().map(|end| end.and_then(|_| keys.next())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use cambist_core::{language::Language, teacher::Price};

    use super::*;
    use crate::{
        recipe::Recipe,
        verbs::{remote::Remote, voices::Question},
    };

    /// Teachers of every dialect that takes turns, with all that a recipe may say of a request.
    const POOL: &str = r#"
name: names
pool:
- {id: a, license: MIT, endpoint: {base_url: "http://127.0.0.1:9", model: m}}
- {id: b, license: MIT, endpoint: {base_url: "http://127.0.0.1:9", model: m, dialect: anthropic},
   request: {system: "Say \"Hallo\"."}}
- {id: c, license: MIT, endpoint: {base_url: "http://127.0.0.1:9", model: m, dialect: cohere}}
- {id: d, license: MIT, endpoint: {base_url: "http://127.0.0.1:9", model: m, extra_body: {top_p: null, user: "<cambist text 0>"}},
   request: {system: Kurz., sampling: {temperature: 0.7, stop: ["\n\n"]}}}
- {id: e, license: MIT, endpoint: {base_url: "http://127.0.0.1:9", model: m, extra_body: {messages: [], top_k: 3}}}
steps:
- {id: prompts, prompts: {file: p.jsonl}}
- {id: answers, generate: {prompts: prompts, router: all}}
"#;

    fn voices() -> Vec<Voice> {
        let recipe = Recipe::parse("names.yaml", POOL, &[]).unwrap();
        let voice = |member| {
            let speaker = Speaker::Remote(Box::new(Remote::open(&recipe, Path::new("."), member).unwrap()));
            Voice { name: member.id.clone(), price: Price::default(), speaker }
        };
        recipe.pool.iter().map(voice).collect()
    }

    fn prompt(roles: &[Role], texts: &[&str]) -> Prompt {
        let turn = |(role, text): (&Role, &&str)| Message { role: *role, content: (*text).to_owned() };
        Prompt {
            id: "p".to_owned(),
            source_id: "p".to_owned(),
            language: Language::parse("de").unwrap(),
            answer_language: None,
            messages: roles.iter().zip(texts).map(turn).collect(),
            task: None,
            reference: None,
            check: None,
            source: String::new(),
            origin: None,
            mt_engine: None,
        }
    }

    #[test]
    fn calls_are_named_as_their_requests_are() {
        let texts = ["Wie \"spät\"\n\u{1}\\ ist es?", "", "<cambist text 0>", "日本語 \u{2028} 👍"];
        let orders: [&[Role]; 5] = [
            &[Role::User],
            &[Role::System, Role::User],
            &[Role::User, Role::User, Role::Assistant, Role::User],
            &[Role::User, Role::Tool, Role::User],
            &[],
        ];
        let sampling = Sampling { seed: 7, ..Sampling::default() };
        for voice in voices() {
            let naming = Naming::new(&voice, &sampling);
            for turn in 0..texts.len() {
                for roles in orders {
                    let mut texts = texts;
                    texts.rotate_left(turn);
                    let asked = prompt(roles, &texts);
                    for sample in [0, 12] {
                        let Question { key, seed, .. } = voice.question(&asked, (&sampling, sample)).unwrap().unwrap();
                        let mut names = Names::default();
                        names.push(&naming, (&asked, sample)).unwrap();
                        names.push_seed(&naming, (&asked, sample)).unwrap();
                        let named: Vec<_> = names.keys_and_seeds().collect();
                        assert_eq!(named, [Some((key.clone(), seed))], "{} {roles:?}", voice.name);
                        assert_eq!(naming.key(&asked, sample).unwrap(), Some(key));
                    }
                }
            }
            let n_framed = naming.frames.read().unwrap().values().flatten().count();
            // `d` holds a mark of its own and `e` no messages: only requests without turns have a frame there.
            let expected = if ["d", "e"].contains(&voice.name.as_str()) { 1 } else { orders.len() };
            assert_eq!(n_framed, expected, "{}", voice.name);
        }
    }
}
