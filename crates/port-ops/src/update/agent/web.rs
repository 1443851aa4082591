//! `latest.json` of a web server, as KubeSolo publishes it (acceptance Ou-5, Ou-6): read, its signature checked, its files fetched.
//!
//! With a key, the signature is of the document itself, which names the digest of each file: so the gates ask about what was signed, and
//! files of two releases cannot be mixed. A document without one is refused where a key is named, even if its files have some.
//! It has no number and no end: its version says what is older.

use std::path::Path;
use std::sync::Arc;

use port_content::fs;
use port_model::{Architecture, Reporter};
use port_transport::{Client, TransportError, Wanted};
use port_trust::{LARGEST_KEY, PublicKey};
use port_update::Class;
use port_update::latest::{self, Latest};
use port_update::release::{BootSet, Part};

use super::bytes::Bytes;
use super::offer::{Offer, Said};
use super::{AgentError, Trust};
use crate::trust::read_public_key;
use crate::update::UpdateError;

/// The largest signature that is read, in bytes.
const LARGEST_SIGNATURE: u64 = 4096;
/// The largest file that is fetched: `latest.json` does not say how large it is.
pub(super) const LARGEST_FILE: u64 = 4 << 30;

/// What the server at `url` offers.
pub(super) async fn ask(
    url: &str,
    reporter: &Arc<dyn Reporter>,
    trust: &Trust,
    architecture: Architecture,
) -> Result<Offer, AgentError> {
    let client = Client::default();
    let address = format!("{}/{}", url.trim_end_matches('/'), latest::NAME);
    let bytes = read(&client, &address, latest::LARGEST).await?;
    let latest = Latest::parse(&bytes, url).map_err(UpdateError::from)?;
    match trust {
        Trust::Anybody => {}
        Trust::Key(path) => signed(&client, &read_key(path)?, &latest, &bytes).await?,
        Trust::Policies(_) => {
            return refused("policies are about registries: name the key of a web server with `pubkey`");
        }
    }
    let set = BootSet {
        // Which one it says it is for is for the gates to see.
        architecture,
        variant: String::new(),
        // Sizes are known when the files are here.
        parts: latest.files.iter().map(|file| part(file, 0)).collect(),
        boot_arguments: None,
    };
    let bytes = Bytes::Web { client, files: latest.files.clone(), reporter: Arc::clone(reporter) };
    let is_signed = !matches!(trust, Trust::Anybody);
    let said = Said::Unsigned(Box::new(latest.release.clone()));
    Ok(Offer { target: latest.target(), set, said, bytes, is_signed })
}

async fn read(client: &Client, address: &str, limit: u64) -> Result<Vec<u8>, AgentError> {
    Ok(client.read(address, limit).await.map_err(UpdateError::from)?)
}

async fn signed(client: &Client, key: &PublicKey, latest: &Latest, bytes: &[u8]) -> Result<(), AgentError> {
    let Some(address) = &latest.signature else {
        return refused("`latest.json` names no signature of itself: expected `metadata_sig_url`");
    };
    let signature = read(client, address, LARGEST_SIGNATURE).await?;
    let written = std::str::from_utf8(&signature).ok().and_then(|text| unhex(text.trim()));
    let signature = written.unwrap_or(signature);
    if key.has_signed(bytes, &signature) {
        return Ok(());
    }
    refused(&format!("`latest.json` has no signature of the key {}", key.fingerprint()))
}

fn refused<T>(reason: &str) -> Result<T, AgentError> {
    Err(AgentError::Refused { class: Class::Signature, reason: reason.to_owned() })
}

/// A key in PEM, or an Ed25519 key as 64 hex digits, as KubeSolo has it.
fn read_key(path: &Path) -> Result<PublicKey, AgentError> {
    let text = fs::read_to_string(path, LARGEST_KEY as u64)?;
    let bare = unhex(text.trim()).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let Some(bytes) = bare else { return Ok(read_public_key(path)?) };
    PublicKey::from_ed25519(&bytes)
        .map_err(|source| crate::trust::TrustError::Key { path: path.to_owned(), source }.into())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return None;
    }
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

pub(super) fn part(file: &latest::File, size: u64) -> Part {
    Part { role: file.role, digest: file.digest.clone(), size }
}

/// Fetches one file, going on where an earlier process left it.
pub(super) async fn fetch(
    client: &Client,
    file: &latest::File,
    to: &Path,
    reporter: &dyn Reporter,
) -> Result<Part, AgentError> {
    let wanted = Wanted { size: None, limit: LARGEST_FILE };
    let fetched: Result<_, TransportError> = client.gather(&file.url, to, wanted, reporter).await;
    let fetched = fetched.map_err(UpdateError::from)?;
    if fetched.digest != file.digest {
        port_transport::forget(to)?;
        fs::remove_file(to)?;
        let part = file.role.file_name();
        let (expected, found) = (file.digest.to_string(), fetched.digest.to_string());
        return Err(AgentError::OtherBytes { part, url: file.url.clone(), expected, found });
    }
    Ok(part(file, fetched.size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_hex_alone() {
        assert_eq!(unhex("00ff"), Some(vec![0, 255]));
        for bad in ["", "0", "0g", "+1", "é", "0x"] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }
}
