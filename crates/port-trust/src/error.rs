//! What can be wrong with a key or a policy. A signature that is not enough is no error but a verdict.

/// A key that cannot be used. No text of it, and no passphrase, is ever in the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Larger than any key.
    #[error("it is no key: expected at most {limit} bytes, found {bytes}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// No PEM.
    #[error("it is no key: expected a PEM block `{}`, found {reason}", expected.join("` or `"))]
    NotPem {
        /// The labels that are read.
        expected: &'static [&'static str],
        /// What is wrong.
        reason: String,
    },
    /// PEM of something else.
    #[error("it is the wrong kind of key file: expected `{}`, found `{found}`", expected.join("` or `"))]
    Label {
        /// The labels that are read.
        expected: &'static [&'static str],
        /// Its label.
        found: String,
    },
    /// A key that Port does not use.
    #[error("it is a key of another kind: expected ECDSA on P-256, or Ed25519")]
    UnknownKind,
    /// A point of small order.
    #[error("it is a weak key: messages that nobody signed pass with it")]
    Weak,
    /// The randomness makes no key.
    #[error("these random bytes make no key: take others")]
    Entropy,
    /// The sealed form cannot be read.
    #[error("the sealed key cannot be read: {reason}")]
    Sealed {
        /// Why.
        reason: String,
    },
    /// It does not open.
    #[error("the passphrase does not open the key, or the file is damaged")]
    WrongPassphrase,
}
