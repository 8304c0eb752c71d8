//! The closing screen of a budgeted run: what it was to reach in each language, what audits found, and what no longer holds.

use cambist_core::{drift::MIN_AUDITS, search::Promise};

use super::{aligned, signed};
use crate::verbs::SearchFile;

/// Returns the lines that close a step whose router searches.
pub(super) fn lines(label: &str, file: &SearchFile) -> Vec<String> {
    let header = ["language", "n", "price of reward", "gain promised %", "cost %", "regret promised"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for (language, own) in &file.prices.languages {
        rows.push(row(language.as_str(), own.lambda, own.promise.as_ref()));
    }
    rows.push(row("all", file.prices.lambda, file.prices.promise.as_ref()));
    let mut lines = vec![format!("`{label}` searched at what calibration promises:")];
    lines.extend(aligned(&rows));
    lines.extend(audit(file));
    lines.extend(file.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines
}

fn row(name: &str, lambda: f64, promise: Option<&Promise>) -> Vec<String> {
    let told = |of: Option<f64>, digits: usize| of.map_or_else(|| "n/a".to_owned(), |value| signed(value, digits));
    vec![
        name.to_owned(),
        promise.map_or(0, |promise| promise.n).to_string(),
        format!("{lambda:.3}"),
        told(promise.and_then(|promise| promise.gain).map(|gain| 100.0 * gain), 1),
        told(promise.map(|promise| 100.0 * promise.cost_share), 1),
        told(promise.map(|promise| promise.regret), 3),
    ]
}

fn audit(file: &SearchFile) -> Option<String> {
    let drift = file.drift.as_ref()?;
    let n = drift.n_audits;
    Some(match &drift.audit {
        Some(audit) => {
            let interval = audit.regret.interval;
            let ends = interval.map(|i| format!(" [{}, {}]", signed(i.low, 3), signed(i.high, 3))).unwrap_or_default();
            let (found, promised) = (signed(audit.regret.value, 3), signed(audit.promised, 3));
            format!("regret on {n} prompts that everybody was asked about: {found}{ends}, promised {promised}")
        }
        None => format!("{n} prompts were audited, and at least {MIN_AUDITS} say something about regret"),
    })
}
