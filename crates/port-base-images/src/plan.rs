//! Resolving: from what is asked for to what a bundle will be, before any of its bytes is fetched.

use std::path::PathBuf;

use port_content::{fs, limit};
use port_model::{Architecture, Digest};

use crate::boot_arguments::boot_arguments;
use crate::bundle_id::BundleId;
use crate::error::{BaseImageError, ManifestReadProblem, ResolveProblem, VersionProblem};
use crate::hosted::{self, Artifact, Origin, Place};
use crate::manager::BaseImageManager;
use crate::options::{ManifestPlaces, Request};
use crate::preset::{Preset, RootfsType};
use crate::record::{BaseImage, Source};
use crate::{artifact_name, listing, release, selection};

/// The most pages of a listing: a million keys.
const MOST_PAGES: usize = 1000;
/// The largest page: a thousand keys of a thousand characters, escaped, with what surrounds them.
const LARGEST_PAGE: u64 = 16 << 20;
/// The most that all pages may have together, in bytes: a line of the real bucket has less than one MiB.
const LARGEST_LISTING: u64 = 256 << 20;

/// What a bundle will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) preset: Preset,
    pub(crate) architecture: Architecture,
    pub(crate) ci_version: String,
    pub(crate) firecracker_version: String,
    pub(crate) bundle_id: BundleId,
    pub(crate) rootfs_type: RootfsType,
    pub(crate) rootfs_is_read_only: bool,
    pub(crate) boot_arguments: String,
    pub(crate) source: Source,
    pub(crate) kernel: Wanted,
    pub(crate) rootfs: Wanted,
}

/// One of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// `kernel` or `rootfs`.
    pub(crate) label: &'static str,
    /// Its name in the bundle.
    pub(crate) file_name: String,
    pub(crate) at: At,
    /// What it must be, where that is known.
    pub(crate) sha256: Option<Digest>,
    pub(crate) size: Option<u64>,
}

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    Url(String),
    Path(PathBuf),
    /// In the store, with the digest that is wanted.
    Store,
}

impl Plan {
    /// Whether a recorded bundle holds what is planned, as far as that is known (acceptance C-20).
    pub(crate) fn is_met_by(&self, bundle: &BaseImage) -> bool {
        let meets = |wanted: &Wanted, checksum: &Option<String>, size: Option<u64>| {
            let same_sum = wanted.sha256.as_ref().is_none_or(|expected| {
                checksum.as_ref().is_some_and(|found| found.eq_ignore_ascii_case(expected.hex()))
            });
            same_sum && wanted.size.is_none_or(|expected| size == Some(expected))
        };
        self.rootfs_type == bundle.rootfs_type
            && self.architecture == bundle.arch
            && meets(&self.kernel, &bundle.checksums.kernel, bundle.sizes.kernel)
            && meets(&self.rootfs, &bundle.checksums.rootfs, bundle.sizes.rootfs)
    }

    /// A recorded bundle with what the plan says anew of it: a manifest may change boot arguments and keep the files.
    pub(crate) fn renewed(&self, bundle: BaseImage) -> BaseImage {
        BaseImage {
            preset: self.preset,
            ci_version: self.ci_version.clone(),
            firecracker_version: self.firecracker_version.clone(),
            rootfs_is_read_only: self.rootfs_is_read_only,
            boot_args: self.boot_arguments.clone(),
            source: self.source.clone(),
            ..bundle
        }
    }
}

impl BaseImageManager {
    /// Finds out what `request` asks for.
    pub(crate) async fn resolve(&self, request: &Request) -> Result<Plan, BaseImageError> {
        let architecture = request.architecture.unwrap_or(self.options.architecture);
        let places = ManifestPlaces::of(request, &self.options);
        if places.any() || request.preset == Preset::Hosted {
            return self.resolve_hosted(&places, architecture).await;
        }
        let (line, version) = self.ci_line(request.preset).await?;
        self.resolve_ci(request.preset, line, version, architecture).await
    }

    /// The CI line and the release of a preset (acceptance S-38, S-39).
    async fn ci_line(&self, preset: Preset) -> Result<(String, String), BaseImageError> {
        if preset == Preset::Lts {
            return Ok((release::LTS_LINE.to_owned(), release::LTS_VERSION.to_owned()));
        }
        let url = &self.options.releases_url;
        let fail = |problem| BaseImageError::VersionFetch { url: url.clone(), problem };
        let address = self.options.client.final_address(url).await.map_err(|error| fail(error.into()))?;
        let version = release::version_of_address(&address).map(str::to_owned);
        let line = version.as_deref().and_then(release::line_of);
        line.zip(version).ok_or_else(|| fail(VersionProblem::Address { found: address }))
    }

    async fn resolve_ci(
        &self,
        preset: Preset,
        line: String,
        firecracker_version: String,
        architecture: Architecture,
    ) -> Result<Plan, BaseImageError> {
        let pair = self.ci_pair(&line, architecture).await;
        let (kernel_key, rootfs_key) =
            pair.map_err(|problem| BaseImageError::Resolve { line: line.clone(), architecture, problem })?;
        let rootfs_type = RootfsType::of_key(&rootfs_key);
        let bucket = &self.options.bucket_url;
        let wanted = |label, key: &str, fallback: &str| Wanted {
            label,
            file_name: artifact_name::of(None, Some(key), fallback),
            at: At::Url(listing::key_address(bucket, key)),
            sha256: None,
            size: None,
        };
        Ok(Plan {
            preset,
            architecture,
            bundle_id: BundleId::of_ci(preset, &line, architecture, &kernel_key, &rootfs_key),
            ci_version: line,
            firecracker_version,
            rootfs_type,
            rootfs_is_read_only: rootfs_type.is_read_only(),
            boot_arguments: boot_arguments(architecture, rootfs_type),
            kernel: wanted("kernel", &kernel_key, "vmlinux"),
            rootfs: wanted("rootfs", &rootfs_key, &format!("rootfs.{rootfs_type}")),
            source: Source::FirecrackerCi { bucket_url: bucket.clone(), kernel_key, rootfs_key },
        })
    }

    async fn ci_pair(
        &self,
        line: &str,
        architecture: Architecture,
    ) -> Result<(String, String), ResolveProblem> {
        let (keys, candidates) =
            self.candidates(&listing::prefix(line, architecture), LARGEST_LISTING).await?;
        let kernel = selection::kernel(&candidates).ok_or(ResolveProblem::NoKernel { keys })?;
        let rootfs = selection::rootfs(&candidates).ok_or(ResolveProblem::NoRootfs { keys })?;
        Ok((kernel.to_owned(), rootfs.to_owned()))
    }

    /// How many keys are below a prefix, over all pages, and those that may be a kernel or a root (acceptance C-26, C-27). Pages of
    /// more than `largest` bytes together are no listing that ends.
    async fn candidates(&self, prefix: &str, largest: u64) -> Result<(usize, Vec<String>), ResolveProblem> {
        let (mut keys, mut candidates, mut read, mut token) = (0, Vec::new(), 0, None);
        for pages in 1..=MOST_PAGES {
            let address = listing::page_address(&self.options.bucket_url, prefix, token.as_deref());
            let bytes = self.options.client.read(&address, LARGEST_PAGE).await?;
            read += bytes.len() as u64;
            let page = listing::parse(&String::from_utf8(bytes).map_err(ResolveProblem::Text)?);
            keys += page.keys.len();
            candidates.extend(page.keys.into_iter().filter(|key| selection::is_candidate(key)));
            if !page.truncated {
                let prefix = prefix.to_owned();
                return if keys == 0 {
                    Err(ResolveProblem::NoKeys { prefix })
                } else {
                    Ok((keys, candidates))
                };
            }
            if page.next.is_none() || page.next == token || read > largest {
                return Err(ResolveProblem::Endless { pages, keys });
            }
            token = page.next;
        }
        Err(ResolveProblem::Endless { pages: MOST_PAGES, keys })
    }

    async fn resolve_hosted(
        &self,
        places: &ManifestPlaces,
        architecture: Architecture,
    ) -> Result<Plan, BaseImageError> {
        let origin = places.origin();
        let fail = |problem| BaseImageError::Manifest { origin: origin.clone(), problem };
        let place = origin.clone().ok_or_else(|| fail(ManifestReadProblem::NoPlace))?;
        let document = self.document(&place).await.map_err(fail)?;
        let manifest = hosted::check(&document, &place, architecture)
            .map_err(|problem| BaseImageError::InvalidManifest { origin: place, problem })?;
        let computed = || boot_arguments(architecture, manifest.rootfs_type);
        Ok(Plan {
            preset: Preset::Hosted,
            architecture,
            ci_version: "hosted".to_owned(),
            firecracker_version: manifest.firecracker_version,
            bundle_id: manifest.bundle_id,
            rootfs_type: manifest.rootfs_type,
            rootfs_is_read_only: manifest.rootfs_is_read_only,
            boot_arguments: manifest.boot_arguments.unwrap_or_else(computed),
            source: hosted_source(places, &manifest.kernel, &manifest.rootfs),
            kernel: wanted("kernel", manifest.kernel),
            rootfs: wanted("rootfs", manifest.rootfs),
        })
    }

    async fn document(&self, origin: &Origin) -> Result<serde_json::Value, ManifestReadProblem> {
        let bytes = match origin {
            Origin::Path(path) => fs::read(path, limit::DOCUMENT)?,
            Origin::Url(url) => self.options.client.read(url, limit::DOCUMENT).await?,
        };
        Ok(serde_json::from_str(&String::from_utf8(bytes)?)?)
    }
}

fn wanted(label: &'static str, artifact: Artifact) -> Wanted {
    let at = match artifact.place {
        Place::Url(url) => At::Url(url),
        Place::Path(path) => At::Path(path),
    };
    Wanted { label, file_name: artifact.file_name, at, sha256: artifact.sha256, size: artifact.size }
}

fn hosted_source(places: &ManifestPlaces, kernel: &Artifact, rootfs: &Artifact) -> Source {
    let url = |artifact: &Artifact| match &artifact.place {
        Place::Url(url) => Some(url.clone()),
        Place::Path(_) => None,
    };
    let path = |artifact: &Artifact| match &artifact.place {
        Place::Path(path) => Some(path.clone()),
        Place::Url(_) => None,
    };
    Source::HostedManifest {
        manifest_url: places.url.clone(),
        manifest_path: places.path.clone(),
        kernel_url: url(kernel),
        rootfs_url: url(rootfs),
        kernel_source_path: path(kernel),
        rootfs_source_path: path(rootfs),
    }
}

#[cfg(test)]
mod tests {
    use port_testkit::mirror::Mirror;

    use super::*;
    use crate::options::Options;

    #[tokio::test]
    async fn s_47_pages_that_are_too_large_together_are_a_listing_without_an_end() {
        let (mirror, root) = (Mirror::start("v1.15.1"), tempfile::tempdir().unwrap());
        for number in 0..4 {
            mirror.put(&format!("line/vmlinux-6.1.{number}"), b"");
        }
        mirror.page(1);
        let options = Options::new(root.path(), || std::time::SystemTime::UNIX_EPOCH);
        let options = Options { bucket_url: mirror.bucket_url(), ..options };
        let manager = BaseImageManager::new(options).unwrap();
        let (keys, candidates) = manager.candidates("line/", LARGEST_LISTING).await.unwrap();
        assert_eq!((keys, candidates.len()), (4, 4));
        // A page has some hundred bytes: the first is within this limit, the second is not.
        for (largest, expected) in [(0, 1), (500, 2)] {
            let ended = manager.candidates("line/", largest).await;
            let Err(ResolveProblem::Endless { pages, keys }) = ended else { panic!("{ended:?}") };
            assert_eq!((pages, keys), (expected, expected), "{largest}");
        }
    }
}
