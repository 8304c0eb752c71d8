//! The running text of an answer: without code, addresses, formulas and what it quotes from the prompt.

/// Quotation marks that open, with those that may close them.
const QUOTES: [(char, &[char]); 10] = [
    ('"', &['"']),
    ('“', &['”']),
    ('„', &['“', '”']),
    ('«', &['»']),
    ('»', &['«', '»']),
    ('「', &['」']),
    ('『', &['』']),
    ('‘', &['’']),
    ('‹', &['›']),
    ('`', &['`']),
];

/// Returns the text without fenced and inline code, links, and quotations and lines that stand in the prompt word for
/// word; each leaves a space.
pub(super) fn prose(text: &str, prompt: &str) -> String {
    let unfenced = without_fences(text);
    let lines = unfenced.lines().filter(|line| !is_quoted_line(line, prompt));
    let unquoted = without_quotations(&lines.collect::<Vec<_>>().join("\n"), prompt);
    unquoted.split_whitespace().filter(|word| !is_address(word)).collect::<Vec<_>>().join(" ")
}

/// Returns the text without fenced code; a fence that is never closed runs to the end.
pub(super) fn without_fences(text: &str) -> String {
    let mut fence: Option<&str> = None;
    let mut kept = Vec::new();
    for line in text.lines() {
        let mark = ["```", "~~~"].into_iter().find(|mark| line.trim_start().starts_with(mark));
        match (fence, mark) {
            (None, None) => kept.push(line),
            (None, Some(open)) => fence = Some(open),
            (Some(open), Some(close)) if open == close => fence = None,
            (Some(_), _) => {}
        }
    }
    kept.join("\n")
}

fn is_quoted_line(line: &str, prompt: &str) -> bool {
    let said = line.trim().trim_start_matches('>').trim();
    !said.is_empty() && prompt.contains(said)
}

/// Takes out inline code whatever is in it, and quotations that stand in the prompt.
fn without_quotations(text: &str, prompt: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let quoted = QUOTES.iter().find(|(open, _)| *open == first).and_then(|(_, closers)| {
            let inside = &rest[first.len_utf8()..];
            let end = inside.find(*closers)?;
            let is_out = first == '`' || prompt.contains(inside[..end].trim());
            is_out.then(|| &inside[end..])
        });
        let after = match quoted {
            Some(closing) => {
                kept.push(' ');
                closing
            }
            None => {
                kept.push(first);
                rest
            }
        };
        rest = after.chars().next().map_or("", |c| &after[c.len_utf8()..]);
    }
    kept
}

fn is_address(word: &str) -> bool {
    let has = |mark: &str| word.contains(mark);
    has("://") || has("www.") || (has("@") && has(".")) || word.starts_with('\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_prose_goes() {
        let text =
            "Запустите `cargo run`:\n```rust\nfn main() {}\n```\nсм. https://doc.rust-lang.org/book и me@example.org";
        assert_eq!(prose(text, ""), "Запустите : см. и");
        assert_eq!(prose("до\n```\nnever closed", ""), "до");
    }

    #[test]
    fn quotations_from_the_prompt_go_and_others_stay() {
        let prompt = "Translate into Russian: The weather is fine.\nAnswer briefly.";
        assert_eq!(prose("«The weather is fine» значит «погода хорошая»", prompt), "значит «погода хорошая»");
        assert_eq!(prose("> Answer briefly.\nПогода хорошая.", prompt), "Погода хорошая.");
        assert_eq!(prose("Он сказал \"да", prompt), "Он сказал \"да");
    }
}
