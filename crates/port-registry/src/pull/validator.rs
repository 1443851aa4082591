//! The strong ETag of a blob's first answer, sent as `If-Range` with every later range (RFC 9110, section 13.1.5).
//!
//! A blob is named by its digest and does not change; its bytes at one address may. A server that honours `If-Range`
//! then sends the whole instead of a range of something else. That answer is given up, what came from there before is
//! dropped, and the ranges are asked for anew, so that a mixture ends at its first range and not after the last. What
//! decides is the digest, always: an ETag is a hint.

use reqwest::header::{ETAG, HeaderMap};

/// The longest ETag that is sent back, in bytes.
const LONGEST: usize = 512;
/// How often a server may answer `If-Range` with the whole before it is no more sent: behind some addresses there are
/// several servers, each with an ETag of its own, and every such answer costs a blob.
const SURPRISES: u32 = 2;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Validator {
    answered: bool,
    etag: Option<String>,
    surprises: u32,
    changed: bool,
}

impl Validator {
    /// What to send as `If-Range`, if anything.
    pub(crate) fn get(&self) -> Option<String> {
        self.etag.clone()
    }

    /// Takes note of a 200 or 206; `sent` is what its request had as `If-Range`.
    pub(crate) fn answered(&mut self, status: u16, headers: &HeaderMap, sent: Option<&str>) {
        if !self.answered {
            self.answered = true;
            self.etag = strong(headers);
            return;
        }
        // Of several requests with the same ETag only the first that is answered so counts.
        if status == 200 && sent.is_some() && sent == self.etag.as_deref() {
            self.changed = true;
            self.surprises += 1;
            self.etag = if self.surprises < SURPRISES { strong(headers) } else { None };
        }
    }

    /// Whether the bytes changed: a range was asked for on condition, and the whole came.
    pub(crate) fn changed(&self) -> bool {
        self.changed
    }

    /// As [`Self::changed`], and forgets it: what came before is dropped.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

/// A strong ETag. Weak ones say that two bodies mean the same, not that they have the same bytes.
fn strong(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(ETAG)?.to_str().ok()?.trim();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    (text.len() <= LONGEST && !inner.contains('"')).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(etag: &str) -> HeaderMap {
        [(ETAG, etag.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn only_strong_etags_are_sent_back() {
        let check = |etag: &str, expected: Option<&str>| {
            assert_eq!(strong(&headers(etag)).as_deref(), expected, "{etag}");
        };
        check("\"a\"", Some("\"a\""));
        check("\"sha256:aa\"", Some("\"sha256:aa\""));
        for weak in ["W/\"a\"", "a", "\"a", "\"", "", "\"a\", \"b\"", &format!("\"{}\"", "x".repeat(LONGEST))]
        {
            check(weak, None);
        }
        assert_eq!(strong(&HeaderMap::new()), None);
    }

    #[test]
    fn the_first_answer_counts_and_a_fickle_server_is_not_asked_again() {
        let mut validator = Validator::default();
        assert_eq!(validator.get(), None);
        validator.answered(206, &headers("\"a\""), None);
        validator.answered(206, &headers("\"b\""), None);
        assert_eq!(validator.get().as_deref(), Some("\"a\""));
        validator.answered(200, &headers("\"c\""), Some("\"a\""));
        validator.answered(200, &headers("\"d\""), Some("\"a\""));
        assert_eq!(validator.get().as_deref(), Some("\"c\""), "two requests, one surprise");
        assert!(validator.take_changed() && !validator.changed());
        validator.answered(200, &headers("\"d\""), Some("\"c\""));
        assert_eq!(validator.get(), None);
    }

    #[test]
    fn a_first_answer_without_one_is_final() {
        let mut validator = Validator::default();
        validator.answered(206, &HeaderMap::new(), None);
        validator.answered(206, &headers("\"a\""), None);
        assert_eq!(validator.get(), None);
    }
}
