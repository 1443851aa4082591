//! The one rule for text that becomes a directory or file name.
//!
//! References and file names turn into paths (store, cache, hosted storage). Every part passes through
//! [`check`], so that no part can be empty, hidden, `.` or `..`, hold a separator, or be absolute.

/// Why a part is refused; the words complete "… must …".
pub(crate) fn check(part: &str, longest: usize) -> Result<(), String> {
    if part.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if part.len() > longest {
        return Err(format!("must be at most {longest} characters, found {}", part.len()));
    }
    if part.starts_with('.') {
        return Err("must not start with `.`".to_owned());
    }
    match part.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(c) => Err(format!("must hold only letters, digits, `.`, `_` and `-`, found {c:?}")),
        None => Ok(()),
    }
}
