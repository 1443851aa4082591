//! The payload of cosign's tag form ("simple signing"): a digest, a name, and a type, as JSON whose bytes are signed.
//!
//! `critical` is what its name says: a field there that is not known changes what the signature means, so such a payload is refused.
//! `optional` is not looked at.

use port_layout::json::{self, JsonError};
use port_model::Digest;
use serde::{Deserialize, Serialize};

use crate::base64;
use crate::secret_key::SecretKey;

/// Media type of the payload.
pub const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of its layer that holds the signature.
pub const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// The type that a payload names.
pub const TYPE: &str = "cosign container image signature";
/// The largest payload that is looked at, in bytes.
pub const LARGEST_PAYLOAD: u64 = 64 * 1024;

/// The payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Payload {
    pub(crate) critical: Critical,
    #[serde(default)]
    optional: serde_json::Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Critical {
    pub(crate) identity: Identity,
    pub(crate) image: Image,
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Identity {
    pub(crate) docker_reference: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Image {
    pub(crate) docker_manifest_digest: Digest,
}

/// The bytes to sign for a manifest in `name`, which is `registry/repository`.
pub fn payload(subject: &Digest, name: &str) -> Vec<u8> {
    let payload = Payload {
        critical: Critical {
            identity: Identity { docker_reference: name.to_owned() },
            image: Image { docker_manifest_digest: subject.clone() },
            kind: TYPE.to_owned(),
        },
        optional: serde_json::Value::Null,
    };
    // Text always has a JSON form.
    serde_json::to_vec(&payload).unwrap_or_default()
}

/// The text of the annotation beside a payload.
pub fn signature(key: &SecretKey, payload: &[u8]) -> String {
    base64::encode(&key.sign(payload))
}

/// Reads a payload whose signature was checked.
pub(crate) fn read(bytes: &[u8]) -> Result<Payload, JsonError> {
    json::read(bytes, "simple-signing payload", "`critical` with identity, image and type, and `optional`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> Digest {
        format!("sha256:{}", "ab".repeat(32)).parse().unwrap()
    }

    #[test]
    fn the_payload_is_cosigns() {
        let expected = format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"ghcr.io/acme/demo"}},"image":{{"docker-manifest-digest":"{}"}},"type":"cosign container image signature"}},"optional":null}}"#,
            digest()
        );
        let bytes = payload(&digest(), "ghcr.io/acme/demo");
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
        assert_eq!(read(&bytes).unwrap().critical.image.docker_manifest_digest, digest());
    }

    #[test]
    fn unknown_critical_fields_are_refused_and_optional_ones_are_not() {
        let text = String::from_utf8(payload(&digest(), "r/a")).unwrap();
        assert!(read(text.replace("null", r#"{"git":"abc"}"#).as_bytes()).is_ok());
        for (from, to) in [
            (r#""type":"#, r#""expires":"never","type":"#),
            (r#""docker-reference":"#, r#""also":"x","docker-reference":"#),
            (r#""image":{"#, r#""image":{"platform":"any","#),
            (r#""optional":"#, r#""critical2":1,"optional":"#),
            (r#""type":"#, r#""type":"x","type":"#),
            ("sha256:ab", "sha256:AB"),
        ] {
            assert!(read(text.replace(from, to).as_bytes()).is_err(), "{to}");
        }
    }
}
