//! What a manager and one call are told (acceptance S-1 … S-7, S-33 … S-36).

use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use port_model::progress::Silent;
use port_model::{Architecture, Reporter};
use port_transport::Client;

use crate::error::BaseImageError;
use crate::hosted::Origin;
use crate::preset::Preset;

/// The bucket of the Firecracker CI.
pub const DEFAULT_BUCKET_URL: &str = "https://s3.amazonaws.com/spec.ccfc.min";
/// What leads to the newest Firecracker release.
pub const DEFAULT_RELEASES_URL: &str = "https://github.com/firecracker-microvm/firecracker/releases/latest";

/// The cache that is used where nobody names another one, below the operating system's directory for temporary files.
pub fn default_cache_directory(temporary: &Path) -> PathBuf {
    temporary.join(".smartvm/base-images")
}

/// How many bundles a cache keeps: 1 or more (acceptance S-7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredLimit(NonZeroU32);

impl StoredLimit {
    /// The limit as a number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl Default for StoredLimit {
    fn default() -> Self {
        Self(NonZeroU32::MIN.saturating_add(1))
    }
}

impl fmt::Display for StoredLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for StoredLimit {
    type Err = BaseImageError;

    fn from_str(text: &str) -> Result<Self, BaseImageError> {
        let wrong = |_| BaseImageError::CacheLimit { found: text.to_owned() };
        text.parse().map(Self).map_err(wrong)
    }
}

impl TryFrom<i64> for StoredLimit {
    type Error = BaseImageError;

    fn try_from(number: i64) -> Result<Self, BaseImageError> {
        let limit = u32::try_from(number).ok().and_then(NonZeroU32::new);
        limit.map(Self).ok_or_else(|| BaseImageError::CacheLimit { found: number.to_string() })
    }
}

/// What a manager is told (acceptance S-6).
#[derive(Clone)]
pub struct Options {
    /// The architecture of calls that name none.
    pub architecture: Architecture,
    /// Where bundles are kept.
    pub cache_directory: PathBuf,
    /// How many are kept.
    pub max_stored_images: StoredLimit,
    /// A hosted manifest's URL.
    pub hosted_manifest_url: Option<String>,
    /// A hosted manifest's path.
    pub hosted_manifest_path: Option<PathBuf>,
    /// The CI bucket, or a mirror of it.
    pub bucket_url: String,
    /// The address that redirects to the newest release, or a mirror of it.
    pub releases_url: String,
    /// The clock: `std::time::SystemTime::now`. The library itself has none.
    pub now: fn() -> SystemTime,
    /// The HTTP client.
    pub client: Client,
    /// Who is told of progress and warnings.
    pub reporter: Arc<dyn Reporter>,
}

impl Options {
    /// The defaults; `temporary` is the operating system's directory for temporary files, `now` the clock.
    pub fn new(temporary: &Path, now: fn() -> SystemTime) -> Self {
        Self {
            architecture: Architecture::X86_64,
            cache_directory: default_cache_directory(temporary),
            max_stored_images: StoredLimit::default(),
            hosted_manifest_url: None,
            hosted_manifest_path: None,
            bucket_url: DEFAULT_BUCKET_URL.to_owned(),
            releases_url: DEFAULT_RELEASES_URL.to_owned(),
            now,
            client: Client::default(),
            reporter: Arc::new(Silent),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("architecture", &self.architecture)
            .field("cache_directory", &self.cache_directory)
            .field("max_stored_images", &self.max_stored_images)
            .finish_non_exhaustive()
    }
}

/// Whether a cached bundle serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheUse {
    /// Where it is complete and sound.
    #[default]
    Allowed,
    /// Not at all: everything is fetched anew (acceptance S-14).
    ForceDownload,
}

/// Whether anything is asked for over the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// As needed.
    #[default]
    Allowed,
    /// Nothing: what is cached has to serve.
    Offline,
}

/// How a cached file is checked before it is handed out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scrutiny {
    /// A file that is known and unchanged is believed, some of its blocks are compared; any other one is hashed.
    #[default]
    Known,
    /// Every byte is hashed, on every hit.
    Paranoid,
}

/// What one call asks for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Which preset.
    pub preset: Preset,
    /// Another architecture than the manager's.
    pub architecture: Option<Architecture>,
    /// A hosted manifest's URL; it replaces both of the manager's places.
    pub manifest_url: Option<String>,
    /// A hosted manifest's path; it replaces both of the manager's places.
    pub manifest_path: Option<PathBuf>,
    /// Whether a cached bundle serves.
    pub cache: CacheUse,
    /// Whether the network is used.
    pub network: Network,
    /// How a cached file is checked.
    pub scrutiny: Scrutiny,
}

/// The two places of a hosted manifest on one level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ManifestPlaces {
    pub(crate) url: Option<String>,
    pub(crate) path: Option<PathBuf>,
}

impl ManifestPlaces {
    /// Those that count: the call's if it names any, else the manager's (acceptance C-24).
    pub(crate) fn of(request: &Request, options: &Options) -> Self {
        let call = Self { url: request.manifest_url.clone(), path: request.manifest_path.clone() };
        if call.any() {
            return call;
        }
        Self { url: options.hosted_manifest_url.clone(), path: options.hosted_manifest_path.clone() }
    }

    pub(crate) fn any(&self) -> bool {
        self.url.is_some() || self.path.is_some()
    }

    /// Which one is read: of one level, the path (acceptance S-63).
    pub(crate) fn origin(&self) -> Option<Origin> {
        let path = self.path.clone().map(Origin::Path);
        path.or_else(|| self.url.clone().map(Origin::Url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options::new(Path::new("/tmp"), || SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn s_1_s_2_s_4_s_5_s_6_defaults() {
        let options = options();
        assert_eq!(options.bucket_url, "https://s3.amazonaws.com/spec.ccfc.min");
        assert_eq!(options.max_stored_images.get(), 2);
        assert_eq!(options.architecture, Architecture::X86_64);
        assert_eq!(options.cache_directory, Path::new("/tmp/.smartvm/base-images"));
        assert_eq!((options.hosted_manifest_url, options.hosted_manifest_path), (None, None));
    }

    #[test]
    fn s_7_the_maximum_is_an_integer_of_1_or_more() {
        for (text, expected) in [("1", 1), ("2", 2), ("4294967295", u32::MAX)] {
            assert_eq!(text.parse::<StoredLimit>().unwrap().get(), expected);
        }
        for text in ["0", "-1", "1.5", "", "two", "4294967296", " 1"] {
            let error = text.parse::<StoredLimit>().unwrap_err();
            assert_eq!(error.code().as_str(), "INVALID_BASE_IMAGE_CACHE_LIMIT", "{text}");
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
        assert_eq!(StoredLimit::try_from(3).unwrap().get(), 3);
        assert!([0, -1, i64::MAX].iter().all(|number| StoredLimit::try_from(*number).is_err()));
    }

    #[test]
    fn s_34_s_63_c_24_a_call_replaces_both_places_and_a_path_beats_a_url() {
        let url = |name: &str| Some(format!("https://host/{name}"));
        let path = |name: &str| Some(PathBuf::from(name));
        let manager = Options { hosted_manifest_url: url("m"), hosted_manifest_path: path("m"), ..options() };
        let chosen = |url: Option<String>, path: Option<PathBuf>| {
            let request = Request { manifest_url: url, manifest_path: path, ..Request::default() };
            ManifestPlaces::of(&request, &manager).origin()
        };
        assert_eq!(chosen(None, None), path("m").map(Origin::Path));
        assert_eq!(chosen(url("c"), None), url("c").map(Origin::Url));
        assert_eq!(chosen(None, path("c")), path("c").map(Origin::Path));
        assert_eq!(chosen(url("c"), path("c")), path("c").map(Origin::Path));
        assert_eq!(ManifestPlaces::of(&Request::default(), &options()).origin(), None);
    }
}
