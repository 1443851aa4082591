//! What was verified, to be verified again where no registry can be asked: documents and signatures in one file
//! (docs/formats/signature.md).
//!
//! Invariant: nothing in it is believed when it is read. It is as good as the signatures in it.

use port_layout::json;
use serde::{Deserialize, Serialize};

use crate::base64;
use crate::bundle::{plain, with_cause};
use crate::verdict::Form;
use crate::verify::{Candidate, Signed};

/// The version of the format.
const VERSION: u32 = 1;
/// The largest file of it that is read, in bytes.
pub const LARGEST_EVIDENCE: u64 = json::LARGEST_DOCUMENT as u64;

/// Documents of one manifest, and its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The manifest, whose digest was signed.
    pub manifest: Vec<u8>,
    /// The config that it names.
    pub config: Vec<u8>,
    /// The signatures.
    pub candidates: Vec<Candidate>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(with = "base64::field")]
    manifest: Vec<u8>,
    #[serde(with = "base64::field")]
    config: Vec<u8>,
    signatures: Vec<Kept>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    place: String,
    form: Form,
    signed: KeptBytes,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum KeptBytes {
    Simple {
        #[serde(with = "base64::field")]
        payload: Vec<u8>,
        signature: String,
    },
    Bundle(#[serde(with = "base64::field")] Vec<u8>),
}

impl Evidence {
    /// The bytes of the file. What cannot be a signature is left out.
    pub fn to_bytes(&self) -> Vec<u8> {
        let kept = |candidate: &Candidate| {
            let signed = match &candidate.signed {
                Signed::Simple { payload, signature } => {
                    KeptBytes::Simple { payload: payload.clone(), signature: signature.clone() }
                }
                Signed::Bundle(bytes) => KeptBytes::Bundle(bytes.clone()),
                Signed::Unusable(_) => return None,
            };
            Some(Kept { place: candidate.place.clone(), form: candidate.form, signed })
        };
        let file = File {
            version: VERSION,
            manifest: self.manifest.clone(),
            config: self.config.clone(),
            signatures: self.candidates.iter().filter_map(kept).collect(),
        };
        // Text and bytes always have a JSON form.
        serde_json::to_vec(&file).unwrap_or_default()
    }

    /// Reads such a file.
    ///
    /// # Errors
    /// The reason where it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let file: File =
            json::read(bytes, "file of kept signatures", "version, manifest, config and signatures")
                .map_err(|error| with_cause(&error))?;
        if file.version != VERSION {
            return Err(format!("expected version {VERSION}, found {}", file.version));
        }
        let candidate = |kept: Kept| {
            let signed = match kept.signed {
                KeptBytes::Simple { payload, signature } => Signed::Simple { payload, signature },
                KeptBytes::Bundle(bytes) => Signed::Bundle(bytes),
            };
            Candidate { place: plain(&kept.place), form: kept.form, signed }
        };
        let candidates = file.signatures.into_iter().map(candidate).collect();
        Ok(Self { manifest: file.manifest, config: file.config, candidates })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        let candidate = |signed| Candidate { place: "tag".to_owned(), form: Form::Tag, signed };
        let simple = Signed::Simple { payload: b"payload".to_vec(), signature: "c2ln".to_owned() };
        let all = vec![candidate(simple), candidate(Signed::Bundle(b"{}".to_vec()))];
        let mut evidence =
            Evidence { manifest: b"{}".to_vec(), config: b"config".to_vec(), candidates: all.clone() };
        evidence.candidates.push(candidate(Signed::Unusable("rubbish".to_owned())));
        let bytes = evidence.to_bytes();
        evidence.candidates = all;
        assert_eq!(Evidence::read(&bytes).unwrap(), evidence);
        let text = String::from_utf8(bytes).unwrap();
        for (from, to) in
            [("\"version\":1", "\"version\":2"), ("e30=", "e30"), ("\"form\":\"tag\"", "\"form\":\"fax\"")]
        {
            assert!(Evidence::read(text.replacen(from, to, 1).as_bytes()).is_err(), "{to}");
        }
    }
}
