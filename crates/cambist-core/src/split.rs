//! Disjoint sets of prompts, and the removal of duplicates before they are made.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use unicode_normalization::UnicodeNormalization;

use crate::{chance::Chance, language::Language, prompt::Prompt};

/// A prompt that was removed because an earlier one of its language has the same text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The removed prompt.
    pub id: String,
    /// The prompt that stays.
    pub same_as: String,
}

/// The sets ask for more sources than there are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the splits ask for {wanted} sources and there are {found}; ask for fewer, or give more prompts")]
pub struct TooFewSources {
    /// Sources that the splits ask for together.
    pub wanted: usize,
    /// Sources that there are.
    pub found: usize,
}

/// Removes prompts whose conversation equals an earlier one of the same language after [`fold_text`]; the order stays.
pub fn remove_duplicates(prompts: Vec<Prompt>) -> (Vec<Prompt>, Vec<Duplicate>) {
    let mut first: HashMap<(Language, String), String> = HashMap::with_capacity(prompts.len());
    let mut duplicates = Vec::new();
    let mut kept = Vec::with_capacity(prompts.len());
    for prompt in prompts {
        let key = (prompt.language.clone(), fold_conversation(&prompt));
        match first.get(&key) {
            Some(same_as) => duplicates.push(Duplicate { id: prompt.id, same_as: same_as.clone() }),
            None => {
                first.insert(key, prompt.id.clone());
                kept.push(prompt);
            }
        }
    }
    (kept, duplicates)
}

/// Returns the whole conversation as duplicates are compared: each turn's role and its text after [`fold_text`].
pub fn fold_conversation(prompt: &Prompt) -> String {
    prompt.messages.iter().map(|m| format!("{:?} {}", m.role, fold_text(&m.content))).collect::<Vec<_>>().join("\n")
}

/// Returns the text as duplicates are compared: NFKC, lower case, white space collapsed, ASCII and general punctuation
/// removed unless nothing else is left. A sign right before a digit, and a percent sign after one, are part of the number
/// and stay.
pub fn fold_text(text: &str) -> String {
    let letters: Vec<char> = text.nfkc().flat_map(char::to_lowercase).collect();
    let is_digit = |index: usize| letters.get(index).is_some_and(|c| c.is_numeric());
    let is_part_of_number = |at: usize, c: char| is_digit(at + 1) || (c == '%' && at > 0 && is_digit(at - 1));
    let stays = |&(at, c): &(usize, &char)| !is_punctuation(*c) || is_part_of_number(at, *c);
    let kept: String = letters.iter().enumerate().filter(stays).map(|(_, c)| *c).collect();
    let folded = kept.split_whitespace().collect::<Vec<_>>().join(" ");
    if folded.is_empty() { text.split_whitespace().collect::<Vec<_>>().join(" ") } else { folded }
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation()
        || matches!(c, '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}')
        || matches!(c, '¿' | '¡' | '«' | '»' | '،' | '؛' | '؟' | '·')
}

/// Returns the random number that decides where a source falls: splits take sources in its order.
pub fn draw(seed: u64, source_id: &str) -> u64 {
    Chance::new(seed, &["split", source_id]).next_u64()
}

/// Parts the prompts into named sets by source: all translations of one source fall into one set, and no source into
/// two.
///
/// Sources are put in the order of a random number drawn from `(seed, source id)`, and each split takes its number of
/// them in the order of the splits' names; what is left belongs to none. A source's place depends on nothing but the
/// seed and which other sources there are. Inside a set the order of the input stays.
///
/// # Errors
/// When the splits ask for more sources than there are.
pub fn split_by_source(
    prompts: &[Prompt],
    splits: &BTreeMap<String, usize>,
    seed: u64,
) -> Result<BTreeMap<String, Vec<Prompt>>, TooFewSources> {
    let sources: BTreeSet<&str> = prompts.iter().map(|prompt| prompt.source_id.as_str()).collect();
    let mut drawn: Vec<(u64, &str)> = sources.iter().map(|source| (draw(seed, source), *source)).collect();
    drawn.sort_unstable();
    let wanted: usize = splits.values().sum();
    if wanted > drawn.len() {
        return Err(TooFewSources { wanted, found: drawn.len() });
    }
    let names = splits.iter().flat_map(|(name, &n_sources)| std::iter::repeat_n(name, n_sources));
    let split_of: HashMap<&str, &String> = drawn.iter().map(|(_, source)| *source).zip(names).collect();
    let mut sets: BTreeMap<String, Vec<Prompt>> = splits.keys().map(|name| (name.clone(), Vec::new())).collect();
    for prompt in prompts {
        if let Some(set) = split_of.get(prompt.source_id.as_str()).and_then(|name| sets.get_mut(*name)) {
            set.push(prompt.clone());
        }
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Message;

    fn prompt(id: &str, source: &str, language: &str, text: &str) -> Prompt {
        Prompt {
            id: id.into(),
            source_id: source.into(),
            language: Language::parse(language).unwrap(),
            answer_language: None,
            messages: vec![Message::user(text)],
            task: None,
            reference: None,
            check: None,
            source: String::new(),
            origin: None,
            mt_engine: None,
        }
    }

    #[test]
    fn duplicates_differ_in_nothing_that_matters() {
        let texts =
            ["Write 1,234.", "write  1,234", "Write 1.234", "Écris «oui»", "ÉCRIS oui !", "何時ですか。", "何時ですか"];
        let prompts = texts.iter().enumerate().map(|(i, text)| prompt(&i.to_string(), "s", "fr", text)).collect();
        let (kept, duplicates) = remove_duplicates(prompts);
        assert_eq!(kept.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["0", "2", "3", "5"]);
        assert_eq!(duplicates[0], Duplicate { id: "1".into(), same_as: "0".into() });
        assert_eq!(duplicates[2].same_as, "5");
    }

    #[test]
    fn numbers_keep_their_signs() {
        assert_ne!(fold_text("3 - 5"), fold_text("3 -5 "));
        assert_ne!(fold_text("-5"), fold_text("5"));
        assert_ne!(fold_text("1.5"), fold_text("15"));
        assert_eq!(fold_text("?!"), "?!");
    }

    #[test]
    fn no_source_stands_in_two_splits() {
        let prompts: Vec<Prompt> = (0..50)
            .flat_map(|i| ["de", "tr"].map(|l| prompt(&format!("{i}-{l}"), &format!("s{i}"), l, &format!("{i} {l}"))))
            .collect();
        let splits = BTreeMap::from([("test".to_owned(), 10), ("train".to_owned(), 30)]);
        let sets = split_by_source(&prompts, &splits, 7).unwrap();
        assert_eq!((sets["test"].len(), sets["train"].len()), (20, 60));
        let sources = |name: &str| sets[name].iter().map(|p| p.source_id.clone()).collect::<BTreeSet<_>>();
        assert!(sources("test").is_disjoint(&sources("train")));
        let mut backwards = prompts.clone();
        backwards.reverse();
        let again = split_by_source(&backwards, &splits, 7).unwrap();
        assert_eq!(sources("test"), again["test"].iter().map(|p| p.source_id.clone()).collect());
        assert_ne!(sets["test"], split_by_source(&prompts, &splits, 8).unwrap()["test"]);
    }

    #[test]
    fn more_than_there_is_cannot_be_split() {
        let splits = BTreeMap::from([("test".to_owned(), 3)]);
        let error = split_by_source(&[prompt("1", "a", "de", "x")], &splits, 0).unwrap_err();
        assert_eq!(error, TooFewSources { wanted: 3, found: 1 });
    }
}
