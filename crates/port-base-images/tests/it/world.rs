//! A mirror, a cache, a clock that only moves when it is told to.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use port_base_images::{BaseImage, BaseImageError, BaseImageManager, Ensured, Options, Preset, Request};
use port_model::{Event, Reporter};
use port_testkit::mirror::Mirror;
use port_transport::Client;

/// Seconds since 1970, by the clock of all tests: each look is a second later.
static NOW: AtomicU64 = AtomicU64::new(1_769_860_800);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.fetch_add(1, Ordering::SeqCst))
}

/// Remembers what was said.
#[derive(Default)]
pub(crate) struct Heard(Mutex<Vec<String>>);

impl Reporter for Heard {
    fn event(&self, event: Event) {
        if let Event::Note { message } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

/// The surroundings of one test.
pub(crate) struct World {
    pub(crate) mirror: Option<Mirror>,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) options: Options,
    pub(crate) heard: Arc<Heard>,
}

pub(crate) const KERNEL: &[u8] = b"\x7fELF a kernel";
pub(crate) const ROOTFS: &[u8] = b"hsqs a root";

impl World {
    /// A mirror of the newest line, v1.15, for x86_64.
    pub(crate) fn new() -> Self {
        Self::with(Mirror::of_pair("v1.15.1", "x86_64", KERNEL, ROOTFS))
    }

    pub(crate) fn with(mirror: Mirror) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let heard = Arc::<Heard>::default();
        let options = Options {
            cache_directory: directory.path().join("cache"),
            bucket_url: mirror.bucket_url(),
            releases_url: mirror.releases_url(),
            client: Client::default().with_pause(Duration::from_millis(1)),
            reporter: Arc::clone(&heard) as Arc<dyn Reporter>,
            ..Options::new(directory.path(), now)
        };
        Self { mirror: Some(mirror), directory, options, heard }
    }

    pub(crate) fn mirror(&self) -> &Mirror {
        self.mirror.as_ref().unwrap()
    }

    pub(crate) fn manager(&self) -> BaseImageManager {
        BaseImageManager::new(self.options.clone()).unwrap()
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.options.cache_directory.clone()
    }

    pub(crate) async fn ensure(&self, request: &Request) -> Result<Ensured, BaseImageError> {
        self.manager().ensure(request).await
    }

    pub(crate) async fn bundle(&self, request: &Request) -> BaseImage {
        self.ensure(request).await.unwrap().bundle
    }

    /// The requests for objects and files that came since this was last asked.
    pub(crate) fn downloads(&self) -> Vec<String> {
        let requests = self.mirror().take_requests().into_iter();
        requests
            .filter(|request| {
                request.contains("vmlinux") || request.contains("ubuntu") || request.contains("/files/")
            })
            .collect()
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.0.lock().unwrap().clone()
    }

    /// Writes a file below the test's directory.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Names in the cache that are no dot files.
    pub(crate) fn bundles(&self) -> Vec<String> {
        let names = port_content::fs::read_dir(&self.cache()).unwrap_or_default().into_iter();
        let names = names.map(|path| path.file_name().unwrap().to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with('.')).collect()
    }
}

pub(crate) fn of(preset: Preset) -> Request {
    Request { preset, ..Request::default() }
}

pub(crate) fn latest() -> Request {
    Request::default()
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// The whole chain of an error, as one text.
pub(crate) fn chain(error: &BaseImageError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// The code and the whole chain of a failure.
pub(crate) async fn failure(world: &World, request: &Request) -> (String, String) {
    let error = world.ensure(request).await.unwrap_err();
    (error.code().to_string(), chain(&error))
}
