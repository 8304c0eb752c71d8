//! Answers into answers: what was said to one member of a source, in the languages of the others.

use std::collections::HashMap;

use cambist_core::{
    completion::{Completion, FinishReason, Origin},
    language::Language,
    prompt::Prompt,
};
use cambist_io::{
    formats::TableWriter,
    store::{Artifact, ManifestDraft, Scratch},
};

use super::{CHUNK, Piece, Translation, Translator};
use crate::{
    error::PipelineError,
    verbs::{
        failed::{Failed, Failures},
        prompt_files::PromptFiles,
        prompts::read_prompts,
        tables::{COMPLETIONS, read_table},
    },
};

/// Makes the artifact: an answer to each prompt whose source has one to translate.
pub(super) fn make(translator: &Translator<'_>, scratch: Scratch) -> Result<Artifact, PipelineError> {
    let job = translator.job;
    let prompts = PromptFiles::open(translator.workshop, job.inputs("prompts"))?;
    let mut originals = read_originals(translator)?;
    let mut n_without = 0;
    for prompt in prompts.scan() {
        let prompt = prompt?;
        match originals.get_mut(&prompt.source_id) {
            Some(original) if is_wanted(translator, &prompt, original) => original.n_sharing += 1,
            None => n_without += 1,
            Some(_) => {}
        }
    }
    let mut made = Made { table: TableWriter::create(&scratch.path(COMPLETIONS)?)?, failures: Failures::default() };
    let mut wanted = prompts.scan().filter_map(|prompt| match prompt {
        Ok(prompt) => {
            let original = originals.get(&prompt.source_id)?;
            is_wanted(translator, &prompt, original).then_some(Ok((prompt, original)))
        }
        Err(error) => Some(Err(error)),
    });
    loop {
        let chunk = wanted.by_ref().take(CHUNK).collect::<Result<Vec<(Prompt, &Original)>, PipelineError>>()?;
        if chunk.is_empty() {
            break;
        }
        translator.workshop.checkpoint()?;
        made.add(translator, &chunk)?;
    }
    let mut draft = ManifestDraft { step: job.label.clone(), kind: "completions".into(), ..ManifestDraft::default() };
    draft.counts.insert("completions".into(), made.table.n_rows());
    if n_without > 0 {
        draft.failures.insert("none_eligible".to_owned(), n_without);
    }
    made.table.finish()?;
    made.failures.write(translator.params.max_failed, (&scratch, &mut draft))?;
    Ok(scratch.commit(draft)?)
}

/// Shows every answer that the step translates.
pub(super) fn each_piece(
    translator: &Translator<'_>,
    show: &mut dyn FnMut(&Piece<'_>) -> Result<(), PipelineError>,
) -> Result<(), PipelineError> {
    let originals = read_originals(translator)?;
    for prompt in PromptFiles::open(translator.workshop, translator.job.inputs("prompts"))?.scan() {
        let prompt = prompt?;
        let Some(original) = originals.get(&prompt.source_id) else { continue };
        if is_wanted(translator, &prompt, original) && original.is_answered() && !original.is_spoken_by(&prompt) {
            show(&Piece::of_answer(&prompt, original))?;
        }
    }
    Ok(())
}

/// An answer to translate, one for each source.
struct Original {
    completion: Completion,
    language: Language,
    /// How many prompts get it, translated or as it is; they share what it cost.
    n_sharing: u32,
}

impl Original {
    /// Whether there is something to translate.
    fn is_answered(&self) -> bool {
        let is_said = matches!(self.completion.finish_reason, FinishReason::Stop | FinishReason::Length);
        is_said && !self.completion.text.trim().is_empty()
    }

    /// Whether `prompt` gets the answer as it is.
    fn is_spoken_by(&self, prompt: &Prompt) -> bool {
        prompt.language.primary() == self.language.primary()
    }
}

impl<'a> Piece<'a> {
    fn of_answer(prompt: &'a Prompt, original: &'a Original) -> Self {
        Self {
            id: prompt.id.clone(),
            source_id: &prompt.source_id,
            text: &original.completion.text,
            from: &original.language,
            to: &prompt.language,
        }
    }
}

/// A prompt gets an answer when its language is asked for; members in the answer's own language always do.
fn is_wanted(translator: &Translator<'_>, prompt: &Prompt, original: &Original) -> bool {
    let to = &translator.params.to;
    to.is_empty() || to.contains(&prompt.language) || original.is_spoken_by(prompt)
}

/// The first answer of each source in the language that is translated from.
fn read_originals(translator: &Translator<'_>) -> Result<HashMap<String, Original>, PipelineError> {
    let Translator { workshop, job, params, .. } = translator;
    let mut said: HashMap<String, Completion> = HashMap::new();
    for input in job.inputs("answers") {
        let completions = read_table::<Completion>(&workshop.artifact(&input.id)?, COMPLETIONS)?;
        let is_meant = |completion: &Completion| {
            completion.sample == 0 && params.answers_of.as_ref().is_none_or(|teacher| completion.teacher == *teacher)
        };
        for completion in completions.into_iter().filter(is_meant) {
            let teacher = completion.teacher.clone();
            if let Some(other) = said.insert(completion.prompt_id.clone(), completion) {
                let what = format!("`{}` and `{teacher}` both answered prompt `{}`", other.teacher, other.prompt_id);
                return Err(PipelineError::input(&job.label, what, "say whose answers to translate with `answers_of`"));
            }
        }
    }
    let mut originals: HashMap<String, Original> = HashMap::new();
    for prompt in read_prompts(workshop, job.inputs("answered prompts"))? {
        if prompt.language.primary() != params.answered_in() || originals.contains_key(&prompt.source_id) {
            continue;
        }
        if let Some(completion) = said.remove(&prompt.id) {
            let original = Original { completion, language: prompt.language, n_sharing: 0 };
            originals.insert(prompt.source_id, original);
        }
    }
    Ok(originals)
}

/// What is made so far.
struct Made {
    table: TableWriter<Completion>,
    failures: Failures,
}

impl Made {
    fn add(&mut self, translator: &Translator<'_>, chunk: &[(Prompt, &Original)]) -> Result<(), PipelineError> {
        let is_translated =
            |(prompt, original): &&(Prompt, &Original)| original.is_answered() && !original.is_spoken_by(prompt);
        let piece = |(prompt, original)| Piece::of_answer(prompt, original);
        let wanted = chunk.iter().filter(is_translated).map(|(prompt, original)| (prompt, *original));
        let pieces: Vec<Piece<'_>> = wanted.map(piece).collect();
        let mut translations = translator.translate(&pieces)?.into_iter();
        for row in chunk {
            let (prompt, original) = row;
            let translation = if is_translated(&row) { translations.next() } else { None };
            let blank = blank(translator, prompt, original);
            let completion = match translation {
                Some(translation) => self.translated(translator, blank, translation),
                None if original.is_answered() => blank,
                None => self.failed(blank, &Failed::new("no_original", "there is no answer to translate")),
            };
            self.table.push(&completion)?;
        }
        Ok(())
    }

    fn translated(&mut self, translator: &Translator<'_>, blank: Completion, translation: Translation) -> Completion {
        if translation.is_asked {
            self.failures.count_asked();
        }
        let engine = translation.is_asked.then(|| translator.engine().to_owned());
        let paid = Completion {
            tokens_in: translation.tokens_in,
            tokens_out: translation.tokens_out,
            cost_usd: blank.cost_usd + translation.cost_usd,
            origin: blank.origin.clone().map(|origin| Origin { mt_engine: engine, ..origin }),
            finish_reason: if translation.is_cut { FinishReason::Length } else { blank.finish_reason },
            ..blank
        };
        match translation.text {
            Ok(text) => Completion { text, ..paid },
            Err(failed) => self.failed(paid, &failed),
        }
    }

    fn failed(&mut self, completion: Completion, failed: &Failed) -> Completion {
        self.failures.add((&completion.prompt_id, completion.language.as_str()), failed);
        let failure = Some(format!("{}: {}", failed.reason, failed.detail));
        Completion { text: String::new(), finish_reason: FinishReason::Error, failure, ..completion }
    }
}

/// The answer as it is, as an answer to `prompt`, at its share of the cost.
fn blank(translator: &Translator<'_>, prompt: &Prompt, original: &Original) -> Completion {
    let said = &original.completion;
    Completion {
        prompt_id: prompt.id.clone(),
        source_id: prompt.source_id.clone(),
        language: prompt.language.clone(),
        teacher: translator.params.name.clone(),
        sample: 0,
        cost_usd: said.cost_usd / f64::from(original.n_sharing.max(1)),
        origin: Some(Origin {
            prompt_id: said.prompt_id.clone(),
            teacher: said.teacher.clone(),
            mt_engine: None,
            fusion: None,
        }),
        ..said.clone()
    }
}
