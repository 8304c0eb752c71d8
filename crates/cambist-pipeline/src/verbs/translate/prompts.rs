//! Prompts into prompts: one for each language that a source does not have yet.

use std::collections::HashSet;

use cambist_core::{
    completion::{Completion, FinishReason},
    gates::{Gates, Reason},
    language::Language,
    prompt::{Prompt, Role},
};
use cambist_io::{
    formats::{self, TableWriter},
    store::{Artifact, ManifestDraft, Scratch},
};

use super::{CHUNK, Piece, Translation, Translator};
use crate::{
    error::PipelineError,
    plan::Input,
    verbs::{
        failed::{Failed, Failures},
        prompts::file_of,
    },
};

/// Makes the artifact: a set for each set that is read, under the same name.
pub(super) fn make(translator: &Translator<'_>, scratch: Scratch) -> Result<Artifact, PipelineError> {
    let job = translator.job;
    let mut draft = ManifestDraft { step: job.label.clone(), kind: "prompts".into(), ..ManifestDraft::default() };
    let mut failures = Failures::default();
    for input in job.inputs("prompts") {
        let n_prompts = translate_set(translator, (&scratch, input), &mut failures)?;
        let name = if input.part.is_empty() { "prompts" } else { &input.part };
        draft.counts.insert(name.to_owned(), n_prompts);
    }
    failures.write(translator.params.max_failed, (&scratch, &mut draft))?;
    if draft.counts.values().sum::<u64>() == 0 {
        let told: Vec<String> = draft.failures.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        let what = format!("no prompt is translated ({})", told.join(", "));
        return Err(PipelineError::input(&job.label, what, "check `from`, `to` and the translator"));
    }
    Ok(scratch.commit(draft)?)
}

fn translate_set(
    translator: &Translator<'_>,
    (scratch, input): (&Scratch, &Input),
    failures: &mut Failures,
) -> Result<u64, PipelineError> {
    let path = translator.workshop.artifact(&input.id)?.checked_path(&file_of(&input.part))?;
    let mut claims = Claims::default();
    for prompt in formats::scan_table::<Prompt>(&path)? {
        claims.take_native(prompt?);
    }
    let mut table = TableWriter::create(&scratch.path(&file_of(&input.part))?)?;
    let mut waiting = Vec::new();
    let mut n_turns = 0;
    for prompt in formats::scan_table::<Prompt>(&path)? {
        let prompt = prompt?;
        let targets = targets(translator, &prompt, &mut claims);
        n_turns += targets.len() * prompt.messages.len();
        waiting.push(Source { prompt, targets });
        if n_turns >= CHUNK {
            translate_all(translator, std::mem::take(&mut waiting), (&mut table, failures))?;
            n_turns = 0;
        }
    }
    translate_all(translator, waiting, (&mut table, failures))?;
    let n_prompts = table.n_rows();
    table.finish()?;
    Ok(n_prompts)
}

/// Shows every text that the step translates.
pub(super) fn each_piece(
    translator: &Translator<'_>,
    show: &mut dyn FnMut(&Piece<'_>) -> Result<(), PipelineError>,
) -> Result<(), PipelineError> {
    for input in translator.job.inputs("prompts") {
        let path = translator.workshop.artifact(&input.id)?.checked_path(&file_of(&input.part))?;
        let mut claims = Claims::default();
        for prompt in formats::scan_table::<Prompt>(&path)? {
            claims.take_native(prompt?);
        }
        for prompt in formats::scan_table::<Prompt>(&path)? {
            let prompt = prompt?;
            let targets = targets(translator, &prompt, &mut claims);
            pieces_of(&Source { prompt, targets }).iter().try_for_each(&mut *show)?;
        }
    }
    Ok(())
}

/// A prompt and the translations of it that are wanted, by id.
struct Source {
    prompt: Prompt,
    targets: Vec<(String, Language)>,
}

/// What is there, so that no source gets two members of one language and no id stands twice.
#[derive(Default)]
struct Claims {
    members: HashSet<(String, Language)>,
    ids: HashSet<String>,
}

impl Claims {
    fn take_native(&mut self, prompt: Prompt) {
        self.members.insert((prompt.source_id, prompt.language));
        self.ids.insert(prompt.id);
    }

    /// The id of a new member; none when the source has one in this language.
    fn claim(&mut self, source_id: &str, language: &Language) -> Option<String> {
        if !self.members.insert((source_id.to_owned(), language.clone())) {
            return None;
        }
        let mut id = format!("{source_id}:{language}");
        while !self.ids.insert(id.clone()) {
            id.push_str(":mt");
        }
        Some(id)
    }
}

fn targets(translator: &Translator<'_>, prompt: &Prompt, claims: &mut Claims) -> Vec<(String, Language)> {
    let params = translator.params;
    if params.from.as_ref().is_some_and(|from| *from != prompt.language) {
        return Vec::new();
    }
    let new = |to: &Language| Some((claims.claim(&prompt.source_id, to)?, to.clone()));
    params.to.iter().filter_map(new).collect()
}

/// Whether a turn is translated; what a tool said stays as it is.
fn is_said(role: Role) -> bool {
    role != Role::Tool
}

/// The turns of a prompt for each of its targets.
fn pieces_of(Source { prompt, targets }: &Source) -> Vec<Piece<'_>> {
    let turns = || prompt.messages.iter().filter(|turn| is_said(turn.role)).enumerate();
    let mut pieces = Vec::new();
    for (id, to) in targets {
        pieces.extend(turns().map(|(at, turn)| Piece {
            id: format!("{id}#{at}"),
            source_id: &prompt.source_id,
            text: &turn.content,
            from: &prompt.language,
            to,
        }));
    }
    pieces
}

fn translate_all(
    translator: &Translator<'_>,
    sources: Vec<Source>,
    (table, failures): (&mut TableWriter<Prompt>, &mut Failures),
) -> Result<(), PipelineError> {
    translator.workshop.checkpoint()?;
    let pieces: Vec<Piece<'_>> = sources.iter().flat_map(pieces_of).collect();
    let mut turns = pieces.iter().zip(translator.translate(&pieces)?);
    for source in &sources {
        if translator.params.keep_sources {
            table.push(&source.prompt)?;
        }
        for (id, language) in &source.targets {
            let n_turns = source.prompt.messages.iter().filter(|turn| is_said(turn.role)).count();
            let turns: Vec<(&Piece<'_>, Translation)> = turns.by_ref().take(n_turns).collect();
            turns.iter().filter(|(_, turn)| turn.is_asked).for_each(|_| failures.count_asked());
            match turns.into_iter().map(|(piece, turn)| checked(piece, turn)).collect::<Result<Vec<_>, _>>() {
                Ok(texts) => table.push(&member(translator, &source.prompt, (id, language), texts))?,
                Err(failed) => failures.add((id, language.as_str()), &failed),
            }
        }
    }
    Ok(())
}

/// A translated turn, unless it is none: cut, as it was, or in another language.
fn checked(piece: &Piece<'_>, turn: Translation) -> Result<String, Failed> {
    let text = turn.text?;
    if turn.is_cut {
        return Err(Failed::new("truncated", "the limit on new tokens cut it: raise `sampling.max_new_tokens`"));
    }
    if turn.is_asked && piece.from.primary() != piece.to.primary() {
        if text.trim() == piece.text.trim() {
            return Err(Failed::new("unchanged", "it is the text itself"));
        }
        if let Some(detail) = wrong_language(piece, &text) {
            return Err(Failed::new("wrong_lang", detail));
        }
    }
    Ok(text)
}

/// What the language gate has against a text.
fn wrong_language(piece: &Piece<'_>, text: &str) -> Option<String> {
    let gates = Gates { keep_truncated: true, repetition: None, echo: None, ..Gates::default() };
    let prompt = Prompt {
        id: String::new(),
        source_id: String::new(),
        language: piece.to.clone(),
        answer_language: None,
        messages: Vec::new(),
        task: None,
        reference: None,
        check: None,
        source: String::new(),
        origin: None,
        mt_engine: None,
    };
    let said = Completion {
        prompt_id: String::new(),
        source_id: String::new(),
        language: piece.to.clone(),
        teacher: String::new(),
        sample: 0,
        text: text.to_owned(),
        finish_reason: FinishReason::Stop,
        failure: None,
        tokens_in: None,
        tokens_out: None,
        cost_usd: 0.0,
        origin: None,
    };
    let stop = gates.judge(&prompt, &said).stopped.filter(|stop| stop.reason == Reason::WrongLang)?;
    Some(stop.detail)
}

/// The member of a source in a new language. References and checkers belong to the language that they were written in.
fn member(
    translator: &Translator<'_>,
    source: &Prompt,
    (id, language): (&str, &Language),
    texts: Vec<String>,
) -> Prompt {
    let mut texts = texts.into_iter();
    let mut messages = source.messages.clone();
    for turn in messages.iter_mut().filter(|turn| is_said(turn.role)) {
        turn.content = texts.next().unwrap_or_default();
    }
    Prompt {
        id: id.to_owned(),
        language: language.clone(),
        messages,
        reference: None,
        check: None,
        origin: Some("translated".to_owned()),
        mt_engine: Some(translator.engine().to_owned()),
        ..source.clone()
    }
}
