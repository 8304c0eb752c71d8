//! Escapes of paths and queries (RFC 3986; `+` for a space as forms write it).

/// Returns the names and values of a query, in their order; a name without `=` has an empty value.
pub(super) fn pairs(query: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (unescaped(name, true), unescaped(value, true))
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

/// Returns a text with its escapes resolved; what is no escape stays, and bytes that are no UTF-8 become U+FFFD.
pub(super) fn unescaped(text: &str, is_form: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| first == b'%').and_then(byte);
        rest = if escaped.is_some() { &after[2..] } else { after };
        bytes.push(escaped.unwrap_or(if is_form && first == b'+' { b' ' } else { first }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn byte(digits: &[u8]) -> Option<u8> {
    let value = |digit: &u8| char::from(*digit).to_digit(16);
    let [high, low] = digits else { return None };
    u8::try_from(value(high)? * 16 + value(low)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_resolved_and_what_is_none_stays() {
        assert_eq!(pairs("q=a%20b+c&only=%D8%B3&&x"), [("q", "a b c"), ("only", "س"), ("x", "")].map(owned));
        assert_eq!(unescaped("/a+b%2", false), "/a+b%2");
        assert_eq!(unescaped("%zz%ff", false), "%zz\u{fffd}");
    }

    fn owned((name, value): (&str, &str)) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_back(text in ".*") {
            let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            prop_assert_eq!(unescaped(&escaped, true), text);
        }
    }
}
