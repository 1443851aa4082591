//! Sigstore bundles, version 0.3, with a key pair: a DSSE envelope and a hint which key it was.
//!
//! Read here: a bundle with one envelope and one signature. What a certificate or a transparency log would add is not
//! evaluated; a bundle that was signed with a certificate alone is told apart and refused (docs/formats/signature.md).

use port_layout::json::{self, JsonError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dsse::{self, Envelope, EnvelopeSignature};
use crate::secret_key::SecretKey;
use crate::statement::Statement;

/// Media type of a bundle: of the layer, and the artifact type of the referrer.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The annotation that says what kind of content a bundle has. Unsigned: for finding only.
pub const CONTENT_ANNOTATION: &str = "dev.sigstore.bundle.content";
/// What it says for an envelope.
pub const CONTENT: &str = "dsse-envelope";
/// The annotation with the type of the predicate. Unsigned: for finding only.
pub const PREDICATE_ANNOTATION: &str = "dev.sigstore.bundle.predicateType";
/// The largest bundle that is looked at, in bytes.
pub const LARGEST_BUNDLE: u64 = json::LARGEST_DOCUMENT as u64;

/// A bundle. Unknown fields are refused: nobody signs them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Bundle {
    pub(crate) media_type: String,
    pub(crate) verification_material: Material,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dsse_envelope: Option<Envelope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_signature: Option<Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Material {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) public_key: Option<Hint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x509_certificate_chain: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tlog_entries: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp_verification_data: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hint {
    #[serde(default)]
    pub(crate) hint: String,
}

/// A statement in a bundle, signed.
pub fn sign(statement: &Statement, key: &SecretKey) -> Vec<u8> {
    let payload = statement.to_bytes();
    let sig = key.sign(&dsse::signed_bytes(dsse::IN_TOTO, &payload));
    let bundle = Bundle {
        media_type: MEDIA_TYPE.to_owned(),
        verification_material: Material {
            public_key: Some(Hint { hint: key.public().hint() }),
            ..Material::default()
        },
        dsse_envelope: Some(Envelope {
            payload,
            payload_type: dsse::IN_TOTO.to_owned(),
            signatures: vec![EnvelopeSignature { sig, keyid: String::new() }],
        }),
        message_signature: None,
    };
    serde_json::to_vec(&bundle).unwrap_or_default()
}

/// A bundle that can be checked with a key.
pub(crate) struct Checkable {
    pub(crate) payload: Vec<u8>,
    pub(crate) payload_type: String,
    pub(crate) signature: Vec<u8>,
    pub(crate) hint: String,
}

/// Reads a bundle; the reason where it is none that a key can check.
pub(crate) fn read(bytes: &[u8]) -> Result<Checkable, String> {
    let bundle: Bundle =
        json::read(bytes, "sigstore bundle", "mediaType, verificationMaterial and dsseEnvelope")
            .map_err(|error| with_cause(&error))?;
    if bundle.media_type != MEDIA_TYPE {
        return Err(format!(
            "expected a bundle of type `{MEDIA_TYPE}`, found `{}`",
            plain(&bundle.media_type)
        ));
    }
    let Some(Hint { hint }) = bundle.verification_material.public_key else {
        return Err("it was signed with a certificate: expected a key pair".to_owned());
    };
    let (Some(envelope), None) = (bundle.dsse_envelope, bundle.message_signature) else {
        return Err("expected a DSSE envelope and nothing else, found a signature over a message".to_owned());
    };
    let [signature] = envelope.signatures.as_slice() else {
        return Err(format!("expected one signature in its envelope, found {}", envelope.signatures.len()));
    };
    let signature = signature.sig.clone();
    let Envelope { payload, payload_type, .. } = envelope;
    Ok(Checkable { payload, payload_type, signature, hint })
}

/// An error of the JSON gate in one line.
pub(crate) fn with_cause(error: &JsonError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    plain(&format!("{error}{cause}"))
}

/// What others wrote, kept from driving a terminal or filling it.
pub(crate) fn plain(text: &str) -> String {
    let short: String = text.chars().take(200).collect();
    short.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
