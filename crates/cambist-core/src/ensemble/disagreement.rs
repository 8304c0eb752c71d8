//! How far arbiters disagree, by language.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Panel, PanelScales};
use crate::{
    language::Language,
    statistics::{kendall_tau, standard_deviation},
};

/// How far the arbiters disagree in one language.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Disagreement {
    /// Prompts with two candidates or more that two arbiters or more scored whole; all else here is over these.
    pub n_prompts: usize,
    /// Mean over the candidates of the standard deviation of the normalised values over the arbiters; none where no
    /// candidate has two.
    pub mean_sd: Option<f64>,
    /// Kendall's tau-b inside each prompt, between the arbiters `a` and `b` (`a < b`), and its mean over the prompts in
    /// which both order something.
    pub tau: Vec<PairTau>,
    /// Share of the prompts without a candidate that is a best one of every arbiter; none of no prompts.
    pub other_winner: Option<f64>,
}

/// How alike two arbiters order the candidates of a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairTau {
    /// The first arbiter.
    pub a: String,
    /// The second.
    pub b: String,
    /// Prompts in which both order something.
    pub n_prompts: usize,
    /// The mean of tau-b, -1 to 1.
    pub mean: f64,
}

/// Measures disagreement in each language.
pub fn disagreement<'a>(
    panels: impl IntoIterator<Item = (&'a Language, &'a Panel)>,
    scales: &PanelScales,
) -> BTreeMap<Language, Disagreement> {
    let mut all = Disagreements::default();
    for (language, panel) in panels {
        all.add((language, panel), scales);
    }
    all.result()
}

/// Measures disagreement prompt by prompt, without keeping any.
#[derive(Clone, Debug, Default)]
pub struct Disagreements {
    languages: BTreeMap<Language, Counts>,
}

impl Disagreements {
    /// Takes the panel of one prompt in.
    pub fn add(&mut self, (language, panel): (&Language, &Panel), scales: &PanelScales) {
        self.languages.entry(language.clone()).or_default().add((language, panel), scales);
    }

    /// Returns what was found so far, by language.
    pub fn result(&self) -> BTreeMap<Language, Disagreement> {
        self.languages.iter().map(|(language, counts)| (language.clone(), counts.result())).collect()
    }
}

#[derive(Clone, Debug, Default)]
struct Counts {
    n_prompts: usize,
    n_other_winner: usize,
    sd: Sum,
    taus: BTreeMap<(String, String), Sum>,
}

/// A mean in the making.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    n: usize,
    total: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        self.n += 1;
        self.total += value;
    }

    fn mean(self) -> Option<f64> {
        (self.n > 0).then(|| self.total / self.n as f64)
    }
}

impl Counts {
    fn add(&mut self, (language, panel): (&Language, &Panel), scales: &PanelScales) {
        let whole: Vec<(&str, Vec<f64>)> = panel
            .values
            .iter()
            .filter_map(|(arbiter, values)| Some((arbiter.as_str(), values.iter().copied().collect::<Option<_>>()?)))
            .collect();
        if whole.len() < 2 || panel.n_candidates() < 2 {
            return;
        }
        self.n_prompts += 1;
        let best = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let is_everybodys = |at: usize| whole.iter().all(|(_, values)| values[at] == best(values));
        self.n_other_winner += usize::from(!(0..panel.n_candidates()).any(is_everybodys));
        for at in 0..panel.n_candidates() {
            let on_scale = |(arbiter, values): &(&str, Vec<f64>)| scales.normalize(arbiter, language, values[at]);
            let sd = standard_deviation(&whole.iter().filter_map(on_scale).collect::<Vec<_>>());
            sd.into_iter().for_each(|sd| self.sd.add(sd));
        }
        for (first, (a, of_a)) in whole.iter().enumerate() {
            for (b, of_b) in &whole[first + 1..] {
                let taus = self.taus.entry(((*a).to_owned(), (*b).to_owned())).or_default();
                kendall_tau(of_a, of_b).into_iter().for_each(|tau| taus.add(tau));
            }
        }
    }

    fn result(&self) -> Disagreement {
        let tau = |((a, b), taus): (&(String, String), &Sum)| {
            Some(PairTau { a: a.clone(), b: b.clone(), n_prompts: taus.n, mean: taus.mean()? })
        };
        let share = self.n_other_winner as f64 / self.n_prompts as f64;
        Disagreement {
            n_prompts: self.n_prompts,
            mean_sd: self.sd.mean(),
            tau: self.taus.iter().filter_map(tau).collect(),
            other_winner: (self.n_prompts > 0).then_some(share),
        }
    }
}
