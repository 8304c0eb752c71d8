//! Where numbers come from.

use serde::Serialize;

use super::text::escape;

/// Where numbers come from; a line below each table and figure. Empty parts are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Origin {
    /// What was counted: `200 prompts per language`.
    pub n: String,
    /// What the interval is: `95 % bootstrap, clustered by source prompt`.
    pub interval: String,
    /// The seeds that the numbers are means over.
    pub seeds: Vec<u64>,
    /// The task and its version: `polyglot 1`.
    pub task: String,
    /// Ids of the artifacts that hold the numbers.
    pub artifacts: Vec<String>,
}

impl Origin {
    /// Returns what is told, as markup, in the order it is read; empty parts included.
    pub(super) fn parts(&self) -> impl Iterator<Item = String> {
        let named = |name: &str, value: &str| if value.is_empty() { String::new() } else { format!("{name}{value}") };
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        let word = if seeds.len() == 1 { "seed " } else { "seeds " };
        let artifacts: Vec<String> = self.artifacts.iter().map(|id| format!("<code>{}</code>", escape(id))).collect();
        [
            named("n: ", &escape(&self.n)),
            named("interval: ", &escape(&self.interval)),
            named(word, &seeds.join(", ")),
            named("task ", &escape(&self.task)),
            artifacts.join(", "),
        ]
        .into_iter()
    }
}

/// Joins what is not empty; the parts are markup already.
pub(super) fn origin_line(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).map(|part| format!("<span>{part}</span>")).collect();
    if parts.is_empty() { String::new() } else { format!(r#"<p class="origin">{}</p>"#, parts.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_parts_are_left_out_and_ids_are_escaped() {
        assert_eq!(origin_line(Origin::default().parts()), "");
        let origin = Origin { seeds: vec![1, 2], artifacts: vec!["<a>".to_owned()], ..Origin::default() };
        let line = origin_line(origin.parts());
        assert_eq!(line, r#"<p class="origin"><span>seeds 1, 2</span> <span><code>&lt;a&gt;</code></span></p>"#);
    }
}
