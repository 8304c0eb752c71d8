//! Requests to make one answer of several, and the answers to them.
//!
//! The candidates stand between the lines `[Answer 1]` … `[End of answer 1]` and so on, and the prompt asks for double
//! square brackets, `[[`, before the first of them. What is fused is what the candidates say on the topic: their
//! sentences with the mark `“`, each once, in the order of the candidates. So it is worth more to `mock-rm` than most of
//! them.

use super::{draw::Draw, judge, prose, prose::TOPIC_MARK, tongue};

/// At most so many sentences are taken.
const MOST: usize = 24;

/// Returns the candidates, if one answer of them all is asked for.
pub(super) fn candidates(prompt: &str) -> Option<Vec<&str>> {
    let first = prompt.find("[Answer 1]")?;
    if prompt[..first].contains("[[") { judge::numbered(prompt) } else { None }
}

/// Returns a word on the candidates and the fused answer in brackets.
pub(super) fn fuse(candidates: &[&str], draw: Draw) -> String {
    let mut sentences: Vec<&str> = Vec::new();
    for sentence in candidates.iter().flat_map(|candidate| sentences_of(candidate)) {
        if sentence.contains(TOPIC_MARK) && !sentences.contains(&sentence) {
            sentences.push(sentence);
        }
    }
    sentences.truncate(MOST);
    let place = draw.with(80).below(candidates.len());
    let fused = match (sentences.as_slice(), candidates.get(place)) {
        ([], candidate) => candidate.copied().unwrap_or_default().to_owned(),
        (on_topic, _) => on_topic.join(prose::phrases(tongue::guess(on_topic[0]).unwrap_or("en")).gap),
    };
    format!("Answer {} is the clearest; the others add to it.\n[[{fused}]]", place + 1)
}

fn sentences_of(text: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| matches!(c, '.' | '!' | '?' | '。' | '！' | '？' | '।' | '؟' | '\n');
    text.split_inclusive(ends).map(str::trim).filter(|sentence| !sentence.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::{
        prose::{Theme, phrases, write},
        reward,
    };

    fn prompt(ask: &str, answers: &[String]) -> String {
        let marked = |(at, text): (usize, &String)| format!("[Answer {0}]\n{text}\n[End of answer {0}]", at + 1);
        let marked: Vec<String> = answers.iter().enumerate().map(marked).collect();
        format!("{ask}\n[Request]\nWhy do rivers bend?\n[End of request]\n{}", marked.join("\n"))
    }

    #[test]
    fn what_is_on_the_topic_is_put_together() {
        for tag in ["en", "de", "ja", "ar"] {
            let theme = Theme { phrases: phrases(tag), topics: &["rivers"], quality: 0.5 };
            let answers: Vec<String> = (1..4).map(|seed| write(theme, 300, Draw::new(seed))).collect();
            let asked = prompt("Write [[one answer]].", &answers);
            let told = fuse(&candidates(&asked).unwrap(), Draw::new(1));
            let fused = told.split("[[").nth(1).unwrap().strip_suffix("]]").unwrap();
            let worth = |text: &str| reward::of_texts("", text, 0);
            let best = answers.iter().map(|answer| worth(answer)).fold(f64::MIN, f64::max);
            assert!(worth(fused) > best - 1.0, "{tag}: {} and {best}\n{fused}", worth(fused));
            assert_eq!(tongue::guess(fused), Some(tag), "{fused}");
        }
    }

    #[test]
    fn other_questions_are_none() {
        let answers = ["one".to_owned(), "two".to_owned()];
        assert!(candidates(&prompt("Name the best.", &answers)).is_none());
        assert!(candidates(&prompt("Write [[it]].", &answers[..1])).is_none());
        assert!(candidates("Why does [[Answer 1]] bend?").is_none());
    }
}
