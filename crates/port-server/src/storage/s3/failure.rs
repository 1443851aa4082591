//! What can go wrong between this server and an S3 server, and which of it is worth another try.
//!
//! NOTE: of an answer only its code and message are kept. S3 repeats what was signed, and with which key, in other fields.

use std::time::Duration;

use super::super::StorageErrorKind;
use super::xml::Element;

/// The longest message of a server that is repeated, in characters.
const LONGEST_MESSAGE: usize = 300;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It refuses, or cannot.
    #[error("the S3 server answers {status}{}{}", spaced(code), said(message))]
    Answer {
        status: u16,
        /// S3's word for it; empty where the answer has no body.
        code: String,
        message: String,
        /// Whether a try before this one may have done what was asked.
        uncertain: bool,
    },
    /// There is no connection.
    #[error("the S3 server at {host} cannot be reached")]
    Unreachable {
        host: String,
        #[source]
        source: reqwest::Error,
    },
    /// It broke off.
    #[error("the exchange with the S3 server broke off")]
    Broken(#[source] reqwest::Error),
    /// It says nothing, or takes nothing.
    #[error("the S3 server said nothing for {} s", stall.as_secs_f32())]
    Stalled { stall: Duration },
    /// It ended early.
    #[error("the S3 server's answer ended after {found} of {expected} bytes")]
    Cut { expected: u64, found: u64 },
    /// It is no answer of S3.
    #[error("the S3 server's answer {0}")]
    Malformed(&'static str),
    /// The object is larger than it may be.
    #[error("it has more than {limit} bytes")]
    TooLarge { limit: u64 },
    /// The upload is in more pieces than are kept.
    #[error("the upload came in {most} pieces, which is the most: it has to be sent in larger ones")]
    TooManyParts { most: usize },
    /// The operating system gives no random numbers.
    #[error("no random name can be made")]
    Random(#[source] std::io::Error),
    /// A computation was ended, as happens where the process ends.
    #[error("the body's digest was not computed")]
    Ended(#[source] tokio::task::JoinError),
}

fn spaced(code: &str) -> String {
    if code.is_empty() { String::new() } else { format!(" {code}") }
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl Failure {
    /// From an answer that is an error, and its body.
    pub(super) fn of_answer(status: u16, region: Option<&str>, body: &str) -> Self {
        let error = Element::root(body).filter(|(name, _)| *name == "Error").map(|(_, error)| error);
        let text = |name| error.and_then(|error| error.text(name)).unwrap_or_default();
        let mut message: String =
            text("Message").chars().filter(|c| !c.is_control()).take(LONGEST_MESSAGE).collect();
        if let Some(region) = region.filter(|_| (300..500).contains(&status)) {
            message = format!("{message} (the bucket is in the region `{region}`)");
        }
        let code = text("Code").chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        Self::Answer { status, code, message: message.trim_start().to_owned(), uncertain: false }
    }

    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Answer { status, .. } => Some(*status),
            _ => None,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Answer { code, .. } => code,
            _ => "",
        }
    }

    /// Whether nothing is there. A bucket that is not there is a failure.
    pub(super) fn is_absent(&self) -> bool {
        self.status() == Some(404) && self.code() != "NoSuchBucket"
    }

    /// Whether a condition did not hold.
    pub(super) fn is_refused(&self) -> bool {
        self.status() == Some(412) || self.code() == "PreconditionFailed"
    }

    /// Whether the server knows no such condition or operation.
    pub(super) fn is_not_implemented(&self) -> bool {
        self.status() == Some(501) || self.code() == "NotImplemented"
    }

    /// Whether an earlier try may have done what was asked.
    pub(super) fn is_uncertain(&self) -> bool {
        matches!(self, Self::Answer { uncertain: true, .. })
    }

    /// The same, after a try that may have done what was asked.
    pub(super) fn after_uncertain(self) -> Self {
        match self {
            Self::Answer { status, code, message, .. } => {
                Self::Answer { status, code, message, uncertain: true }
            }
            other => other,
        }
    }

    /// Whether the same request may succeed in a moment.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Answer { status, code, .. } => {
                let words =
                    ["SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted"];
                // NOTE: 409 is what Amazon answers where two conditional writes met: one of them is asked to try again.
                matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
                    || words.contains(&code.as_str())
                    || code == "ConditionalRequestConflict"
            }
            Self::Unreachable { .. } | Self::Broken(_) | Self::Stalled { .. } | Self::Cut { .. } => true,
            _ => false,
        }
    }

    /// Whether the server certainly did nothing.
    pub(super) fn is_before_anything(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    pub(super) fn kind(&self) -> StorageErrorKind {
        match (self.status(), self.code()) {
            (Some(507), _) | (_, "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage") => {
                StorageErrorKind::Full
            }
            (_, "AccessDenied" | "AllAccessDisabled") => StorageErrorKind::ReadOnly,
            _ => StorageErrorKind::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_without_what_was_signed() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>no match</Message>\
                    <AWSAccessKeyId>AKIA</AWSAccessKeyId><StringToSign>AWS4</StringToSign></Error>";
        let failure = Failure::of_answer(403, None, body);
        assert_eq!(failure.to_string(), "the S3 server answers 403 SignatureDoesNotMatch: no match");
        assert_eq!(Failure::of_answer(404, None, "").to_string(), "the S3 server answers 404");
        let elsewhere =
            Failure::of_answer(301, Some("eu-west-1"), "<Error><Code>PermanentRedirect</Code></Error>");
        assert!(elsewhere.to_string().contains("is in the region `eu-west-1`"), "{elsewhere}");
    }

    #[test]
    fn what_passes_is_tried_again_and_what_is_decided_is_not() {
        let is_passing = |status, code: &str| {
            Failure::of_answer(status, None, &format!("<Error><Code>{code}</Code></Error>")).is_passing()
        };
        for (status, code) in
            [(503, "SlowDown"), (500, ""), (409, "ConditionalRequestConflict"), (400, "RequestTimeout")]
        {
            assert!(is_passing(status, code), "{status} {code}");
        }
        for (status, code) in
            [(412, "PreconditionFailed"), (403, "AccessDenied"), (404, "NoSuchKey"), (409, "BucketNotEmpty")]
        {
            assert!(!is_passing(status, code), "{status} {code}");
        }
        assert!(!Failure::of_answer(404, None, "<Error><Code>NoSuchBucket</Code></Error>").is_absent());
        assert_eq!(Failure::of_answer(507, None, "").kind(), StorageErrorKind::Full);
    }
}
