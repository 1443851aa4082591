//! Fetched inputs, kept under the hex digits of their digest, so that a locked build needs no network.
//!
//! Invariant: `downloads/<hex>` is used only after its bytes were hashed and found right.

use std::path::{Path, PathBuf};

use port_content::atomic::AtomicFile;
use port_content::fs;
use port_content::fs::Context as _;
use port_content::hashing::{HashingWriter, digest_file};
use port_kernel::LARGEST_KERNEL;
use port_model::Digest;
use port_transport::Failure;
use port_transport::TransportError;

use crate::environment::Context;
use crate::error::BuildError;

/// An input that is on this machine now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// Where it is.
    pub(crate) file: PathBuf,
    /// Digest of its bytes.
    pub(crate) digest: Digest,
    /// Size in bytes.
    pub(crate) size: u64,
    /// What the source resolved to: a URL, `package=version`, a path.
    pub(crate) resolved: String,
}

/// How asking a source ended, unless it is wrong.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It has the input.
    Got(Fetched),
    /// It cannot be reached, in words; another source may be.
    Unreachable(String),
}

/// The kept input with this digest, if it is there and right. A damaged one is removed.
pub(crate) fn kept(
    context: &Context<'_>,
    digest: &Digest,
    resolved: &str,
) -> Result<Option<Fetched>, BuildError> {
    let file = context.downloads.join(digest.hex());
    if fs::try_metadata(&file)?.is_none() {
        return Ok(None);
    }
    let (found, size) = (context.digest_of)(&file)?;
    if found != *digest {
        context.reporter.note(format!("`{}` is damaged and is fetched again", file.display()));
        fs::remove_file(&file)?;
        return Ok(None);
    }
    Ok(Some(Fetched { file, digest: found, size, resolved: resolved.to_owned() }))
}

/// Fetches `url`, whose bytes must have the digest `expected`.
pub(crate) async fn fetch(context: &Context<'_>, url: &str, expected: &Digest) -> Result<Answer, BuildError> {
    if let Some(fetched) = kept(context, expected, url)? {
        return Ok(Answer::Got(fetched));
    }
    let target = context.downloads.join(expected.hex());
    let mut file = AtomicFile::create(&target)?;
    let downloaded = match context.client.download(url, file.file(), LARGEST_KERNEL, context.reporter).await {
        Ok(downloaded) => downloaded,
        Err(error) if error.failure.is_unreachable() => return Ok(Answer::Unreachable(reason(&error))),
        Err(error) => return Err(error.into()),
    };
    if downloaded.digest != *expected {
        let (found, size) = (downloaded.digest, downloaded.size);
        return Err(BuildError::WrongBytes {
            source_text: url.to_owned(),
            expected: expected.clone(),
            found,
            size,
        });
    }
    file.commit()?;
    let resolved = url.to_owned();
    Ok(Answer::Got(Fetched { file: target, digest: downloaded.digest, size: downloaded.size, resolved }))
}

/// Keeps a copy of `file`, which must have the digest `expected` where there is one.
pub(crate) fn keep(
    context: &Context<'_>,
    file: &Path,
    resolved: String,
    expected: Option<&Digest>,
) -> Result<Fetched, BuildError> {
    let (digest, size) = digest_file(file)?;
    if let Some(expected) = expected.filter(|expected| **expected != digest) {
        let expected = expected.clone();
        return Err(BuildError::WrongBytes { source_text: resolved, expected, found: digest, size });
    }
    let target = context.downloads.join(digest.hex());
    let mut copy = HashingWriter::new(AtomicFile::create(&target)?);
    std::io::copy(&mut fs::open(file)?, &mut copy).context("copy", file)?;
    let (copy, hasher) = copy.into_parts();
    let found = hasher.finish();
    if found != digest {
        return Err(BuildError::WrongBytes { source_text: resolved, expected: digest, found, size });
    }
    copy.commit()?;
    Ok(Fetched { file: target, digest, size, resolved })
}

/// The whole chain of a failed download on one line.
fn reason(error: &TransportError) -> String {
    let mut text = error.to_string();
    let mut next: Option<&dyn std::error::Error> = match &error.failure {
        Failure::Unreachable { source, .. } => Some(source.as_ref()),
        failure => Some(failure),
    };
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
