//! Questions to the fusor, and what its answers are worth.

use std::collections::{HashMap, HashSet};

use cambist_core::{
    completion::{Completion, FinishReason},
    fusion::{bracketed, shuffled},
    prompt::{Message, Prompt},
};

use super::{Fusing, Standing, wording};
use crate::{
    error::PipelineError,
    verbs::{
        answering::{self, Cell},
        failed::Failed,
    },
};

/// The reason of answers that have no brackets; they are asked for again.
const NO_BRACKETS: &str = "no_brackets";
/// The reason of answers that the limit on new tokens cut before their brackets closed; they are asked for again.
const TRUNCATED: &str = "truncated";

/// Asks the fusor about the prompts that it is to fuse; `is_again` about those alone whose first answer cannot be read.
pub(super) fn ask(fusing: &Fusing<'_>, standings: &mut [Standing<'_>], is_again: bool) -> Result<(), PipelineError> {
    let wanted: Vec<usize> = (0..standings.len()).filter(|&at| is_wanted(&standings[at], is_again)).collect();
    let questions: Vec<Prompt> = wanted.iter().map(|&at| question(fusing, &standings[at], is_again)).collect();
    // Two prompts may be the same question: it is paid once.
    let mut seen = HashSet::new();
    let different: Vec<&Prompt> = questions.iter().filter(|question| seen.insert(question.instruction())).collect();
    if different.is_empty() {
        return Ok(());
    }
    let cells: Vec<Cell<'_>> = different.iter().map(|prompt| Cell { prompt, voice: 0, sample: 0 }).collect();
    let cells = (cells.as_slice(), &fusing.params.sampling);
    let answers = answering::ask(fusing.workshop, fusing.job, &fusing.voices, cells)?;
    let answers: HashMap<&str, Completion> = different.into_iter().map(Prompt::instruction).zip(answers).collect();
    for (at, question) in wanted.into_iter().zip(&questions) {
        let lost = || PipelineError::Internal(format!("`{}`: a fused answer is lost", fusing.job.label));
        let said = answers.get(question.instruction()).ok_or_else(lost)?;
        let fused = read(fusing, &standings[at], said);
        standings[at].hear(said.clone(), fused);
    }
    Ok(())
}

fn is_wanted(standing: &Standing<'_>, is_again: bool) -> bool {
    let is_unread =
        || standing.failed().is_some_and(|failed| [NO_BRACKETS, TRUNCATED].contains(&failed.reason.as_str()));
    standing.is_fused && if is_again { is_unread() } else { standing.said.is_empty() }
}

/// The question about one prompt, under the prompt's own name.
pub(super) fn question(fusing: &Fusing<'_>, standing: &Standing<'_>, is_again: bool) -> Prompt {
    let prompt = &standing.row.prompt;
    let shown = shuffled(&standing.ranked, (fusing.workshop.plan.recipe.seed, &prompt.id));
    let answers: Vec<&str> = shown.iter().map(|candidate| candidate.completion.text.trim()).collect();
    let mut asked = wording::fill(fusing.params.template.as_deref(), prompt, &answers);
    if is_again {
        asked.push_str(wording::AGAIN);
    }
    Prompt {
        id: prompt.id.clone(),
        source_id: prompt.source_id.clone(),
        language: prompt.language.clone(),
        answer_language: prompt.answer_language.clone(),
        messages: vec![Message::user(asked)],
        task: Some("fusion".to_owned()),
        reference: None,
        check: None,
        source: String::new(),
        origin: None,
        mt_engine: None,
    }
}

/// The fused answer in what the fusor said, or why there is none.
fn read(fusing: &Fusing<'_>, standing: &Standing<'_>, said: &Completion) -> Result<String, Failed> {
    if matches!(said.finish_reason, FinishReason::Error | FinishReason::ContentFilter) {
        return Err(Failed::unanswered(said.failure.as_deref().unwrap_or("content_filter: withheld")));
    }
    let text = bracketed(&said.text).ok_or_else(|| match said.finish_reason {
        FinishReason::Length => {
            Failed::new(TRUNCATED, "cut before its brackets closed: raise `sampling.max_new_tokens`")
        }
        _ => Failed::new(NO_BRACKETS, "no answer between `[[` and `]]`"),
    })?;
    // What stands in closed brackets is whole, whatever came after them.
    let fused = Completion { text: text.to_owned(), finish_reason: FinishReason::Stop, ..said.clone() };
    match fusing.gates.judge(&standing.row.prompt, &fused).stopped {
        Some(stop) => Err(Failed::new(stop.reason.code(), stop.detail)),
        None => Ok(fused.text),
    }
}
