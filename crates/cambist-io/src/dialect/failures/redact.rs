//! Text without what looks like a key.

/// How keys of known services begin.
const PREFIXES: [&str; 14] =
    ["sk-", "sk_", "pk-", "hf_", "nvapi-", "gsk_", "xai-", "aiza", "ghp_", "key-", "r8_", "pplx-", "fw_", "eyj"];

/// Returns `text` with everything that looks like a key replaced by `[redacted]`: known beginnings, what stands behind
/// `Bearer`, and runs of 32 and more letters and digits mixed.
pub fn redacted(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut last_word = "";
    let mut rest = text;
    while !rest.is_empty() {
        let run_end = rest.find(|c: char| !is_key_char(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(run_end);
        let is_key = looks_like_key(run) || (last_word.eq_ignore_ascii_case("bearer") && run.len() >= 8);
        safe.push_str(if is_key { "[redacted]" } else { run });
        last_word = if run.is_empty() { last_word } else { run };
        let mut chars = after.chars();
        safe.extend(chars.next());
        rest = chars.as_str();
    }
    safe
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*' | '.' | '+')
}

fn looks_like_key(run: &str) -> bool {
    let lower = run.to_ascii_lowercase();
    let begins = PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
    let is_plain = run.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_mixed = run.bytes().any(|b| b.is_ascii_digit()) && run.bytes().any(|b| b.is_ascii_alphabetic());
    (begins && run.len() >= 10) || (is_plain && is_mixed && run.len() >= 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_and_words_stay() {
        let key = "sk-proj-canary0123456789";
        for text in [
            format!("Incorrect API key provided: {key}. Find yours at https://example.com/keys"),
            format!("header Authorization: Bearer {key}"),
            format!("{{\"api_key\":\"{key}\"}}"),
        ] {
            let safe = redacted(&text);
            assert!(!safe.contains("canary") && safe.contains("[redacted]"), "{safe}");
        }
        assert_eq!(redacted("Bearer abcdefgh1234"), "Bearer [redacted]");
        assert_eq!(redacted("0123456789abcdef0123456789abcdef"), "[redacted]");
        let plain = "the model `nvidia/Llama-3.3-Nemotron-70B-Reward-Multilingual` ist größer — 日本語";
        assert_eq!(redacted(plain), plain);
    }
}
