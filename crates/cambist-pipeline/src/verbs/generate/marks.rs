//! The tables of scores: those of an arbiter as they come, those of a panel when all its members were heard.

use cambist_core::{language::Language, prompt::Prompt, score::Score};
use cambist_io::{
    formats::{TableWriter, scan_table},
    store::{ManifestDraft, Scratch},
};

use super::collect::class_of;
use crate::{
    error::PipelineError,
    verbs::{
        answering::write_disagreement,
        panel::{Hearing, Scorer},
        tables::{MEMBER_SCORES, SCORES},
    },
};

/// The tables of scores in the making.
pub(super) struct Marks {
    /// The scores of an arbiter, or those of a panel's members.
    rows: TableWriter<Score>,
    panel: Option<Panel>,
    n_scored: u64,
}

/// What a panel needs of the prompts that went by: few bytes of each.
struct Panel {
    hearing: Hearing,
    languages: Vec<Language>,
    /// The language's place and the number of answers, of each prompt that has any.
    prompts: Vec<(u16, u32)>,
}

impl Marks {
    /// Begins the tables.
    pub(super) fn create(scorer: &Scorer, scratch: &Scratch) -> Result<Self, PipelineError> {
        let panel = scorer.hearing();
        let name = if panel.is_some() { MEMBER_SCORES } else { SCORES };
        let panel = panel.map(|hearing| Panel { hearing, languages: Vec::new(), prompts: Vec::new() });
        Ok(Self { rows: TableWriter::create(&scratch.path(name)?)?, panel, n_scored: 0 })
    }

    /// Takes in the scores of the answers to a prompt: of each answer by all who score.
    pub(super) fn push(
        &mut self,
        prompt: &Prompt,
        said: &[Vec<Score>],
        draft: &mut ManifestDraft,
    ) -> Result<(), PipelineError> {
        for score in said.iter().flatten() {
            self.rows.push(score)?;
            match &mut self.panel {
                Some(panel) => panel.hearing.hear(&prompt.language, score),
                None => self.n_scored += count(score, draft),
            }
        }
        self.panel.as_mut().map_or(Ok(()), |panel| panel.note(&prompt.language, said.len()))
    }

    /// Ends the tables; a panel decides now.
    pub(super) fn finish(self, scratch: &Scratch, draft: &mut ManifestDraft) -> Result<(), PipelineError> {
        self.rows.finish()?;
        let n_scored = match self.panel {
            Some(panel) => panel.decide(scratch, draft)?,
            None => self.n_scored,
        };
        draft.counts.insert("scores".into(), n_scored);
        Ok(())
    }
}

impl Panel {
    fn note(&mut self, language: &Language, n_answers: usize) -> Result<(), PipelineError> {
        if n_answers == 0 {
            return Ok(());
        }
        let known = self.languages.iter().position(|other| other == language);
        let place = known.unwrap_or_else(|| {
            self.languages.push(language.clone());
            self.languages.len() - 1
        });
        let packed = u16::try_from(place).ok().zip(u32::try_from(n_answers).ok());
        self.prompts.push(packed.ok_or_else(|| PipelineError::Internal("too many languages".to_owned()))?);
        Ok(())
    }

    /// Reads the members' scores back, prompt by prompt, and writes the panel's own.
    fn decide(self, scratch: &Scratch, draft: &mut ManifestDraft) -> Result<u64, PipelineError> {
        let n_members = self.hearing.n_members();
        let mut verdicts = self.hearing.close();
        let mut rows = scan_table::<Score>(&scratch.path(MEMBER_SCORES)?)?;
        let mut scores = TableWriter::create(&scratch.path(SCORES)?)?;
        let mut n_scored = 0;
        for (language, n_answers) in self.prompts {
            let n_rows = n_answers as usize * n_members;
            let said = rows.by_ref().take(n_rows).collect::<Result<Vec<Score>, _>>()?;
            let said: Vec<&[Score]> = said.chunks(n_members).collect();
            for score in verdicts.decide(&self.languages[usize::from(language)], &said)? {
                scores.push(&score)?;
                n_scored += count(&score, draft);
            }
        }
        scores.finish()?;
        write_disagreement(scratch, draft, &verdicts)?;
        Ok(n_scored)
    }
}

/// Counts a score, or why there is none.
fn count(score: &Score, draft: &mut ManifestDraft) -> u64 {
    if let Some(missing) = &score.missing {
        *draft.failures.entry(format!("no score: {}", class_of(missing))).or_default() += 1;
    }
    u64::from(score.value.is_some())
}
