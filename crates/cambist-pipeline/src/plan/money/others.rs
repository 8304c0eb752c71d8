//! What the calls to arbiters, translators and fusors will cost.

use cambist_core::language::Language;
use cambist_io::ledger::{CallHistory, Moments, ScoreHistory};

use super::{Estimate, Range, Stratum, range};
use crate::{
    plan::{Job, Plan},
    recipe::{Action, Arbiter},
    verbs::{Count, Forecast},
};

/// Bytes of a judge's own words around what it judges.
const RUBRIC_BYTES: u64 = 1200;

impl Plan {
    /// From the history of the arbiter's scores in the language, else in all languages, else from lengths alone.
    pub(super) fn of_scores(&self, forecast: &Forecast, history: &[ScoreHistory]) -> Estimate {
        let declared = self.recipe.arbiters.iter().find(|arbiter| arbiter.id == forecast.name);
        let price = declared.and_then(|arbiter| arbiter.price);
        let mut estimate = Estimate::of(&forecast.name, "scores", price.is_some());
        estimate.is_at_most = forecast.is_at_most;
        for (language, count) in &forecast.counts {
            let stratum = of_arbiter(history, (&forecast.identity, language), (declared, count));
            estimate.add(count, &stratum, price.unwrap_or_default());
        }
        estimate
    }

    /// Of a step that asks one member of the pool to translate or to fuse: from the history of its calls; for an engine
    /// from the characters, which are known.
    pub(super) fn of_one_asked(&self, job: &Job, forecast: &Forecast, history: &[CallHistory]) -> Option<Estimate> {
        let (asked_for, sampling) = match &self.step_of(job).action {
            Action::Translate(params) => ("translations", &params.sampling),
            Action::Fuse(params) => ("fusions", &params.sampling),
            _ => return None,
        };
        let member = self.recipe.pool.iter().find(|member| member.id == forecast.name)?;
        let mut estimate = Estimate::of(&member.id, asked_for, member.has_price());
        estimate.is_at_most = forecast.is_at_most;
        let price = member.price.unwrap_or_default();
        for (language, count) in &forecast.counts {
            if member.translation_dialect().is_some() {
                let usd = price.characters * count.bytes_left as f64 / 1e6;
                estimate.calls += count.total;
                estimate.calls_left += count.left;
                estimate.characters += count.bytes_left;
                let exact = Range { mean: usd, low: usd, high: usd };
                estimate.cost_usd = estimate.cost_usd.map(|cost| cost.plus(exact));
                continue;
            }
            let max_out = member
                .request
                .sampling
                .as_ref()
                .map_or(sampling.max_new_tokens as f64, |sampling| f64::from(sampling.max_tokens));
            let lengths = (count.bytes_left, count.left, max_out);
            let mut stratum = Stratum::of(history, (&member.id, language), lengths);
            if asked_for == "fusions" {
                // A fusor reads all candidates: what it read as a teacher says nothing of that.
                stratum.input = Stratum::of_lengths(lengths).input;
            }
            estimate.add(count, &stratum, price);
        }
        Some(estimate)
    }
}

fn of_arbiter(
    history: &[ScoreHistory],
    (identity, language): (&str, &Language),
    (declared, count): (Option<&Arbiter>, &Count),
) -> Stratum {
    let of_arbiter = || history.iter().filter(|seen| seen.arbiter == identity);
    let sum = |rows: Vec<&ScoreHistory>| {
        let add = |pick: fn(&ScoreHistory) -> Moments| {
            rows.iter().map(|row| pick(row)).fold(Moments::default(), Moments::plus)
        };
        (add(|row| row.tokens_in), add(|row| row.tokens_out))
    };
    let spoken = sum(of_arbiter().filter(|seen| seen.language == language.as_str()).collect());
    let (input, output) = if spoken.0.n >= 5 { spoken } else { sum(of_arbiter().collect()) };
    if let Some(found) = range(input).filter(|_| input.n >= 5) {
        // A reward model writes nothing.
        return Stratum { input: found, output: range(output).unwrap_or_default(), n_history: input.n };
    }
    let judge = declared.and_then(|arbiter| arbiter.judge.as_ref());
    let rubric = if judge.is_some() { RUBRIC_BYTES * count.left } else { 0 };
    let max_out = judge.map_or(0.0, |judge| f64::from(judge.max_tokens()));
    Stratum::of_lengths((count.bytes_left + rubric, count.left, max_out))
}
