//! A matrix without its texts: what routers, scales and pairs read of the answers, in some sixty bytes for each.

use std::{collections::BTreeMap, ops::Range};

use crate::{
    candidate::{Candidate, Matrix, Row},
    completion::{Completion, FinishReason, Origin},
    gates::{Reason, Stop, Verdict},
    language::Language,
    prompt::Prompt,
};

mod names;
mod places;

use names::{Names, Texts};
pub use places::Places;

/// Answers grouped by prompt, in the order of the prompts, as a [`Matrix`] has them, but without texts: millions fit in
/// memory, however long they are. Names that repeat are kept once.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    heads: Vec<Head>,
    /// Of each prompt its id, then its source's.
    ids: Texts,
    answers: Vec<Answer>,
    /// Where answers come from that were not written for their prompts, by their places among all answers.
    origins: BTreeMap<usize, Origin>,
    teachers: Names<String>,
    languages: Names<Language>,
    answer_languages: Names<Language>,
    tasks: Names<String>,
    sources: Names<String>,
}

/// What is left of a prompt.
#[derive(Clone, Copy, Debug)]
struct Head {
    language: u32,
    answer_language: Option<u32>,
    task: Option<u32>,
    source: u32,
    /// Where its answers end.
    until: usize,
}

/// What is left of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// Who answered, by the place among [`Outline::teachers`].
    pub teacher: u32,
    /// Which of the teacher's answers, from 0.
    pub sample: u32,
    /// The arbiter's reward; none when it could not say.
    pub reward: Option<f64>,
    /// The gate that stopped it; none when it passed.
    pub stopped: Option<Reason>,
    /// Tokens of the prompt as the teacher counts them; none when it does not say.
    pub tokens_in: Option<u32>,
    /// Tokens of the answer as the teacher counts them; none when it does not say.
    pub tokens_out: Option<u32>,
    /// Price of the call in USD.
    pub cost_usd: f64,
}

impl Answer {
    /// The reward of a valid answer: one that passed every gate and has a reward.
    pub fn valid_reward(&self) -> Option<f64> {
        self.reward.filter(|_| self.stopped.is_none())
    }
}

/// One prompt of an outline with its answers, sorted as in a [`Row`].
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    outline: &'a Outline,
    at: usize,
}

impl Outline {
    /// Returns the outline of a matrix.
    pub fn of(matrix: &Matrix) -> Self {
        let mut outline = Self::default();
        matrix.rows().iter().for_each(|row| outline.push(row));
        outline
    }

    /// Takes in the next row.
    pub fn push(&mut self, Row { prompt, candidates }: &Row) {
        self.ids.push(&prompt.id);
        self.ids.push(&prompt.source_id);
        for Candidate { completion, verdict, reward } in candidates {
            if let Some(origin) = &completion.origin {
                self.origins.insert(self.answers.len(), origin.clone());
            }
            self.answers.push(Answer {
                teacher: self.teachers.place(completion.teacher.as_str()),
                sample: completion.sample,
                reward: *reward,
                stopped: verdict.stopped.as_ref().map(|stop| stop.reason),
                tokens_in: completion.tokens_in,
                tokens_out: completion.tokens_out,
                cost_usd: completion.cost_usd,
            });
        }
        self.heads.push(Head {
            language: self.languages.place(&prompt.language),
            answer_language: prompt.answer_language.as_ref().map(|language| self.answer_languages.place(language)),
            task: prompt.task.as_deref().map(|task| self.tasks.place(task)),
            source: self.sources.place(prompt.source.as_str()),
            until: self.answers.len(),
        });
    }

    /// How many prompts there are.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Returns a prompt by its place; none behind the last.
    pub fn line(&self, at: usize) -> Option<Line<'_>> {
        (at < self.len()).then_some(Line { outline: self, at })
    }

    /// The prompts in their order.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        (0..self.len()).map(|at| Line { outline: self, at })
    }

    /// All who answered, in the order of their first answers.
    pub fn teachers(&self) -> &[String] {
        self.teachers.all()
    }

    /// The languages that prompts are written in, in the order of their first prompts.
    pub fn languages(&self) -> &[Language] {
        self.languages.all()
    }

    /// The sets that the prompts came from, in the order of their first prompts.
    pub fn sources(&self) -> &[String] {
        self.sources.all()
    }

    /// Answers that were not written for their prompts: who stands for them, and where they come from.
    pub fn translations(&self) -> impl Iterator<Item = (&str, Line<'_>, &Origin)> {
        self.origins.iter().map(|(place, origin)| {
            let at = self.heads.partition_point(|head| head.until <= *place);
            let teacher = self.teachers.name(self.answers[*place].teacher);
            (teacher.as_str(), Line { outline: self, at }, origin)
        })
    }

    /// Whose answers there are: each teacher that wrote answers for their prompts, then each translated answer.
    pub fn authors(&self) -> impl Iterator<Item = (&str, Option<&Origin>)> {
        let mut translated = vec![0usize; self.teachers.all().len()];
        self.origins.keys().for_each(|place| translated[self.answers[*place].teacher as usize] += 1);
        let mut n_answers = vec![0usize; translated.len()];
        self.answers.iter().for_each(|answer| n_answers[answer.teacher as usize] += 1);
        let writes = move |(at, _): &(usize, &String)| n_answers[*at] > translated[*at];
        let own = self.teachers.all().iter().enumerate().filter(writes).map(|(_, teacher)| (teacher.as_str(), None));
        own.chain(self.translations().map(|(teacher, _, origin)| (teacher, Some(origin))))
    }
}

impl<'a> Line<'a> {
    /// Names the prompt.
    pub fn id(&self) -> &'a str {
        self.outline.ids.get(2 * self.at)
    }

    /// Shared by the translations of one prompt.
    pub fn source_id(&self) -> &'a str {
        self.outline.ids.get(2 * self.at + 1)
    }

    /// The language that the prompt is written in.
    pub fn language(&self) -> &'a Language {
        self.outline.languages.name(self.head().language)
    }

    /// Its place among [`Outline::languages`].
    pub fn language_place(&self) -> usize {
        self.head().language as usize
    }

    /// What kind of task it is; none when unknown.
    pub fn task(&self) -> Option<&'a str> {
        self.head().task.map(|task| self.outline.tasks.name(task).as_str())
    }

    /// The set that it came from.
    pub fn source(&self) -> &'a str {
        self.outline.sources.name(self.head().source)
    }

    /// The answers, sorted by teacher id (bytes), then sample.
    pub fn answers(&self) -> &'a [Answer] {
        &self.outline.answers[self.range()]
    }

    /// Who gave one of the answers.
    pub fn teacher(&self, answer: &Answer) -> &'a str {
        self.outline.teachers.name(answer.teacher)
    }

    /// Where an answer comes from, by its place in the line; none when it was written for the prompt.
    pub fn origin(&self, at: usize) -> Option<&'a Origin> {
        self.outline.origins.get(&(self.first() + at))
    }

    /// Where the answers stand among all answers of the outline.
    pub fn range(&self) -> Range<usize> {
        self.first()..self.head().until
    }

    fn first(&self) -> usize {
        self.at.checked_sub(1).map_or(0, |before| self.outline.heads[before].until)
    }

    /// The highest valid reward; none when there is none.
    pub fn best_reward(&self) -> Option<f64> {
        self.answers().iter().filter_map(Answer::valid_reward).max_by(f64::total_cmp)
    }

    /// Returns the row that it is the outline of, without texts: neither the prompt's messages nor the answers' words
    /// are there, nor what the gates said beside the reason.
    pub fn row(&self) -> Row {
        let prompt = Prompt {
            id: String::new(),
            source_id: String::new(),
            language: self.language().clone(),
            answer_language: None,
            messages: Vec::new(),
            task: None,
            reference: None,
            check: None,
            source: String::new(),
            origin: None,
            mt_engine: None,
        };
        let mut row = Row { prompt, candidates: Vec::new() };
        self.write_row(&mut row);
        row
    }

    /// Turns a row from [`Line::row`] of any line into the one of this line, in the memory that it has.
    pub fn write_row(&self, row: &mut Row) {
        let (head, prompt) = (self.head(), &mut row.prompt);
        self.id().clone_into(&mut prompt.id);
        self.source_id().clone_into(&mut prompt.source_id);
        prompt.language.clone_from(self.language());
        prompt.answer_language = head.answer_language.map(|place| self.outline.answer_languages.name(place).clone());
        prompt.task = self.task().map(str::to_owned);
        self.source().clone_into(&mut prompt.source);
        row.candidates.truncate(self.answers().len());
        for (at, place) in self.range().enumerate() {
            match row.candidates.get_mut(at) {
                Some(candidate) => self.write_candidate(candidate, place),
                None => row.candidates.push(self.candidate(place)),
            }
        }
    }

    fn candidate(&self, place: usize) -> Candidate {
        let completion = Completion {
            prompt_id: String::new(),
            source_id: String::new(),
            language: self.language().clone(),
            teacher: String::new(),
            sample: 0,
            text: String::new(),
            finish_reason: FinishReason::Stop,
            failure: None,
            tokens_in: None,
            tokens_out: None,
            cost_usd: 0.0,
            origin: None,
        };
        let mut candidate = Candidate { completion, verdict: Verdict::pass(), reward: None };
        self.write_candidate(&mut candidate, place);
        candidate
    }

    fn write_candidate(&self, candidate: &mut Candidate, place: usize) {
        let (answer, completion) = (&self.outline.answers[place], &mut candidate.completion);
        self.id().clone_into(&mut completion.prompt_id);
        self.source_id().clone_into(&mut completion.source_id);
        completion.language.clone_from(self.language());
        self.teacher(answer).clone_into(&mut completion.teacher);
        completion.sample = answer.sample;
        completion.tokens_in = answer.tokens_in;
        completion.tokens_out = answer.tokens_out;
        completion.cost_usd = answer.cost_usd;
        completion.origin = self.outline.origins.get(&place).cloned();
        candidate.verdict.stopped = answer.stopped.map(|reason| Stop { reason, detail: String::new() });
        candidate.reward = answer.reward;
    }

    fn head(&self) -> Head {
        self.outline.heads[self.at]
    }
}
