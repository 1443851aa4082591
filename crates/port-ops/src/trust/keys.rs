//! keys: key pairs in files, the private half sealed with a passphrase and readable by nobody else.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use port_content::{atomic, fs};
use port_model::Digest;
use port_registry::Secret;
use port_trust::{KeyError, KeyKind, LARGEST_KEY, PublicKey, SealEntropy, SecretKey, sealed};
use serde::Serialize;

use crate::trust::error::TrustError;

/// What the public half's file ends with.
const PUBLIC: &str = "pub";
/// What the private half's file ends with, where a directory is listed.
const SECRET: &str = "key";

/// What was generated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GeneratedKey {
    /// How it signs.
    pub kind: KeyKind,
    /// The file of the private half, sealed.
    pub secret_path: PathBuf,
    /// The file of the public half.
    pub public_path: PathBuf,
    /// Its name: SHA-256 of its public half.
    pub fingerprint: Digest,
}

/// Keys in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyList {
    /// The keys, by file.
    pub keys: Vec<KeyRow>,
}

/// One file of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyRow {
    /// The file.
    pub path: PathBuf,
    /// How it signs; unknown of a private half, which is sealed.
    pub kind: Option<KeyKind>,
    /// Its name; unknown of a private half without the public one beside it.
    pub fingerprint: Option<Digest>,
    /// Whether it is a sealed private half.
    pub is_secret: bool,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

/// Makes a key pair. The private half is written to `path`, the public one beside it, ending in `.pub`.
///
/// # Errors
/// [`TrustError::KeyExists`] where either is there: a key that was overwritten is lost for good.
pub fn generate_key(kind: KeyKind, path: &Path, passphrase: &Secret) -> Result<GeneratedKey, TrustError> {
    let public_path = public_path(path);
    if public_path == path {
        let reason = format!("`{}` is where the public half goes: name the private one", path.display());
        return Err(TrustError::Usage(reason));
    }
    for path in [path, &public_path] {
        if fs::try_metadata(path)?.is_some() {
            return Err(TrustError::KeyExists { path: path.to_owned() });
        }
    }
    let unusable = |source| TrustError::Key { path: path.to_owned(), source };
    let secret = loop {
        match SecretKey::from_entropy(kind, &random()?) {
            Err(KeyError::Entropy) => {}
            made => break made.map_err(unusable)?,
        }
    };
    let entropy = SealEntropy { salt: random()?, nonce: random()? };
    let sealed = sealed::seal(&secret, passphrase.expose().as_bytes(), &entropy).map_err(unusable)?;
    let public = secret.public();
    // The private half first: a public one alone is of no use and would stand in the way.
    create(path, 0o600, &sealed)?;
    create(&public_path, 0o644, &public.to_pem())?;
    Ok(GeneratedKey { kind, secret_path: path.to_owned(), public_path, fingerprint: public.fingerprint() })
}

/// Opens the sealed private key in `path`.
///
/// # Errors
/// [`TrustError::Key`] where it does not open.
pub fn open_key(path: &Path, passphrase: &Secret) -> Result<SecretKey, TrustError> {
    let text = text(path)?;
    sealed::open(&text, passphrase.expose().as_bytes())
        .map_err(|source| TrustError::Key { path: path.to_owned(), source })
}

/// Refuses what is no sealed key, before anybody is asked for a passphrase.
///
/// # Errors
/// [`TrustError`] then.
pub fn check_key(path: &Path) -> Result<(), TrustError> {
    sealed::check(&text(path)?).map_err(|source| TrustError::Key { path: path.to_owned(), source })
}

/// Reads a public key.
///
/// # Errors
/// [`TrustError`] where it is none.
pub fn read_public_key(path: &Path) -> Result<PublicKey, TrustError> {
    PublicKey::from_pem(&text(path)?).map_err(|source| TrustError::Key { path: path.to_owned(), source })
}

/// The keys in a directory: files that end in `.key` and `.pub`.
///
/// # Errors
/// [`TrustError::Files`] where it cannot be read.
pub fn list_keys(directory: &Path) -> Result<KeyList, TrustError> {
    let mut keys: Vec<KeyRow> = fs::read_dir(directory)?.iter().filter_map(|path| row(path)).collect();
    keys.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(KeyList { keys })
}

fn row(path: &Path) -> Option<KeyRow> {
    let is_secret = match path.extension()?.to_str()? {
        PUBLIC => false,
        SECRET => true,
        _ => return None,
    };
    let public = if is_secret { read_public_key(&public_path(path)) } else { read_public_key(path) };
    let problem = match (is_secret, &public) {
        (true, _) => check_key(path).err(),
        (false, Err(_)) => read_public_key(path).err(),
        (false, Ok(_)) => None,
    };
    let problem = problem.map(|error| crate::error::chain(&error));
    let public = public.ok().filter(|_| problem.is_none());
    Some(KeyRow {
        path: path.to_owned(),
        kind: public.as_ref().map(PublicKey::kind),
        fingerprint: public.as_ref().map(PublicKey::fingerprint),
        is_secret,
        problem,
    })
}

fn text(path: &Path) -> Result<String, TrustError> {
    Ok(fs::read_to_string(path, LARGEST_KEY as u64)?)
}

fn public_path(path: &Path) -> PathBuf {
    path.with_extension(PUBLIC)
}

fn create(path: &Path, mode: u32, text: &str) -> Result<(), TrustError> {
    let mut file = atomic::AtomicFile::create(path)?.mode(mode);
    file.write_all(text.as_bytes()).map_err(|source| port_content::FsError::new("write", path, source))?;
    file.commit()?;
    Ok(())
}

fn random<const N: usize>() -> Result<[u8; N], TrustError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| TrustError::NoRandomness { reason: error.to_string() })?;
    Ok(bytes)
}
