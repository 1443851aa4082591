//! The client: one per process, shared by all that talk to registries, and its view of one repository.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use port_model::{Digest, Reporter};

use crate::auth::Scopes;
use crate::credential::CredentialSource;
use crate::descriptor::Descriptor;
use crate::error::{Failure, MergeError, Operation, RegistryError, Subject};
use crate::host::Host;
use crate::list::page::ListLimit;
use crate::list::{referrers, tags};
use crate::merge::{Merge, Stop};
use crate::mirror::{MirrorHost, MirrorSite, Site, TagsAt};
use crate::name::{RegistryHost, RepositoryName};
use crate::options::Options;
use crate::pull::blob::{self, Wanted};
use crate::pull::manifest::{self, Manifest, Resolved};
use crate::pull::partial::Partial;
use crate::push::blob::{BlobUpload, Pushed};
use crate::push::manifest::{Condition, Written};
use crate::push::session::{Begun, Uploads};
use crate::tag::{Tag, TagOrDigest};

/// Talks to registries. Cloning shares connections, tokens and limits.
#[derive(Clone)]
pub struct Client {
    options: Arc<Options>,
    credentials: Arc<dyn CredentialSource>,
    reporter: Arc<dyn Reporter>,
    hosts: Arc<Mutex<HashMap<RegistryHost, Known>>>,
}

/// A registry and its mirrors.
#[derive(Clone)]
struct Known {
    host: Arc<Host>,
    mirrors: Arc<[Arc<MirrorHost>]>,
}

/// One repository of one registry.
#[derive(Clone)]
pub struct Repository {
    host: Arc<Host>,
    name: RepositoryName,
    mirrors: Arc<[Arc<MirrorHost>]>,
    tags: TagsAt,
}

impl Client {
    /// A client. Nothing is read or connected to before the first request.
    pub fn new(
        options: Options,
        credentials: Arc<dyn CredentialSource>,
        reporter: Arc<dyn Reporter>,
    ) -> Self {
        Self { options: Arc::new(options), credentials, reporter, hosts: Arc::default() }
    }

    /// A repository. Whether it is there shows when it is asked.
    ///
    /// # Errors
    /// [`RegistryError`] where the host is no name that a URL can hold.
    pub fn repository(
        &self,
        registry: &RegistryHost,
        name: &RepositoryName,
    ) -> Result<Repository, RegistryError> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match hosts.get(registry) {
            Some(known) => known.clone(),
            None => {
                let known = self.open(registry).map_err(|failure| RegistryError {
                    operation: Operation::Resolve,
                    registry: registry.clone(),
                    repository: name.clone(),
                    subject: Subject::Repository,
                    plain_http: false,
                    variables: None,
                    failure: Box::new(failure),
                })?;
                hosts.insert(registry.clone(), known.clone());
                known
            }
        };
        let tags = self.options.mirrors.get(registry).map(|mirrors| mirrors.tags).unwrap_or_default();
        Ok(Repository { host: known.host, name: name.clone(), mirrors: known.mirrors, tags })
    }

    fn open(&self, registry: &RegistryHost) -> Result<Known, Failure> {
        let host = Host::new(registry, &self.options, &self.credentials, &self.reporter)?;
        let mirrors = self.options.mirrors.get(registry).map_or(&[][..], |mirrors| &mirrors.places);
        let mirrors: Result<Vec<_>, Failure> = mirrors
            .iter()
            .map(|mirror| MirrorHost::new(mirror, &self.options, &self.reporter).map(Arc::new))
            .collect();
        Ok(Known { host: Arc::new(host), mirrors: mirrors?.into() })
    }
}

impl Repository {
    /// The registry that it is in.
    pub fn registry(&self) -> &RegistryHost {
        &self.host.name
    }

    /// Its name.
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// What a tag points to now, without reading it.
    ///
    /// # Errors
    /// [`RegistryError`], as for every method here; its [`kind`](RegistryError::kind) says what to do.
    pub async fn resolve(&self, name: &TagOrDigest) -> Result<Resolved, RegistryError> {
        let error = |failure| self.error(Operation::Resolve, name.subject())(failure);
        for mirror in self.mirrors_for(name) {
            match manifest::resolve(&mirror.site.host, &mirror.site.repository, name).await {
                Ok(found) => return Ok(found),
                Err(failure) => mirror.pass_over(&format!("manifest {name}"), failure).map_err(error)?,
            }
        }
        manifest::resolve(&self.host, &self.name, name).await.map_err(error)
    }

    /// A manifest or index, whose bytes have the digest that is returned with them.
    pub async fn manifest(&self, name: &TagOrDigest) -> Result<Manifest, RegistryError> {
        let error = |failure| self.error(Operation::FetchManifest, name.subject())(failure);
        for mirror in self.mirrors_for(name) {
            match manifest::fetch(&mirror.site.host, &mirror.site.repository, name).await {
                Ok(found) => return Ok(found),
                Err(failure) => mirror.pass_over(&format!("manifest {name}"), failure).map_err(error)?,
            }
        }
        manifest::fetch(&self.host, &self.name, name).await.map_err(error)
    }

    /// The mirrors that may be asked for this.
    fn mirrors_for(&self, name: &TagOrDigest) -> Vec<MirrorSite> {
        match (name, self.tags) {
            (TagOrDigest::Tag(_), TagsAt::Origin) => Vec::new(),
            _ => self.mirror_sites(),
        }
    }

    fn mirror_sites(&self) -> Vec<MirrorSite> {
        let site = self.site();
        self.mirrors.iter().filter_map(|mirror| mirror.site(&site)).collect()
    }

    fn site(&self) -> Site {
        Site { host: Arc::clone(&self.host), repository: self.name.clone() }
    }

    /// Whether a blob is there.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let scopes = Scopes::pull(&self.host.endpoint.repository(&self.name));
        let found = crate::push::blob::has(&self.host, &self.name, digest, scopes).await;
        found.map_err(self.error(Operation::LookForBlob, Subject::Digest(digest.clone())))
    }

    /// Fetches a blob into the file `partial`, which then holds exactly the bytes named.
    ///
    /// A partial download that lies there is continued. Afterwards the caller flushes the file, moves it to its place,
    /// and calls [`Partial::forget`]: he keeps it until then, so that nobody else takes the file for one to be continued.
    pub async fn blob_to_file(
        &self,
        digest: &Digest,
        size: u64,
        partial: &Partial,
    ) -> Result<(), RegistryError> {
        let wanted = Wanted { digest, size, ranges: None, partial };
        let fetched = blob::to_file(&self.site(), &self.mirror_sites(), wanted).await;
        fetched.map_err(self.error(Operation::FetchBlob, Subject::Digest(digest.clone())))
    }

    /// Fetches these ranges of a blob to the same places of the file `partial`, and maybe more of it.
    ///
    /// **Nothing is checked**: there is no digest of a part. The caller checks what it uses by what it knows of the
    /// ranges. Where its check fails, it calls [`Partial::forget`], and with a new one [`Self::blob_to_file`], which finds out
    /// who sends wrong bytes and takes them from nobody.
    ///
    /// The file is as [`Self::blob_to_file`] leaves and continues it: ranges that are there already are not fetched
    /// again, and the whole may be fetched later. A registry that answers no ranges sends the whole.
    pub async fn fetch_ranges(
        &self,
        digest: &Digest,
        size: u64,
        ranges: &[Range<u64>],
        partial: &Partial,
    ) -> Result<(), RegistryError> {
        let wanted = Wanted { digest, size, ranges: Some(ranges), partial };
        let fetched = blob::to_file(&self.site(), &self.mirror_sites(), wanted).await;
        fetched.map_err(self.error(Operation::FetchBlob, Subject::Digest(digest.clone())))
    }

    /// A small blob (a config, a signature) of at most `limit` bytes into memory, checked.
    pub async fn blob_to_memory(
        &self,
        digest: &Digest,
        size: u64,
        limit: u64,
    ) -> Result<Bytes, RegistryError> {
        let fetched = blob::to_memory(&self.site(), &self.mirror_sites(), digest, size, limit).await;
        fetched.map_err(self.error(Operation::FetchBlob, Subject::Digest(digest.clone())))
    }

    /// Sends a blob, unless it is there or can be mounted. An upload that an earlier process began is continued.
    pub async fn push_blob(&self, upload: &BlobUpload) -> Result<Pushed, RegistryError> {
        let pushed = crate::push::blob::push(&self.host, &self.name, upload).await;
        pushed.map_err(self.error(Operation::PushBlob, Subject::Digest(upload.digest.clone())))
    }

    /// Takes a blob from another repository of this registry; `false` where the registry does not.
    pub async fn mount(&self, digest: &Digest, from: &RepositoryName) -> Result<bool, RegistryError> {
        let uploads = Uploads::new(&self.host, &self.name);
        let begun = uploads.mount(digest, from).await;
        let begun = begun.map_err(self.error(Operation::PushBlob, Subject::Digest(digest.clone())))?;
        match begun {
            Begun::Mounted => Ok(true),
            Begun::Session(session) => {
                uploads.cancel(&session.location).await;
                Ok(false)
            }
        }
    }

    /// Writes a manifest or index.
    pub async fn put_manifest(
        &self,
        name: &TagOrDigest,
        media_type: &str,
        bytes: &Bytes,
        condition: Condition<'_>,
    ) -> Result<Written, RegistryError> {
        let document = (media_type, bytes);
        let written = crate::push::manifest::put(&self.host, &self.name, name, document, condition).await;
        written.map_err(self.error(Operation::PushManifest, name.subject()))
    }

    /// Changes a document that several writers share, such as the index of a version, without losing what others add at
    /// the same time.
    pub async fn merge_manifest<E>(
        &self,
        name: &TagOrDigest,
        merge: Merge<'_, E>,
    ) -> Result<(), MergeError<E>> {
        crate::merge::update(&self.site(), name, merge).await.map_err(|stop| match stop {
            Stop::Refused(refusal) => MergeError::Refused(refusal),
            Stop::Failure(failure) => {
                MergeError::Registry(self.error(Operation::PushManifest, name.subject())(failure))
            }
        })
    }

    /// Writes a manifest that refers to `subject`, by its digest, and makes sure that it is listed there: by the
    /// registry, or in the index that stands in for it.
    pub async fn put_referrer(
        &self,
        subject: &Digest,
        descriptor: &Descriptor,
        bytes: &Bytes,
    ) -> Result<Written, RegistryError> {
        let name = TagOrDigest::Digest(descriptor.digest.clone());
        let written = self.put_manifest(&name, &descriptor.media_type, bytes, Condition::None).await?;
        // A registry that says another subject does not list it at this one.
        if written.subject.as_ref() != Some(subject) {
            let added = referrers::add_to_tag(&self.site(), subject, descriptor).await;
            added.map_err(self.error(Operation::PushManifest, name.subject()))?;
        }
        Ok(written)
    }

    /// All tags, in the registry's order.
    pub async fn tags(&self) -> Result<Vec<Tag>, RegistryError> {
        let found = tags::all(&self.host, &self.name).await;
        found.map_err(self.error(Operation::ListTags, Subject::Repository))
    }

    /// What refers to a manifest; of one artifact type where one is named.
    pub async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        self.referrers_within(subject, artifact_type, ListLimit::default()).await
    }

    /// The same, for those who can do without where the list is longer than this: that is an error whose failure is
    /// [`Failure::LongList`].
    pub async fn referrers_within(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
        limit: ListLimit,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let found = referrers::all(&self.host, &self.name, subject, artifact_type, limit).await;
        found.map_err(self.error(Operation::ListReferrers, Subject::Digest(subject.clone())))
    }

    /// Asks whether pushing here is allowed, before a long build: begins an upload and gives it up.
    pub async fn may_push(&self) -> Result<(), RegistryError> {
        let asked = crate::push::manifest::may_push(&self.host, &self.name).await;
        asked.map_err(self.error(Operation::ProbePush, Subject::Repository))
    }

    fn error(&self, operation: Operation, subject: Subject) -> impl FnOnce(Failure) -> RegistryError + '_ {
        move |failure| RegistryError {
            operation,
            registry: self.host.name.clone(),
            repository: self.name.clone(),
            subject,
            plain_http: self.host.endpoint.base().scheme() == "http",
            variables: self.host.credentials.variables().map(Into::into),
            failure: Box::new(failure),
        }
    }
}
