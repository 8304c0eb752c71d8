//! The bill before it is made out: calls, tokens and money, by teacher, arbiter and engine.

use cambist_pipeline::plan::{Estimate, Plan, Range};

use super::Estimates;
use crate::{failure::Failure, screen};

/// Shows what is left to pay for each step that asks servers, and in all.
pub(super) fn show(plan: &Plan, estimates: &Estimates) -> Result<(), Failure> {
    if estimates.is_empty() {
        return Ok(());
    }
    let mut rows = Vec::new();
    let mut total = Some(Range::default());
    for (&index, of_job) in estimates {
        for estimate in of_job {
            rows.push(row(&plan.jobs[index].label, estimate));
            total = total.zip(estimate.cost_usd).map(|(sum, cost)| sum.plus(cost));
        }
    }
    screen::print("")?;
    let titles = [
        "step",
        "asked",
        "for",
        " calls",
        " left",
        " tokens in",
        " tokens out",
        " USD left",
        " 90 % interval",
        "rests on",
    ];
    for line in screen::columns(&titles, &rows) {
        screen::print(&line)?;
    }
    let all = total.map_or("unknown: some of those asked have no `price`".to_owned(), |total| {
        format!("{} USD ({} to {})", usd(total.mean), usd(total.low), usd(total.high))
    });
    let is_at_most = estimates.values().flatten().any(|estimate| estimate.is_at_most);
    let note = if is_at_most { "; at most, as far as answers are not there yet" } else { "" };
    screen::print(&format!("\nleft to pay: {all}{note}"))?;
    if let Some(cap) = plan.recipe.budget.total_usd {
        screen::print(&format!("budget: {} USD a run", usd(cap)))?;
    }
    if let Some(cap) = plan.recipe.budget.per_day_usd {
        screen::print(&format!("budget: {} USD in 24 hours, all runs together", usd(cap)))?;
    }
    Ok(())
}

fn row(step: &str, estimate: &Estimate) -> Vec<String> {
    let basis = match (estimate.n_history, estimate.characters) {
        _ if estimate.calls_left == 0 => "nothing is left".to_owned(),
        (0, 0) if estimate.asked_for == "answers" => "lengths alone; --probe asks a few".to_owned(),
        (0, 0) => "lengths alone".to_owned(),
        (0, n) => format!("{n} characters"),
        (n, _) => format!("{n} calls in the ledger"),
    };
    let at_most = |n: u64| if estimate.is_at_most { format!("≤ {n}") } else { n.to_string() };
    let cost = |part: fn(&Range) -> f64| estimate.cost_usd.as_ref().map(|range| usd(part(range)));
    let interval = cost(|range| range.low).zip(cost(|range| range.high)).map(|(low, high)| format!("{low} to {high}"));
    vec![
        step.to_owned(),
        estimate.teacher.clone(),
        estimate.asked_for.to_owned(),
        at_most(estimate.calls),
        at_most(estimate.calls_left),
        format!("{:.0}", estimate.tokens_in),
        format!("{:.0}", estimate.tokens_out),
        cost(|range| range.mean).unwrap_or_else(|| "unknown".to_owned()),
        interval.unwrap_or_default(),
        basis,
    ]
}

/// Dollars with cents, or with as many digits as small sums need.
fn usd(amount: f64) -> String {
    if amount == 0.0 || amount >= 1.0 { format!("{amount:.2}") } else { format!("{amount:.4}") }
}
