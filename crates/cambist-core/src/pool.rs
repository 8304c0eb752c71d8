//! Who may be asked: the pool of teachers, and who of it is eligible for a prompt.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    language::Language, license::Permission, outline::Outline, prompt::Prompt, statistics::mean, teacher::Teacher,
};

/// What the made data is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Any use: answers under a non-commercial licence are kept out.
    #[default]
    Commercial,
    /// Research alone: answers under a non-commercial licence are let in.
    Research,
}

/// Which teachers may be asked at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Eligibility {
    /// Asks only teachers that claim the prompt's language; default true. Without it the reward decides.
    pub respect_coverage: bool,
    /// Teachers that are never asked.
    pub exclude: BTreeSet<String>,
    /// What the data is for; default `commercial`, the stricter.
    pub purpose: Purpose,
    /// Lets in teachers whose licence says nothing known about training on their answers; default false.
    pub allow_unknown_license: bool,
}

impl Default for Eligibility {
    fn default() -> Self {
        Self {
            respect_coverage: true,
            exclude: BTreeSet::new(),
            purpose: Purpose::default(),
            allow_unknown_license: false,
        }
    }
}

/// Why a teacher is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ineligible {
    /// The configuration names it.
    Excluded,
    /// Its licence forbids the purpose, or is not known to allow it.
    License,
    /// It does not claim the language.
    NotCovered,
}

impl Eligibility {
    /// Whether answers that a licence lets be used so far may be used here: asked before a teacher is, and again when a
    /// set is exported.
    pub fn admits(&self, permission: Permission) -> bool {
        match permission {
            Permission::Yes => true,
            Permission::NonCommercial => self.purpose == Purpose::Research,
            Permission::No => false,
            Permission::Unknown => self.allow_unknown_license,
        }
    }

    /// Whether `teacher` may be asked in no language at all: it is excluded, or its licence forbids the purpose.
    pub fn bars(&self, teacher: &Teacher) -> bool {
        self.exclude.contains(&teacher.id) || !self.admits(teacher.permission())
    }

    /// Returns why `teacher` may not answer in `language`; none when it may.
    pub fn obstacle(&self, teacher: &Teacher, language: &Language) -> Option<Ineligible> {
        let licensed = self.admits(teacher.permission());
        if self.exclude.contains(&teacher.id) {
            Some(Ineligible::Excluded)
        } else if !licensed {
            Some(Ineligible::License)
        } else if self.respect_coverage && !teacher.languages.covers(language) {
            Some(Ineligible::NotCovered)
        } else {
            None
        }
    }
}

/// What an answer of a teacher in a language is expected to cost, in USD; part of every tie-break.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExpectedCosts {
    by_language: BTreeMap<String, BTreeMap<Language, f64>>,
    by_teacher: BTreeMap<String, f64>,
}

impl ExpectedCosts {
    /// Measures the mean cost of recorded answers per teacher and language, and per teacher.
    pub fn fit(outline: &Outline) -> Self {
        let n_languages = outline.languages().len();
        let mut grouped = vec![Vec::new(); outline.teachers().len() * n_languages];
        for line in outline.lines() {
            for answer in line.answers() {
                grouped[answer.teacher as usize * n_languages + line.language_place()].push(answer.cost_usd);
            }
        }
        let mut costs: BTreeMap<&str, BTreeMap<&Language, Vec<f64>>> = BTreeMap::new();
        let cells = outline.teachers().iter().flat_map(|teacher| outline.languages().iter().map(move |l| (teacher, l)));
        for ((teacher, language), values) in cells.zip(grouped).filter(|(_, values)| !values.is_empty()) {
            costs.entry(teacher).or_default().insert(language, values);
        }
        let mut fitted = Self::default();
        for (teacher, languages) in costs {
            let all: Vec<f64> = languages.values().flatten().copied().collect();
            fitted.by_teacher.extend(mean(&all).map(|cost| (teacher.to_owned(), cost)));
            let means = languages.into_iter().filter_map(|(language, each)| Some((language.clone(), mean(&each)?)));
            fitted.by_language.insert(teacher.to_owned(), means.collect());
        }
        fitted
    }

    /// Returns the mean of the teacher in the language, else of the teacher, else the list price of a thousand tokens
    /// in and a thousand out.
    pub fn of(&self, teacher: &Teacher, language: &Language) -> f64 {
        let measured = self.by_language.get(&teacher.id).and_then(|languages| languages.get(language));
        let measured = measured.or_else(|| self.by_teacher.get(&teacher.id));
        measured.copied().unwrap_or_else(|| teacher.price.of(Some(1000), Some(1000)))
    }
}

/// A teacher that may be asked, and what that is expected to cost.
#[derive(Clone, Copy, Debug)]
pub struct Eligible<'a> {
    /// The teacher.
    pub teacher: &'a Teacher,
    /// Expected cost of one answer in USD.
    pub cost_usd: f64,
}

/// One question to a router: a prompt and who may answer it.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// The prompt.
    pub prompt: &'a Prompt,
    /// Who may be asked, sorted by id (bytes).
    pub eligible: Vec<Eligible<'a>>,
    /// Price of one arbiter score in USD.
    pub score_usd: f64,
}

impl Query<'_> {
    /// Whether `teacher` may be asked.
    pub fn is_eligible(&self, teacher: &str) -> bool {
        self.find(teacher).is_some()
    }

    /// Returns the expected cost of one answer of `teacher` in USD; infinite when it may not be asked.
    pub fn cost_usd(&self, teacher: &str) -> f64 {
        self.find(teacher).map_or(f64::INFINITY, |eligible| eligible.cost_usd)
    }

    fn find(&self, teacher: &str) -> Option<&Eligible<'_>> {
        let at = self.eligible.binary_search_by(|eligible| eligible.teacher.id.as_str().cmp(teacher)).ok()?;
        self.eligible.get(at)
    }
}

/// The teachers of a run, with the rules of who may be asked and what it costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pool {
    teachers: Vec<Teacher>,
    /// Who may be asked.
    pub eligibility: Eligibility,
    /// What answers are expected to cost.
    pub costs: ExpectedCosts,
    /// Price of one arbiter score in USD; default 0.
    pub score_usd: f64,
    /// The prompts that a teacher can be asked about, where those are not all: translations need an answer to
    /// translate.
    pub reach: BTreeMap<String, BTreeSet<String>>,
}

/// Two teachers have one id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two teachers have the id `{0}`: ids must be unique in a pool")]
pub struct DuplicateTeacher(pub String);

impl Pool {
    /// Returns the pool of `teachers`; their order plays no part.
    ///
    /// # Errors
    /// When two teachers have one id.
    pub fn new(mut teachers: Vec<Teacher>, eligibility: Eligibility) -> Result<Self, DuplicateTeacher> {
        teachers.sort_by(|a, b| a.id.cmp(&b.id));
        let twin = teachers.windows(2).find(|pair| pair[0].id == pair[1].id);
        if let Some(pair) = twin {
            return Err(DuplicateTeacher(pair[0].id.clone()));
        }
        Ok(Self { teachers, eligibility, costs: ExpectedCosts::default(), score_usd: 0.0, reach: BTreeMap::new() })
    }

    /// The teachers, sorted by id (bytes).
    pub fn teachers(&self) -> &[Teacher] {
        &self.teachers
    }

    /// The places of the teachers that a router can learn about: not those that can be asked about certain prompts alone
    /// (translated answers), and not those that the rules let nobody ask.
    pub fn members(&self) -> Vec<usize> {
        let is_member = |teacher: &Teacher| !self.reach.contains_key(&teacher.id) && !self.eligibility.bars(teacher);
        (0..self.teachers.len()).filter(|at| is_member(&self.teachers[*at])).collect()
    }

    /// Returns the question that `prompt` is to a router.
    pub fn query<'a>(&'a self, prompt: &'a Prompt) -> Query<'a> {
        let reaches =
            |teacher: &Teacher| self.reach.get(&teacher.id).is_none_or(|prompts| prompts.contains(&prompt.id));
        let is_allowed = |teacher: &Teacher| self.eligibility.obstacle(teacher, &prompt.language).is_none();
        let may_answer = |teacher: &&Teacher| is_allowed(teacher) && reaches(teacher);
        let priced = |teacher| Eligible { teacher, cost_usd: self.costs.of(teacher, &prompt.language) };
        let eligible = self.teachers.iter().filter(may_answer).map(priced).collect();
        Query { prompt, eligible, score_usd: self.score_usd }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teacher::{Coverage, Price, TeacherKind};

    fn teacher(license: &str) -> Teacher {
        let languages = Coverage::Only([Language::parse("tr").unwrap()].into());
        let price = Price { input: 1.0, output: 3.0, ..Price::default() };
        Teacher {
            id: "t".into(),
            kind: TeacherKind::Monolingual,
            languages,
            license: license.into(),
            outputs_may_train: None,
            price,
        }
    }

    fn obstacle(rules: &Eligibility, license: &str, tag: &str) -> Option<Ineligible> {
        rules.obstacle(&teacher(license), &Language::parse(tag).unwrap())
    }

    #[test]
    fn who_may_be_asked() {
        let strict = Eligibility::default();
        assert_eq!(obstacle(&strict, "MIT", "tr"), None);
        assert_eq!(obstacle(&strict, "MIT", "uk"), Some(Ineligible::NotCovered));
        assert_eq!(obstacle(&strict, "CC-BY-NC-4.0", "tr"), Some(Ineligible::License));
        assert_eq!(obstacle(&strict, "gemma", "tr"), Some(Ineligible::License));
        let lax = Eligibility {
            respect_coverage: false,
            purpose: Purpose::Research,
            allow_unknown_license: true,
            ..Eligibility::default()
        };
        assert_eq!(["MIT", "CC-BY-NC-4.0", "gemma"].map(|license| obstacle(&lax, license, "uk")), [None; 3]);
        assert_eq!(obstacle(&lax, "proprietary", "uk"), Some(Ineligible::License));
        let without = Eligibility { exclude: ["t".to_owned()].into(), ..lax };
        assert_eq!(obstacle(&without, "MIT", "tr"), Some(Ineligible::Excluded));
    }

    #[test]
    fn what_is_declared_comes_before_the_licence() {
        let declared = |license: &str, permission| {
            let teacher = Teacher { outputs_may_train: Some(permission), ..teacher(license) };
            Eligibility::default().obstacle(&teacher, &Language::parse("tr").unwrap())
        };
        assert_eq!(declared("gemma", Permission::Yes), None);
        for permission in [Permission::NonCommercial, Permission::Unknown, Permission::No] {
            assert_eq!(declared("MIT", permission), Some(Ineligible::License));
        }
    }

    #[test]
    fn unmeasured_answers_are_expected_at_list_price() {
        let cost = ExpectedCosts::default().of(&teacher("MIT"), &Language::parse("tr").unwrap());
        assert!((cost - 0.004).abs() < 1e-15);
    }
}
