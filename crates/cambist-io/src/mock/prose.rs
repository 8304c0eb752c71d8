//! Running text in many languages, put together from phrases by chance.

mod phrases;

pub(crate) use phrases::{PHRASES, Phrases};

use super::draw::Draw;

/// The mark before a word of the prompt; a text has as many sentences on the topic as it has of these.
pub(crate) const TOPIC_MARK: char = '“';

/// Returns the phrases of a language by its primary subtag; English for those that the mock server does not speak.
pub(crate) fn phrases(tag: &str) -> &'static Phrases {
    let primary = tag.split(['-', '_']).next().unwrap_or(tag);
    PHRASES.iter().find(|phrases| phrases.tag.eq_ignore_ascii_case(primary)).unwrap_or(&PHRASES[0])
}

/// What is to be said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme<'a> {
    /// In which language.
    pub(crate) phrases: &'static Phrases,
    /// Words of the prompt.
    pub(crate) topics: &'a [&'a str],
    /// The share of sentences that are on the topic.
    pub(crate) quality: f64,
}

/// Returns sentences until they have `n_chars` characters, fewer by six tenths in dense scripts.
pub(crate) fn write(theme: Theme<'_>, n_chars: usize, draw: Draw) -> String {
    let wanted = if theme.phrases.gap.is_empty() || theme.phrases.tag == "ko" { n_chars * 2 / 5 } else { n_chars };
    let mut text = String::with_capacity(n_chars * 2);
    let mut n = 0;
    let mut written = 0;
    while n == 0 || written < wanted {
        if n > 0 {
            text.push_str(theme.phrases.gap);
        }
        let before = text.len();
        add_sentence(&mut text, theme, (n, draw));
        written += text[before..].chars().count();
        n += 1;
    }
    text
}

/// Returns `n` sentences.
pub(crate) fn sentences(theme: Theme<'_>, n: usize, draw: Draw) -> Vec<String> {
    let one = |i| {
        let mut text = String::new();
        add_sentence(&mut text, theme, (i, draw));
        text
    };
    (0..n).map(one).collect()
}

fn add_sentence(text: &mut String, theme: Theme<'_>, (n, draw): (usize, Draw)) {
    let own = draw.with(n as u64);
    let is_on_topic = own.unit() < theme.quality;
    let bank = if is_on_topic { &theme.phrases.on_topic } else { &theme.phrases.asides };
    // Neighbours differ: the start is drawn, and from there on the bank is gone through in turn.
    let template = bank[(draw.with(50).below(bank.len()) + n) % bank.len()];
    let thing = theme.phrases.things[own.with(51).below(theme.phrases.things.len())];
    let topic = match theme.topics.len() {
        0 => theme.phrases.things[own.with(52).below(theme.phrases.things.len())],
        n_topics => theme.topics[own.with(53).below(n_topics)],
    };
    fill(text, template, (topic, thing));
}

fn fill(text: &mut String, template: &str, (topic, thing): (&str, &str)) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        text.push_str(if after.starts_with('t') { topic } else { thing });
        rest = after.get(2..).unwrap_or_default();
    }
    text.push_str(rest);
}

/// Returns up to eight words of a prompt worth speaking of, in their order: those of four letters or more, four
/// characters of each run in a dense script.
pub(crate) fn topics(prompt: &str) -> Vec<&str> {
    let runs = prompt.split(|c: char| !c.is_alphanumeric() && !is_joined(c));
    let worth = runs.filter_map(|run| {
        let is_dense = run.chars().next().is_some_and(|c| c >= '\u{2e80}');
        let n_chars = run.chars().count();
        match (is_dense, n_chars) {
            (true, 2..) => Some(run.char_indices().nth(4).map_or(run, |(end, _)| &run[..end])),
            (false, 4..=24) => Some(run),
            _ => None,
        }
    });
    worth.take(8).collect()
}

/// Vowel signs and accents that stand inside words without being letters.
fn is_joined(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{94f}' | '\u{200c}' | '\'')
}

#[cfg(test)]
mod tests {
    use cambist_core::{identify::identify_expecting, language::Language};

    use super::*;

    #[test]
    fn every_language_is_recognised_at_every_quality() {
        for phrases in &PHRASES {
            for (quality, seed) in [(0.0, 1), (0.5, 2), (1.0, 3)] {
                let text = write(Theme { phrases, topics: &[], quality }, 400, Draw::new(seed));
                let language = Language::parse(phrases.tag).unwrap();
                let found = identify_expecting(&text, &language).unwrap().language;
                assert_eq!(found, language, "{text}");
            }
        }
    }

    #[test]
    fn lengths_and_topics_are_as_asked() {
        let theme = Theme { phrases: phrases("en-GB"), topics: &["rivers"], quality: 1.0 };
        let text = write(theme, 300, Draw::new(4));
        assert!((300..420).contains(&text.chars().count()), "{text}");
        assert!(text.matches(TOPIC_MARK).count() >= 3 && text.contains("“rivers”"), "{text}");
        assert!(!text.contains('{'), "{text}");
        assert_eq!(phrases("xx").tag, "en");
    }

    #[test]
    fn topics_are_words_of_the_prompt() {
        assert_eq!(topics("Why do rivers bend?"), ["rivers", "bend"]);
        assert_eq!(topics("为什么河流会弯曲？"), ["为什么河"]);
    }
}
