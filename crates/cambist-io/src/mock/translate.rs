//! Requests for a translation and the answers to them.

use serde_json::{Value, json};

use super::{
    draw::Draw,
    prose::{self, PHRASES, Phrases, Theme},
    reply::Reply,
    tokens,
    turn::Turn,
};

/// A text to translate.
#[derive(Debug)]
pub(crate) struct Task<'a> {
    /// The language to write in.
    pub(crate) target: &'static Phrases,
    /// The text.
    pub(crate) source: &'a str,
}

/// Returns the translation that is asked for, if one is.
///
/// One of the first three lines of the last turn, or of what was said before, must hold tags with an arrow
/// (`en -> de`, `en → de`), or the stem `translat` with `into German` or `to German`. The text begins after that line;
/// it is the whole turn when the line stands before it or is the turn's last.
pub(crate) fn task<'a>(context: &str, prompt: &'a str) -> Option<Task<'a>> {
    let mut end = 0;
    for line in prompt.split_inclusive('\n').take(3) {
        end += line.len();
        if let Some(target) = target(line) {
            let after = prompt[end..].trim();
            let inline = || line.split_once(':').map(|(_, text)| text.trim()).filter(|text| !text.is_empty());
            let source = if after.is_empty() { inline().unwrap_or(prompt) } else { after };
            return Some(Task { target, source });
        }
    }
    let target = context.lines().take(3).find_map(target)?;
    Some(Task { target, source: prompt })
}

fn target(line: &str) -> Option<&'static Phrases> {
    let arrow = ["->", "→"].iter().find_map(|arrow| line.split_once(arrow));
    if let Some((before, after)) = arrow {
        let is_tag = |word: &str| (2..=3).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphabetic());
        let from = before.trim_end().rsplit(|c: char| !c.is_alphanumeric() && c != '-').next()?;
        let to = after.trim_start().split(|c: char| !c.is_alphanumeric()).next()?;
        let from = from.split('-').next().unwrap_or(from);
        return (is_tag(from) && is_tag(to)).then(|| prose::phrases(to));
    }
    let line = line.to_lowercase();
    if !line.contains("translat") {
        return None;
    }
    let named = |name: &&str| [" into ", " to "].iter().any(|word| line.contains(&format!("{word}{name}")));
    PHRASES.iter().find(|phrases| phrases.names.iter().any(named))
}

/// Returns about as many sentences as the text has, with its placeholders (`⟦0⟧`) kept as they are and in order.
pub(crate) fn translate(task: &Task<'_>, quality: f64, draw: Draw) -> String {
    let ends = |c: char| matches!(c, '.' | '!' | '?' | '。' | '！' | '？' | '।' | '؟' | '\n');
    let n = task.source.split(ends).filter(|part| part.contains(char::is_alphabetic)).count().max(1);
    let topics = prose::topics(task.source);
    let theme = Theme { phrases: task.target, topics: &topics, quality };
    let kept = placeholders(task.source);
    let per_sentence = kept.len().div_ceil(n).max(1);
    let mut groups = kept.chunks(per_sentence);
    let with_kept = |sentence: String| match groups.next() {
        Some(group) => format!("{sentence} {}", group.join(" ")),
        None => sentence,
    };
    let sentences: Vec<String> = prose::sentences(theme, n, draw).into_iter().map(with_kept).collect();
    sentences.join(task.target.gap)
}

/// Returns the reply of LibreTranslate's route; none for other paths.
pub(crate) fn reply(turn: &Turn<'_>) -> Option<Reply> {
    if turn.asked.path != "/translate" {
        return None;
    }
    let asked = turn.asked;
    let refuse = |error: String| Some(Reply { status: 400, ..Reply::json(json!({ "error": error })) });
    let to = asked.text("target");
    let primary = to.split('-').next().unwrap_or(to);
    let Some(target) = PHRASES.iter().find(|phrases| phrases.tag == primary) else {
        return refuse(format!("{to} is not supported"));
    };
    if asked.text("source").is_empty() {
        return refuse("Invalid request: missing source parameter".to_owned());
    }
    // A text has one translation, in whatever request it comes.
    let translated = |source: &str| {
        let draw = Draw::new(turn.options.seed).with_text(to).with_text(source);
        translate(&Task { target, source }, 0.6, draw)
    };
    let texts: Value = match &asked.body["q"] {
        Value::String(text) => json!(translated(text)),
        Value::Array(texts) => texts.iter().map(|text| translated(text.as_str().unwrap_or_default())).collect(),
        _ => return refuse("Invalid request: missing q parameter".to_owned()),
    };
    let n_tokens = tokens::count(&texts.to_string());
    Some(Reply::json(json!({ "translatedText": texts })).with_tokens(n_tokens))
}

fn placeholders(text: &str) -> Vec<&str> {
    let starts = text.match_indices('⟦').map(|(start, _)| start);
    starts.filter_map(|start| text[start..].find('⟧').map(|end| &text[start..start + end + '⟧'.len_utf8()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::tongue;

    fn target_of(context: &str, prompt: &str) -> Option<&'static str> {
        task(context, prompt).map(|task| task.target.tag)
    }

    #[test]
    fn instructions_are_recognised() {
        assert_eq!(target_of("", "Translate the text from English to German:\nHello."), Some("de"));
        assert_eq!(target_of("", "en -> ja\nHello."), Some("ja"));
        assert_eq!(target_of("You translate en → uk.", "Hello."), Some("uk"));
        assert_eq!(target_of("", "Please translate into Português: Good day."), Some("pt"));
        assert_eq!(target_of("", "How do I map x -> y in German?"), None);
        assert_eq!(target_of("", "Write a poem about going into German towns."), None);
        assert_eq!(task("", "Translate to French: Good day.").unwrap().source, "Good day.");
    }

    #[test]
    fn placeholders_stay_in_order() {
        let source = "See ⟦0⟧ and ⟦1⟧. Then run ⟦2⟧! Is it ⟦3⟧?";
        let task = Task { target: prose::phrases("fr"), source };
        let text = translate(&task, 0.5, Draw::new(1));
        assert_eq!(placeholders(&text), ["⟦0⟧", "⟦1⟧", "⟦2⟧", "⟦3⟧"]);
        assert_eq!(tongue::guess(&text), Some("fr"), "{text}");
    }
}
