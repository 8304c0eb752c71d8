//! Rendered chat templates, taken apart again.

/// How a turn begins in the template of the mock server itself, which is ChatML.
pub(crate) const TURN: &str = "<|im_start|>";
/// How it ends.
pub(crate) const TURN_END: &str = "<|im_end|>";

/// How templates begin a turn of the user, and one of the assistant.
const MARKS: [(&str, &str); 8] = [
    ("<|im_start|>user\n", "<|im_start|>assistant\n"),
    ("<|start_header_id|>user<|end_header_id|>\n\n", "<|start_header_id|>assistant<|end_header_id|>\n\n"),
    ("[INST]", "[/INST]"),
    ("<start_of_turn>user\n", "<start_of_turn>model\n"),
    ("<|user|>", "<|assistant|>"),
    ("<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>"),
    ("Human:", "Assistant:"),
    ("User:", "Assistant:"),
];

/// What ends a turn.
const ENDS: [&str; 8] =
    ["<|im_end|>", "<|eot_id|>", "</s>", "<end_of_turn>", "<|endoftext|>", "<eos>", "<|END_OF_TURN_TOKEN|>", "<|end|>"];

/// Returns the last prompt of a rendered chat and what the assistant says after it. A text of no known template is
/// all prompt: none for the answer.
pub(crate) fn taken_apart(text: &str) -> (&str, Option<&str>) {
    let split = MARKS.iter().find_map(|(user, assistant)| {
        let end = text.rfind(assistant)?;
        let start = text[..end].rfind(user)? + user.len();
        Some((turn(&text[start..end]), Some(turn(&text[end + assistant.len()..]))))
    });
    split.unwrap_or((text, None))
}

fn turn(text: &str) -> &str {
    let end = ENDS.iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
    text[..end].trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_come_apart() {
        let chatml = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\nHo.<|im_end|>\n";
        assert_eq!(taken_apart(chatml), ("Hi?", Some("Ho.")));
        assert_eq!(taken_apart("<s>[INST] Hi? [/INST] Ho.</s>"), ("Hi?", Some("Ho.")));
        assert_eq!(taken_apart("Hi?"), ("Hi?", None));
    }
}
