//! A control plane as a backend: Port's hosted API (acceptance P-57 … P-64, docs/formats/hosted-api.md).
//!
//! ```text
//! push   status ─► held? ─ no ─► push from where it is, again after a cut ─► publish (stage) ─► index ─► publish (name)
//!          └─ a server that has only the published routes: push, file by file
//! pull   resolve ─► pull, from where the file is, again after a cut ─► digest
//! ```
//!
//! The token goes to the configured endpoint and nowhere else: no redirect is followed. It is never part of an error.

mod download;
mod index;
mod patience;
mod upload;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use port_model::{FileName, Reference, Reporter, Variant};
use port_registry::Secret;

use crate::backend::{Backend, Document, Documents, Fetched, Found, FoundFile, MergeIndex, Publication};
use crate::error::{BackendError, ErrorKind};
pub use patience::Patience;
use wire::{Answered, Call, Resolved};

/// How a control plane is reached.
#[derive(Debug, Clone)]
pub struct HostedAccess {
    /// `http` or `https` URL without a trailing `/`.
    pub endpoint: String,
    /// The audience that requests name.
    pub audience: String,
    /// The header that carries the token.
    pub header: String,
    /// The token.
    pub token: Secret,
    /// The artifact's name in `port.toml`, which requests repeat.
    pub artifact_name: String,
    /// The base name of the variant's main file, for servers that cannot list files.
    pub main_file: FileName,
    /// The first pause between two tries.
    pub pause: Duration,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct HostedApi {
    access: HostedAccess,
    http: reqwest::Client,
    patience: Patience,
}

impl HostedApi {
    /// The control plane that `access` leads to; nothing is asked yet.
    ///
    /// # Errors
    /// Where this host has no usable TLS roots.
    pub fn new(access: HostedAccess) -> Result<Self, BackendError> {
        let http = wire::client().map_err(|source| {
            BackendError::new(
                ErrorKind::Unsupported,
                access.endpoint.clone(),
                "make an HTTP client for",
                source,
            )
        })?;
        Ok(Self { access, http, patience: Patience::default() })
    }

    /// The same, waiting otherwise.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    fn path(&self, reference: &Reference, variant: Variant, file: &FileName) -> String {
        format!("{}/{file}", reference.variant_directory(variant).display())
    }

    fn call<'a>(&'a self, operation: &'a str, reference: &'a Reference, variant: Variant) -> Call<'a> {
        Call { api: self, operation, reference, variant }
    }
}

#[async_trait]
impl Backend for HostedApi {
    fn describe(&self) -> String {
        format!("hosted-api {}", self.access.endpoint)
    }

    fn location(&self, reference: &Reference, variant: Variant, file: &FileName) -> String {
        format!("{}/{}", self.access.endpoint, self.path(reference, variant, file))
    }

    async fn push(
        &self,
        publication: &Publication,
        merge: MergeIndex<'_>,
        reporter: &dyn Reporter,
    ) -> Result<u64, BackendError> {
        let call = self.call("publish", &publication.reference, publication.variant);
        let mut moved = 0;
        let mut staged = true;
        for file in &publication.files {
            let sent = upload::upload(&call, file, reporter).await?;
            moved += sent.bytes;
            staged &= sent.is_staged;
        }
        // A server with only the published routes has published every file by now, and takes no documents.
        if staged {
            call.publish(publication, "stage").await?;
            index::merge(&call, merge).await?;
            call.publish(publication, "name").await?;
        }
        Ok(moved)
    }

    async fn resolve(&self, reference: &Reference, variant: Variant) -> Result<Found, BackendError> {
        let call = self.call("resolve", reference, variant);
        match call.resolve().await? {
            Answered::Ours(Resolved { files, documents }) => {
                let files = files.into_iter().map(|file| FoundFile {
                    name: file.filename,
                    size: file.size,
                    digest: file.digest,
                });
                let documents = documents.map(|documents| Documents {
                    manifest: documents.manifest.into_bytes(),
                    config: documents.config.into_bytes(),
                });
                let mut files: Vec<FoundFile> = files.collect();
                files.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(Found { files, documents })
            }
            Answered::Others => {
                let size = download::size(&call, &self.access.main_file).await?;
                let file = FoundFile { name: self.access.main_file.clone(), size, digest: None };
                Ok(Found { files: vec![file], documents: None })
            }
        }
    }

    async fn fetch(
        &self,
        reference: &Reference,
        variant: Variant,
        file: &FoundFile,
        _: &[PathBuf],
        target: &Path,
        reporter: &dyn Reporter,
    ) -> Result<Fetched, BackendError> {
        let operation = format!("fetch `{}`", file.name);
        let call = self.call(&operation, reference, variant);
        download::download(&call, file, target, reporter).await
    }

    async fn index(&self, reference: &Reference) -> Result<Option<Document>, BackendError> {
        // Any variant gives the same repository; the index is the version's.
        let variant = Variant::new(
            port_model::Architecture::X86_64,
            port_model::Substrate::Firecracker,
            port_model::ProtectionMode::Standard,
        );
        index::read(&self.call("read the index of", reference, variant)).await.map(|found| found.document)
    }
}
