//! A layer's archive: its bytes, or what gzip makes of them.
//!
//! Invariants: the bytes are the ones that the manifest names before a single one is read as an archive; what is
//! decompressed ends at a bound for the whole package, and is what the config names once all of it was read.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};

use flate2::bufread::MultiGzDecoder;
use port_content::fs::Context as _;
use port_content::hashing::Hasher;
use port_content::{sparse, verify};
use port_layout::Descriptor;
use port_model::Digest;

use crate::packages::load::Target;
use crate::packages::media_types::{self, Packing};
use crate::packages::{PackageError, Packages};

/// More layers than any package has; as many files are open at the same time.
const MOST_LAYERS: usize = 64;
/// More entries than any package needs, in all of its layers.
const MOST_ENTRIES: usize = 100_000;
/// How much may come out of small gzip layers, in bytes.
const FREE: u64 = 64 << 20;
/// How many times larger than themselves large gzip layers may become. Kernels become 3 to 5 times larger; zeros 1000 times.
const MOST_GROWTH: u64 = 100;

/// What reading all layers of a package once may cost.
pub(super) struct Budget<'a> {
    reference: &'a str,
    most_bytes: u64,
    bytes: Cell<u64>,
    entries: Cell<usize>,
}

impl<'a> Budget<'a> {
    /// For these layers, however their sizes are spread.
    pub(super) fn of(reference: &'a str, layers: &[Layer]) -> Self {
        let compressed = layers.iter().filter(|layer| layer.inside.is_some()).map(|layer| layer.size);
        let compressed = compressed.fold(0u64, u64::saturating_add);
        let most_bytes = FREE.max(compressed.saturating_mul(MOST_GROWTH));
        Self { reference, most_bytes, bytes: Cell::new(0), entries: Cell::new(0) }
    }

    /// One entry more, of whatever kind.
    pub(super) fn count_entry(&self) -> Result<(), PackageError> {
        let entries = self.entries.get().saturating_add(1);
        self.entries.set(entries);
        if entries <= MOST_ENTRIES {
            return Ok(());
        }
        Err(out_of_bounds(self.reference, format!("at most {MOST_ENTRIES} entries"), "more".to_owned()))
    }

    fn count_bytes(&self, count: usize) -> io::Result<()> {
        let bytes = self.bytes.get().saturating_add(count as u64);
        self.bytes.set(bytes);
        if bytes <= self.most_bytes {
            return Ok(());
        }
        let reason = format!("it decompresses to more than {} bytes, as no kernel does", self.most_bytes);
        Err(io::Error::other(reason))
    }
}

fn out_of_bounds(reference: &str, expected: String, found: String) -> PackageError {
    PackageError::Bounds { reference: reference.to_owned(), expected, found }
}

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
    if package.layers.len() > MOST_LAYERS {
        let found = package.layers.len().to_string();
        return Err(out_of_bounds(reference, format!("at most {MOST_LAYERS} layers"), found));
    }
    let mut digests = BTreeSet::new();
    if let Some(twice) = package.layers.iter().find(|layer| !digests.insert(&layer.digest)) {
        let found = format!("{} twice", twice.digest);
        return Err(out_of_bounds(reference, "every layer once".to_owned(), found));
    }
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
    let digest = layer.digest.clone();
    let inside = match media_types::packing(layer)? {
        Packing::Plain => None,
        Packing::Gzip => {
            let wrong =
                |_| PackageError::Content { layer: layer.digest.clone(), found: id.unwrap_or("").to_owned() };
            Some(id.unwrap_or("").parse().map_err(wrong)?)
        }
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
    pub(super) fn content<'a>(&'a self, budget: &'a Budget<'a>) -> io::Result<Content<'a>> {
        (&self.file).rewind()?;
        let Some(inside) = &self.inside else { return Ok(Content::Plain(&self.file)) };
        Ok(Content::Gzip(Box::new(Unpacked {
            decoder: MultiGzDecoder::new(BufReader::new(&self.file)),
            hasher: Hasher::of(inside.algorithm()),
            expected: inside,
            budget,
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
    budget: &'a Budget<'a>,
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
        self.budget.count_bytes(count)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
