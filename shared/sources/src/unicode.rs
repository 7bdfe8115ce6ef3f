//! JSON that is not all Unicode. Elasticsearch keeps what it is given as bytes, halves of surrogate pairs among
//! it, and gives it back as an escape that is no character. One such document must not cost the others.

use std::borrow::Cow;

/// The JSON with U+FFFD in the place of bytes, and of escapes of surrogates without their other half, that are no
/// Unicode. No id of PostgreSQL is changed by that, for its text is Unicode.
pub(crate) fn unicode(json: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(json);
    if !text.contains("\\u") {
        return text;
    }
    let (mut found, mut rest) = (String::new(), &*text);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        found.push_str(before);
        // A backslash and what it escapes are read together, or the second of two would begin an escape.
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

/// The UTF-16 code unit of an escape `\uXXXX` with which the text begins.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_surrogate_pairs_are_replaced_and_nothing_else_is() {
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
        // What is no JSON stays none, and is no panic.
        for broken in ["\\", "\\u", "\\ud8", "\\ud800", "\\é", "\\ud800\\"] {
            assert!(serde_json::from_str::<String>(&unicode(broken.as_bytes())).is_err(), "{broken}");
        }
    }
}
