//! JSON with text that is not valid Unicode. Elasticsearch stores text as bytes, even half a surrogate pair, and
//! returns it as an escape that is not a character. One such document must not make the others unreadable.

use std::borrow::Cow;

/// Replaces invalid bytes, and escapes of a surrogate without its other half, by U+FFFD. This changes no id of
/// PostgreSQL, because its text is valid Unicode.
pub(crate) fn unicode(json: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(json);
    if !text.contains("\\u") {
        return text;
    }
    let (mut found, mut rest) = (String::new(), &*text);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        found.push_str(before);
        // Take a backslash together with the character that it escapes: in `\\u`, the second one starts no escape.
        let (kept, length) = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => (&escape[..12], 12),
            (Some(0xd800..0xe000), _) => ("\\ufffd", 6),
            _ => {
                let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
                (&escape[..length], length)
            }
        };
        found.push_str(kept);
        rest = &escape[length..];
    }
    found.push_str(rest);
    Cow::Owned(found)
}

/// The UTF-16 code unit, if the text starts with an escape `\uXXXX`.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_halves_of_surrogate_pairs_and_invalid_bytes_are_replaced() {
        for (json, wanted) in [
            (r#""plain é""#, "plain é"),
            (r#""\u00e9\n\"""#, "é\n\""),
            (r#""\uD83D\uDE00!""#, "😀!"),
            (r#""\ud800""#, "\u{fffd}"),
            (r#""\udc00\ud800x""#, "\u{fffd}\u{fffd}x"),
            (r#""\ud800\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\\ud800""#, "\\ud800"),
            (r#""\\\ud800""#, "\\\u{fffd}"),
        ] {
            assert_eq!(serde_json::from_str::<String>(&unicode(json.as_bytes())).unwrap(), wanted, "{json}");
        }
        assert_eq!(unicode(b"\"\xff\""), "\"\u{fffd}\"");
        // Invalid JSON stays invalid, and does not panic.
        for broken in ["\\", "\\u", "\\ud8", "\\ud800", "\\é", "\\ud800\\"] {
            assert!(serde_json::from_str::<String>(&unicode(broken.as_bytes())).is_err(), "{broken}");
        }
    }
}
