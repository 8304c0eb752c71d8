//! The canonical text of values that differ in some of their texts alone.

use serde_json::Value;

use super::canonical_json;

/// The canonical text of a value, with places where texts go: [`TextFrame::fill`] writes what [`canonical_json`] would
/// of the same value with these texts, without making the value.
///
/// The value must take each text as it is, whole or joined to others, and must not depend on it otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFrame {
    /// What stands before each text, whether its quotation marks are those of the text, and which text it is.
    before: Vec<(String, bool, usize)>,
    end: String,
}

impl TextFrame {
    /// Makes `value` of marks in place of `n` texts and looks for them; none when they are not all there, each once.
    pub fn of(n: usize, value: impl FnOnce(&[String]) -> Option<Value>) -> Option<Self> {
        let marks: Vec<String> = (0..n).map(|at| format!("<cambist text {at}>")).collect();
        let text = canonical_json(&value(&marks)?);
        let mut places = Vec::with_capacity(n);
        for (number, mark) in marks.iter().enumerate() {
            let mut found = text.match_indices(mark.as_str());
            let (at, _) = found.next()?;
            if found.next().is_some() {
                return None;
            }
            places.push((at, number, mark.len()));
        }
        places.sort_unstable();
        let (mut before, mut from) = (Vec::with_capacity(n), 0);
        for (at, number, length) in places {
            let is_whole = text[from..at].ends_with('"') && text[at + length..].starts_with('"');
            let margin = usize::from(is_whole);
            before.push((text[from..at - margin].to_owned(), is_whole, number));
            from = at + length + margin;
        }
        Some(Self { before, end: text[from..].to_owned() })
    }

    /// Writes the canonical text with these texts into `into`, behind what is there; a text that is not given is empty.
    pub fn fill(&self, texts: &[&str], into: &mut Vec<u8>) {
        for (before, is_whole, number) in &self.before {
            into.extend_from_slice(before.as_bytes());
            put_text(into, texts.get(*number).copied().unwrap_or_default(), *is_whole);
        }
        into.extend_from_slice(self.end.as_bytes());
    }
}

/// Writes a text as JSON, with its quotation marks or without.
fn put_text(into: &mut Vec<u8>, text: &str, is_quoted: bool) {
    // Most texts need no escapes, and to look for one without stopping at it is a fraction of writing byte by byte.
    let is_special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    if !text.bytes().fold(false, |found, byte| found | is_special(byte)) {
        let quote = if is_quoted { b"\"".as_slice() } else { b"" };
        for part in [quote, text.as_bytes(), quote] {
            into.extend_from_slice(part);
        }
        return;
    }
    let start = into.len();
    // Writing a text to memory does not fail.
    if serde_json::to_writer(&mut *into, text).is_ok() && !is_quoted {
        into.pop();
        into.remove(start);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn request(texts: &[String]) -> Value {
        json!({
            "z": 1.5, "messages": [{"role": "user", "content": texts[0]}, {"content": texts[2], "role": "user"}],
            "joined": format!("a \" {}\n\n{}", texts[3], texts[1]), "a": null,
        })
    }

    proptest! {
        #[test]
        fn a_filled_frame_is_the_canonical_text(texts in prop::collection::vec(".*|[\\x00-\\x7f\u{2028}\"\\\\]{0,20}", 4)) {
            let frame = TextFrame::of(4, |marks| Some(request(marks))).unwrap();
            let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
            let mut filled = b"before".to_vec();
            frame.fill(&borrowed, &mut filled);
            prop_assert_eq!(String::from_utf8(filled).unwrap(), format!("before{}", canonical_json(&request(&texts))));
        }
    }

    #[test]
    fn what_does_not_hold_each_text_once_has_no_frame() {
        assert_eq!(TextFrame::of(1, |_| Some(json!({"messages": []}))), None, "left out");
        assert_eq!(TextFrame::of(1, |texts| Some(json!([texts[0], texts[0]]))), None, "twice");
        assert_eq!(TextFrame::of(1, |texts| Some(json!(texts[0].len()))), None, "changed");
        assert_eq!(TextFrame::of(1, |_| None), None);
        let constant = TextFrame::of(0, |_| Some(json!({"b": 1, "a": 2}))).unwrap();
        let mut filled = Vec::new();
        constant.fill(&[], &mut filled);
        assert_eq!(filled, br#"{"a":2,"b":1}"#);
    }
}
