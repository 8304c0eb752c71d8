//! Server-sent events as they stand in a body.

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event<'a> {
    /// Its data, lines joined by a line feed.
    pub(super) data: std::borrow::Cow<'a, [u8]>,
}

/// Returns the events of a body that have data, in their order; the last one too when no blank line follows it.
pub(super) fn read(body: &[u8]) -> Vec<Event<'_>> {
    let body = body.strip_prefix(b"\xef\xbb\xbf".as_slice()).unwrap_or(body);
    let mut events: Vec<Event<'_>> = Vec::new();
    let mut is_open = false;
    for line in lines(body) {
        if line.is_empty() {
            is_open = false;
        } else if let Some(data) = line.strip_prefix(b"data:".as_slice()) {
            let data = data.strip_prefix(b" ".as_slice()).unwrap_or(data);
            match events.last_mut().filter(|_| is_open) {
                Some(event) => {
                    let joined = event.data.to_mut();
                    joined.push(b'\n');
                    joined.extend_from_slice(data);
                }
                None => events.push(Event { data: data.into() }),
            }
            is_open = true;
        }
        // Names repeat what the data say; comments keep the line open.
    }
    // Some servers keep the line open with events that say nothing.
    events.retain(|event| !event.data.trim_ascii().is_empty());
    events
}

/// Lines that end in a line feed, a carriage return, or both.
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(body);
    std::iter::from_fn(move || {
        let text = rest.take().filter(|text| !text.is_empty())?;
        let Some(end) = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else { return Some(text) };
        let after = if text[end..].starts_with(b"\r\n") { end + 2 } else { end + 1 };
        rest = text.get(after..);
        text.get(..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_events_is_read() {
        let told = |body: &str| -> Vec<String> {
            read(body.as_bytes()).iter().map(|event| String::from_utf8_lossy(&event.data).into_owned()).collect()
        };
        for end in ["\n", "\r\n", "\r"] {
            let body = ["\u{feff}: hello", "", "event: x", "data: a", "data:  b", "id: 7", "", ":", "data:c", "", ""];
            assert_eq!(told(&body.join(end)), ["a\n b", "c"], "{end:?}");
        }
        assert_eq!(told("data: a\n\ndata: {\"cut"), ["a", "{\"cut"]);
        assert_eq!(told("data\nretry: 5\n\n"), Vec::<String>::new());
        assert_eq!(told(""), Vec::<String>::new());
    }
}
