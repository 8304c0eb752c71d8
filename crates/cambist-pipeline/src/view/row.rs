//! One prompt with everything that is known of its answers, as JSON.

use cambist_core::{
    completion::Completion,
    digest::Digest,
    language::Language,
    prompt::{Prompt, Role},
};
use cambist_io::ledger::Ledger;
use serde_json::{Value, json};

use super::{
    View,
    index::{Entry, Slot, parse},
    query::Query,
};
use crate::error::PipelineError;

/// Characters of a prompt in a list.
const SNIPPET_CHARS: usize = 140;

impl View {
    /// A prompt in a list.
    pub(super) fn summary(&self, query: &Query, place: u32) -> Result<Value, PipelineError> {
        let entry = self.entry(place)?;
        let prompt: Prompt = parse(&self.shelves.rows.get(entry.prompt)?)?;
        let pick = query.pick(&self.index, place);
        let winner = entry.winner(pick);
        let language = &prompt.language;
        Ok(json!({
            "place": place, "id": entry.id, "language": language, "rtl": language.is_right_to_left(),
            "snippet": snippet(prompt.instruction()), "task": prompt.task,
            "winner": winner.map(|slot| self.teacher(slot)), "reward": winner.and_then(|slot| slot.reward),
            "margin": pick.margin, "n_answers": entry.answers.len(),
            "n_failed": entry.answers.iter().filter(|slot| slot.failed).count(),
            "n_stopped": entry.answers.iter().filter(|slot| !slot.passed && !slot.failed).count(),
        }))
    }

    /// A prompt with its answers, the best reward first.
    pub(super) fn row(&self, query: &Query, place: u32) -> Result<Value, PipelineError> {
        let entry = self.entry(place)?;
        let prompt: Prompt = parse(&self.shelves.rows.get(entry.prompt)?)?;
        let mut order: Vec<usize> = (0..entry.answers.len()).collect();
        let pick = query.pick(&self.index, place);
        let rank = |at: usize| {
            let slot = &entry.answers[at];
            let is_taken = pick.slot.map(usize::from) == Some(at);
            (is_taken, slot.passed, slot.reward)
        };
        order.sort_by(|&a, &b| {
            let (a, b) = (rank(a), rank(b));
            (b.0, b.1)
                .cmp(&(a.0, a.1))
                .then(b.2.unwrap_or(f64::NEG_INFINITY).total_cmp(&a.2.unwrap_or(f64::NEG_INFINITY)))
        });
        let answers =
            order.into_iter().map(|at| self.candidate((place, at), &prompt, query)).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({
            "place": place, "id": entry.id, "source_id": prompt.source_id, "language": tongue(&prompt.language),
            "answer_language": tongue(prompt.expected_language()), "task": prompt.task, "source": prompt.source,
            "messages": prompt.messages.iter().map(|turn| json!({"role": role(turn.role), "content": turn.content}))
                .collect::<Vec<_>>(),
            "reference": prompt.reference, "margin": pick.margin, "answers": answers,
        }))
    }

    fn candidate(&self, (place, at): (u32, usize), prompt: &Prompt, query: &Query) -> Result<Value, PipelineError> {
        let entry = self.entry(place)?;
        let slot = &entry.answers[at];
        let completion: Completion = parse(&self.shelves.rows.get(slot.row)?)?;
        let verdict = self.gates.judge(prompt, &completion);
        let takes = |picks: &[super::ranking::Pick]| picks.get(place as usize).and_then(|pick| pick.slot);
        let rankings = self.index.rankings.iter();
        let taken_by: Vec<&str> = rankings
            .filter(|ranking| takes(&ranking.picks).map(usize::from) == Some(at))
            .map(|ranking| ranking.name.as_str())
            .collect();
        Ok(json!({
            "teacher": completion.teacher, "sample": completion.sample, "text": completion.text,
            "winner": query.pick(&self.index, place).slot.map(usize::from) == Some(at), "taken_by": taken_by,
            "reward": slot.reward, "finish_reason": completion.finish_reason, "failure": completion.failure,
            "passed": verdict.passed(),
            "stopped": verdict.stopped.as_ref().map(|stop| json!({"reason": stop.reason.code(), "detail": stop.detail})),
            "written_in": verdict.identified.as_ref().map(|found| &found.language),
            "tokens_in": completion.tokens_in, "tokens_out": completion.tokens_out, "cost_usd": completion.cost_usd,
            "reasoning": self.thoughts((place, slot), &completion)?,
        }))
    }

    /// What the model thought before it wrote this very text.
    fn thoughts(&self, (place, slot): (u32, &Slot), completion: &Completion) -> Result<Option<String>, PipelineError> {
        let keys: Option<&Vec<Digest>> = self.index.thoughts.get(&(place, slot.teacher, slot.sample));
        let (Some(keys), Some(ledger)) = (keys, &self.ledger) else { return Ok(None) };
        let ledger: &Ledger = &ledger.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let calls = ledger.find_calls(keys)?;
        Ok(calls.into_iter().flatten().find(|call| call.text == completion.text).and_then(|call| call.reasoning))
    }

    fn entry(&self, place: u32) -> Result<&Entry, PipelineError> {
        let entry = self.index.entries.get(place as usize);
        entry.ok_or_else(|| PipelineError::Internal(format!("there is no prompt {place}")))
    }

    fn teacher(&self, slot: &Slot) -> &str {
        self.index.teachers.get(usize::from(slot.teacher)).map_or("", String::as_str)
    }
}

/// A language with its direction and English name.
pub(super) fn tongue(language: &Language) -> Value {
    json!({ "tag": language, "rtl": language.is_right_to_left(), "name": language.english_name() })
}

fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

fn snippet(text: &str) -> String {
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(SNIPPET_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
