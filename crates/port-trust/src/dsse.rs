//! DSSE envelopes (secure-systems-lab/dsse, protocol 1.0): what is signed is the type and the bytes together, so that no payload is
//! taken for one of another type.

use serde::{Deserialize, Serialize};

use crate::base64;

/// The type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// An envelope, as JSON holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// What is signed.
    #[serde(with = "base64::field")]
    pub payload: Vec<u8>,
    /// What it is.
    pub payload_type: String,
    /// Who signed it.
    pub signatures: Vec<EnvelopeSignature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeSignature {
    /// The signature.
    #[serde(with = "base64::field")]
    pub sig: Vec<u8>,
    /// Whatever the signer calls its key; says nothing, and is not looked at.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub keyid: String,
}

/// What a signature of an envelope is over (the pre-authentication encoding).
pub fn signed_bytes(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification, `protocol.md`.
    #[test]
    fn signed_bytes_are_those_of_the_specification() {
        let bytes = signed_bytes("http://example.com/HelloWorld", b"hello world");
        assert_eq!(bytes, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
