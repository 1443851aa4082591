//! What these tests share.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use port_content::hashing::digest_of;
use port_model::progress::Silent;
use port_model::{Digest, Event, Reporter};
use port_registry::{
    Anonymous, BlobSource, BlobUpload, Client, CredentialSource, Credentials, Fixed, HostOptions, Options,
    Partial, Patience, RegistryError, Repository, Secret, TagOrDigest, Transfer, Transport,
};
use port_testkit::registry::Registry;

/// `user:secret` in base 64.
pub(crate) const BASIC: &str = "dXNlcjpzZWNyZXQ=";

pub(crate) fn options() -> Options {
    Options {
        default: HostOptions { transport: Transport::PlainHttp, ..HostOptions::default() },
        patience: Patience {
            pause: Duration::from_millis(4),
            stall: Duration::from_secs(5),
            ..Patience::default()
        },
        transfer: Transfer { part: 64 << 10, upload_part: 64 << 10, ..Transfer::default() },
        ..Options::default()
    }
}

pub(crate) fn repository_with(host: &str, options: Options, source: Arc<dyn CredentialSource>) -> Repository {
    let client = Client::new(options, source, Arc::new(Silent));
    client.repository(&host.parse().unwrap(), &"port/demo".parse().unwrap()).unwrap()
}

pub(crate) fn repository(registry: &Registry) -> Repository {
    repository_with(registry.host(), options(), Arc::new(Anonymous))
}

pub(crate) fn user() -> Arc<dyn CredentialSource> {
    let password = Secret::new("secret");
    Arc::new(Fixed(Credentials::Basic { username: "user".to_owned(), password }))
}

pub(crate) fn tag(text: &str) -> TagOrDigest {
    TagOrDigest::Tag(text.parse().unwrap())
}

/// Bytes that do not repeat.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    (0..size)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

pub(crate) fn upload(bytes: &[u8], path: &Path) -> BlobUpload {
    port_content::atomic::write(path, bytes).unwrap();
    let source = BlobSource::Path(path.to_owned());
    BlobUpload { digest: digest_of(bytes), size: bytes.len() as u64, source, mount_from: None }
}

pub(crate) async fn pull(
    repository: &Repository,
    bytes: &[u8],
    path: &Path,
) -> Result<Vec<u8>, RegistryError> {
    let digest: Digest = digest_of(bytes);
    let partial = Partial::wait(path).await.unwrap();
    repository.blob_to_file(&digest, bytes.len() as u64, &partial).await?;
    Ok(port_content::fs::read(path, u64::MAX - 1).unwrap())
}

/// The whole chain of messages of an error.
pub(crate) fn chain(error: &RegistryError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

/// Keeps the notes.
#[derive(Default)]
pub(crate) struct Notes(Mutex<Vec<String>>);

impl Reporter for Notes {
    fn event(&self, event: Event) {
        if let Event::Note { message } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

impl Notes {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn text(&self) -> String {
        self.all().join("\n")
    }
}
