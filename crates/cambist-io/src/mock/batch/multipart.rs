//! As much of `multipart/form-data` as an upload needs.

use bytes::Bytes;

/// Returns the content of the part called `file`.
pub(super) fn file(content_type: &str, body: &Bytes) -> Option<Bytes> {
    let boundary = content_type.split("boundary=").nth(1)?.split(';').next()?.trim().trim_matches('"');
    let mark = format!("--{boundary}");
    let mut at = find(body, mark.as_bytes(), 0)?;
    loop {
        let start = at + mark.len();
        let end = find(body, mark.as_bytes(), start)?;
        let blank = find(&body[..end], b"\r\n\r\n", start)?;
        let head = String::from_utf8_lossy(&body[start..blank]);
        if head.contains("name=\"file\"") || head.contains("name=file") {
            // The line break before the next mark belongs to the mark.
            return Some(body.slice(blank + 4..end.saturating_sub(2).max(blank + 4)));
        }
        at = end;
    }
}

fn find(bytes: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let first = *wanted.first()?;
    let mut at = from;
    while let Some(step) = bytes.get(at..)?.iter().position(|byte| *byte == first) {
        at += step;
        if bytes[at..].starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_comes_out() {
        let body = "--xx\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--xx\r\nContent-Disposition: \
                    form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n{\"a\": 1}\n\r\n--xx--\r\n";
        let found = file("multipart/form-data; boundary=xx", &Bytes::from(body)).unwrap();
        assert_eq!(found, "{\"a\": 1}\n");
        assert_eq!(file("multipart/form-data; boundary=yy", &Bytes::from(body)), None);
    }
}
