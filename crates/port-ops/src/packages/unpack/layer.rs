//! A layer's archive: its bytes, or what gzip makes of them.
//!
//! Invariants: the bytes are the ones that the manifest names before a single one is read as an archive; what is
//! decompressed ends at a bound, and is what the config names once all of it was read.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};

use flate2::bufread::MultiGzDecoder;
use port_content::fs::Context as _;
use port_content::hashing::Hasher;
use port_content::{sparse, verify};
use port_layout::Descriptor;
use port_layout::media_types::OCI_LAYER_TAR;
use port_model::Digest;

use crate::packages::load::Target;
use crate::packages::{PackageError, Packages};

/// Layers that are gzip.
const GZIP: [&str; 2] =
    ["application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip"];
/// Layers that are archives as they are.
const PLAIN: [&str; 2] = [OCI_LAYER_TAR, "application/vnd.docker.image.rootfs.diff.tar"];
/// How much may come out of a small gzip layer, in bytes.
const FREE: u64 = 64 << 20;
/// How many times larger than itself a large gzip layer may become. Kernels become 3 to 5 times larger; zeros 1000 times.
const MOST_GROWTH: u64 = 100;

/// A layer that can be read as often as is needed.
pub(super) struct Layer {
    digest: Digest,
    size: u64,
    file: File,
    /// The digest of what is in the gzip layer.
    inside: Option<Digest>,
}

/// Opens the layers of a target whose bytes are the ones that its manifest names.
pub(super) fn open_all(
    packages: &Packages,
    reference: &str,
    target: &Target,
) -> Result<Vec<Layer>, PackageError> {
    let package = &target.decoded.package;
    // As many as there are layers: the documents were compared.
    let ids = package.config.rootfs.diff_ids.as_deref().unwrap_or_default();
    let layers = package.layers.iter().enumerate();
    layers.map(|(at, layer)| open(packages, reference, layer, ids.get(at).map(String::as_str))).collect()
}

fn open(
    packages: &Packages,
    reference: &str,
    layer: &Descriptor,
    id: Option<&str>,
) -> Result<Layer, PackageError> {
    let (kind, digest) = (layer.media_type.as_str(), layer.digest.clone());
    let inside = if GZIP.contains(&kind) {
        let wrong =
            |_| PackageError::Content { layer: layer.digest.clone(), found: id.unwrap_or("").to_owned() };
        Some(id.unwrap_or("").parse().map_err(wrong)?)
    } else if PLAIN.contains(&kind) {
        None
    } else {
        let expected = "a tar layer of OCI or Docker, plain or gzip";
        return Err(PackageError::LayerType { digest, expected, found: kind.to_owned() });
    };
    let Some(blob) = packages.store.open(&layer.blob())? else {
        let (reference, place) = (reference.to_owned(), packages.store.describe());
        return Err(PackageError::Gone { reference, digest, place });
    };
    let mut hasher = Hasher::of(layer.digest.algorithm());
    sparse::hash_to(&blob.file, &mut hasher, blob.length).context("read", &blob.path)?;
    verify::check(hasher, &layer.digest, Some(layer.size)).map_err(|source| {
        let subject = format!("{} in {}", layer.digest, packages.store.describe());
        PackageError::Mismatch { subject, source }
    })?;
    Ok(Layer { digest, size: layer.size, file: blob.file, inside })
}

impl Layer {
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The archive, from its beginning.
    pub(super) fn content(&self) -> io::Result<Content<'_>> {
        (&self.file).rewind()?;
        let Some(inside) = &self.inside else { return Ok(Content::Plain(&self.file)) };
        let most = FREE.max(self.size.saturating_mul(MOST_GROWTH));
        Ok(Content::Gzip(Box::new(Unpacked {
            decoder: MultiGzDecoder::new(BufReader::new(&self.file)),
            hasher: Hasher::of(inside.algorithm()),
            expected: inside,
            read: 0,
            most,
        })))
    }
}

/// An archive while it is read.
pub(super) enum Content<'a> {
    Plain(&'a File),
    Gzip(Box<Unpacked<'a>>),
}

/// What comes out of gzip.
pub(super) struct Unpacked<'a> {
    decoder: MultiGzDecoder<BufReader<&'a File>>,
    hasher: Hasher,
    expected: &'a Digest,
    read: u64,
    most: u64,
}

impl Content<'_> {
    /// Reads what is behind the archive; says whether all of it was what was named.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if let Self::Gzip(_) = &self {
            io::copy(&mut self, &mut io::sink())?;
        }
        match self {
            Self::Plain(_) => Ok(()),
            Self::Gzip(unpacked) => {
                verify::check(unpacked.hasher, unpacked.expected, None).map_err(io::Error::other)
            }
        }
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Gzip(unpacked) => unpacked.read(buffer),
        }
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(buffer)?;
        self.read = self.read.saturating_add(count as u64);
        if self.read > self.most {
            let reason = format!("it decompresses to more than {} bytes, as no kernel does", self.most);
            return Err(io::Error::other(reason));
        }
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
