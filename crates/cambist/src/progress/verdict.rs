//! What a server was found to be and to do, in a line.

use cambist_io::{
    dialect::{probe::Shown, teacher::ServerKind},
    store::{EndpointProbe, Trial},
};

/// `alpha: vllm 0.11.0 at http://gpu1:8000, 16384 tokens, n yes`.
pub(crate) fn line(probe: &EndpointProbe) -> String {
    let mut parts = vec![format!("{}: {} at {}", probe.name, server(probe), probe.address)];
    parts.extend(probe.facts.max_model_len.map(|length| format!("{length} tokens")));
    parts.extend(probe.facts.max_concurrency.map(|n| format!("{n} at once")));
    parts.extend(Some(abilities(probe)).filter(|abilities| !abilities.is_empty()));
    parts.extend(probe.failure.clone());
    parts.join(", ")
}

/// `vllm 0.11.0`; `unnamed server` where it does not say.
pub(crate) fn server(probe: &EndpointProbe) -> String {
    let name = match probe.facts.kind {
        ServerKind::None => "unnamed server",
        kind => kind.name(),
    };
    match &probe.facts.version {
        Some(version) => format!("{name} {version}"),
        None => name.to_owned(),
    }
}

/// `n yes, seed unknown, length limit max_tokens`; empty when nothing was tried.
pub(crate) fn abilities(probe: &EndpointProbe) -> String {
    let word = |shown: Shown| match shown {
        Shown::Yes => "yes",
        Shown::No => "no",
        Shown::Unknown => "unknown",
    };
    let all = [Trial::N, Trial::Seed, Trial::JsonSchema, Trial::Tokenizer, Trial::RawRewards];
    let shown = all.into_iter().filter_map(|trial| Some((trial, probe.trials.of(trial)?)));
    let mut parts: Vec<String> = shown.map(|(trial, shown)| format!("{} {}", trial.name(), word(shown))).collect();
    parts.extend(probe.trials.length_field.map(|field| format!("length limit {}", field.name())));
    parts.join(", ")
}
