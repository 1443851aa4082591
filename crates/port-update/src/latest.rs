//! `latest.json`: what a web server says of its newest release, in KubeSolo's form (acceptance Ou-5).
//!
//! Bytes in, a checked document out; nothing is fetched. Unknown fields are left alone, since KubeSolo adds some with each version, but
//! no key is read that stands there twice. Invariant: every address has a digest, and none is of a weaker scheme than the document's own.

use port_layout::json::{self, JsonError};
use port_model::{Digest, DigestError};
use serde::Deserialize;

use crate::gates::UnsignedRelease;
use crate::machine::Target;
use crate::release::Role;
use crate::version::{Version, VersionError};

/// The name of the document below a server's address.
pub const NAME: &str = "latest.json";
/// The largest one that is read, in bytes.
pub const LARGEST: u64 = 256 * 1024;

/// A document that is no release.
#[derive(Debug, thiserror::Error)]
pub enum LatestError {
    /// Not JSON, or of another shape.
    #[error("`latest.json` cannot be read")]
    Form(#[source] JsonError),
    /// A version that is none.
    #[error("`latest.json`: {field}")]
    Version {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        #[source]
        source: VersionError,
    },
    /// A digest that is none.
    #[error("`latest.json`: {field}")]
    Digest {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        #[source]
        source: DigestError,
    },
    /// A field that cannot be.
    #[error("`latest.json`: {field}: expected {expected}, found `{found}`")]
    Field {
        /// Which field.
        field: &'static str,
        /// What would do.
        expected: &'static str,
        /// What it is.
        found: String,
    },
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest {
    /// What it says of itself.
    pub release: UnsignedRelease,
    /// The kernel and the initramfs.
    pub files: Vec<File>,
    /// Where the signature of the document lies, if it has one.
    pub signature: Option<String>,
}

/// A file that can be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What it is for.
    pub role: Role,
    /// Where it lies.
    pub url: String,
    /// What it must be.
    pub digest: Digest,
}

/// As it is written.
#[derive(Deserialize)]
struct Written {
    version: String,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    min_compatible_version: String,
    vmlinuz_url: String,
    vmlinuz_sha256: String,
    initramfs_url: String,
    initramfs_sha256: String,
    #[serde(default)]
    metadata_sig_url: String,
}

impl Latest {
    /// Reads the document that lies below `server`.
    ///
    /// # Errors
    /// [`LatestError`].
    pub fn parse(bytes: &[u8], server: &str) -> Result<Self, LatestError> {
        let expected = "version, vmlinuz_url, vmlinuz_sha256, initramfs_url and initramfs_sha256";
        let written: Written = json::read(bytes, NAME, expected).map_err(LatestError::Form)?;
        let version = |field, text: &str| {
            text.parse::<Version>().map_err(|source| LatestError::Version { field, source })
        };
        let minimum = written.min_compatible_version.as_str();
        let file = |role, (field, url): (&'static str, &str), (name, hex): (&'static str, &str)| {
            let digest =
                Digest::from_sha256_hex(hex).map_err(|source| LatestError::Digest { field: name, source })?;
            Ok(File { role, url: address(field, url, server)?, digest })
        };
        let kernel =
            (("vmlinuz_url", written.vmlinuz_url.as_str()), ("vmlinuz_sha256", &*written.vmlinuz_sha256));
        let initramfs = (
            ("initramfs_url", written.initramfs_url.as_str()),
            ("initramfs_sha256", &*written.initramfs_sha256),
        );
        let signature = match written.metadata_sig_url.as_str() {
            "" => None,
            url => Some(address("metadata_sig_url", url, server)?),
        };
        Ok(Self {
            release: UnsignedRelease {
                version: version("version", &written.version)?,
                channel: written.channel,
                architecture: written.architecture,
                min_compatible_version: match minimum {
                    "" => None,
                    text => Some(version("min_compatible_version", text)?),
                },
            },
            files: vec![
                file(Role::Kernel, kernel.0, kernel.1)?,
                file(Role::Initramfs, initramfs.0, initramfs.1)?,
            ],
            signature,
        })
    }

    /// What is installed, by its own name: a document that is written anew about the same files is no other release, so that one
    /// which failed here stays denied.
    pub fn target(&self) -> Target {
        let mut text = format!("port: release of a web server\n{}\n", self.release.version);
        for file in &self.files {
            text += &format!("{}\n", file.digest);
        }
        Target {
            digest: port_content::hashing::digest_of(text.as_bytes()),
            version: self.release.version.clone(),
            sequence: None,
            channel: None,
            security_epoch: 0,
        }
    }
}

/// An address, or a name below the server's. What is asked for over TLS leads to nothing in the clear.
fn address(field: &'static str, text: &str, server: &str) -> Result<String, LatestError> {
    let wrong = |expected| {
        let found = text.chars().take(200).filter(|c| !c.is_control()).collect();
        Err(LatestError::Field { field, expected, found })
    };
    if text.is_empty() || text.len() > 2048 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return wrong("an address of at most 2048 characters");
    }
    match text.split_once("://") {
        Some(("https", _)) => Ok(text.to_owned()),
        Some(("http", _)) if server.starts_with("http://") => Ok(text.to_owned()),
        Some(("http", _)) => wrong("`https`, as the server itself has it"),
        Some(_) => wrong("an http or https address"),
        None => Ok(format!("{}/{}", server.trim_end_matches('/'), text.trim_start_matches('/'))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "https://updates.example.com/os/";
    const HEX: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn text(more: &str) -> String {
        format!(
            "{{\"version\":\"v1.2.3\",\"vmlinuz_url\":\"https://cdn.example.com/k\",\"vmlinuz_sha256\":\"{HEX}\",\
             \"initramfs_url\":\"i.gz\",\"initramfs_sha256\":\"{HEX}\"{more}}}"
        )
    }

    #[test]
    fn ou_5_kubesolos_document_is_read_and_what_it_leaves_out_is_empty() {
        let least = Latest::parse(text("").as_bytes(), SERVER).unwrap();
        assert_eq!(least.release.version.as_str(), "v1.2.3");
        assert_eq!((least.release.channel.as_str(), least.signature.as_deref()), ("", None));
        let urls: Vec<&str> = least.files.iter().map(|file| file.url.as_str()).collect();
        assert_eq!(urls, ["https://cdn.example.com/k", "https://updates.example.com/os/i.gz"]);
        let more = ",\"channel\":\"stable\",\"architecture\":\"arm64\",\"min_compatible_version\":\"v1.0.0\",\
            \"metadata_sig_url\":\"latest.json.sig\",\"release_notes\":\"faster\",\"release_date\":\"2026-01-31\",\
            \"vmlinuz_sig_url\":\"k.sig\",\"of a later version\":[1]";
        let full = Latest::parse(text(more).as_bytes(), SERVER).unwrap();
        assert_eq!(full.signature.as_deref(), Some("https://updates.example.com/os/latest.json.sig"));
        assert_eq!(full.release.architecture, "arm64");
        assert_eq!(full.target(), least.target(), "what is installed is the same");
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_field() {
        for (from, to, part) in [
            ("v1.2.3", "1.2", "version"),
            ("https://cdn", "http://cdn", "vmlinuz_url"),
            ("https://cdn", "file://cdn", "vmlinuz_url"),
            ("i.gz", "", "initramfs_url"),
            (HEX, "aa", "vmlinuz_sha256"),
            ("\"initramfs_url\"", "\"vmlinuz_url\"", "cannot be read"),
            ("\"version\"", "\"versio\"", "cannot be read"),
        ] {
            let broken = text("").replace(from, to);
            let found = Latest::parse(broken.as_bytes(), SERVER).unwrap_err().to_string();
            assert!(found.contains(part), "{part}: {found}");
        }
        let plain = text("").replace("https://cdn", "http://cdn");
        assert!(Latest::parse(plain.as_bytes(), "http://localhost").is_ok());
    }
}
