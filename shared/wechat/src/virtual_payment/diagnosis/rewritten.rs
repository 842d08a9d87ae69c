//! The text that was signed before a body was written anew.

/// Writes a JSON text without blanks and escapes, as serialisers of servers do by default.
pub(super) fn rewritten(text: &str) -> String {
    let (mut written, mut in_string) = (String::with_capacity(text.len()), false);
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if in_string && next == '\\' {
            let end = if rest[1..].starts_with('u') { 6 } else { 2 };
            let escape = rest.get(..end).unwrap_or(rest);
            let decoded = serde_json::from_str::<String>(&format!("\"{escape}\"")).ok();
            let plain = decoded.filter(|it| end == 6 && it.chars().all(|it| it > '\u{7f}'));
            written.push_str(plain.as_deref().unwrap_or(escape));
            rest = &rest[escape.len()..];
            continue;
        }
        in_string ^= next == '"';
        if in_string || !next.is_ascii_whitespace() {
            written.push(next);
        }
        rest = &rest[next.len_utf8()..];
    }
    written
}
