//! A blob, sent: only if it is not there, mounted if it can be, else in one request or in parts.
//!
//! ```text
//! HEAD ─► there? done ─► mount? done ─► session of an earlier run? go on ─► small: one PUT
//!                                                                └─► large: parts, then PUT ─► confirmed? done
//! ```

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use port_content::fs;
use port_content::verify::Mismatch;
use port_model::Digest;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use crate::auth::Scopes;
use crate::capability::Upload;
use crate::error::{Failure, Refusal};
use crate::host::Host;
use crate::name::RepositoryName;
use crate::push::journal::Journal;
use crate::push::manifest::confirm;
use crate::push::parts::{Lost, Parts, SMALLEST_PART};
use crate::push::session::{Begun, Session, Uploads};
use crate::push::source;
use crate::request::Call;
use crate::request::body::{Body, FilePart, Progress};

/// How often an upload starts over.
const STARTS: u32 = 4;

/// What is to be pushed. The bytes are not hashed again here: the registry does that.
#[derive(Debug, Clone)]
pub struct BlobUpload {
    /// Name of the bytes.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
    /// Where they are.
    pub source: BlobSource,
    /// Another repository of the same registry that may have them.
    pub mount_from: Option<RepositoryName>,
}

/// Where the bytes of a blob are.
#[derive(Debug, Clone)]
pub enum BlobSource {
    /// In a file, from its start.
    Path(PathBuf),
    /// In memory; for small ones.
    Bytes(Bytes),
}

/// How a blob came to be in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    AlreadyThere,
    /// The registry took it from another repository.
    Mounted,
    /// It was sent.
    Sent,
}

/// Whether a blob is there.
pub(crate) async fn has(
    host: &Host,
    repository: &RepositoryName,
    digest: &Digest,
    scopes: Scopes,
) -> Result<bool, Failure> {
    let url = host.endpoint.blob(repository, digest);
    let reply = host.send(&Call::new(Method::HEAD, url, repository, scopes)).await?;
    match reply.status() {
        200 => Ok(true),
        404 => Ok(false),
        _ => Err(Failure::of_status(reply.refusal(host).await)),
    }
}

/// See the module.
pub(crate) async fn push(
    host: &Host,
    repository: &RepositoryName,
    upload: &BlobUpload,
) -> Result<Pushed, Failure> {
    let uploads = Uploads::new(host, repository);
    if has(host, repository, &upload.digest, uploads.scopes.clone()).await? {
        Journal::sweep(host.state_directory(), &host.name, repository, &upload.digest)?;
        return Ok(Pushed::AlreadyThere);
    }
    let mut begun = None;
    if let Some(from) = upload.mount_from.as_ref().filter(|from| *from != repository) {
        match uploads.mount(&upload.digest, from).await {
            Ok(Begun::Mounted) => return Ok(Pushed::Mounted),
            Ok(Begun::Session(session)) => begun = Some(session),
            // A mount is an offer to save work: a source that may not be read, or is not there, is no reason to fail.
            Err(failure) if failure.status().is_some_and(|status| status < 500) => {}
            Err(failure) => return Err(failure),
        }
    }
    let body = open(upload)?;
    let journal = Journal::open(host.state_directory(), &host.name, repository, &upload.digest, upload.size)?;
    let progress = Progress::start(format!("push {}", upload.digest.short()), upload.size, &host.reporter);
    let pushing = Pushing { uploads: &uploads, upload, body, journal: &journal, progress: &progress };
    pushing.run(begun).await?;
    progress.reached(upload.size);
    progress.finished();
    journal.remove()?;
    Ok(Pushed::Sent)
}

/// The bytes as a body. A file of another size is not the blob that was named.
fn open(upload: &BlobUpload) -> Result<Body, Failure> {
    let (body, found) = match &upload.source {
        BlobSource::Bytes(bytes) => (Body::Bytes(bytes.clone()), bytes.len() as u64),
        BlobSource::Path(path) => {
            let (file, metadata): (File, _) = fs::open_regular(path)?;
            let (file, path) = (Arc::new(file), Arc::from(path.as_path()));
            let part = FilePart { file, path, offset: 0, length: upload.size };
            (Body::Part(part), metadata.len())
        }
    };
    if found == upload.size {
        return Ok(body);
    }
    let more = found > upload.size;
    Err(Failure::WrongSource(Mismatch::Size { expected: upload.size, found: found.min(upload.size), more }))
}

struct Pushing<'a> {
    uploads: &'a Uploads<'a>,
    upload: &'a BlobUpload,
    body: Body,
    journal: &'a Journal,
    progress: &'a Arc<Progress>,
}

impl Pushing<'_> {
    async fn run(&self, mut begun: Option<Session>) -> Result<(), Failure> {
        let (mut starts, mut refused) = (0, None);
        loop {
            starts += 1;
            let session = match self.resumed().await? {
                Some(session) => session,
                None => match begun.take() {
                    Some(session) => session,
                    None => self.uploads.begin().await?,
                },
            };
            let lost = match self.send(session.clone()).await {
                Ok(()) => return Ok(()),
                Err(lost) => lost,
            };
            // The answer to the last request may be all that was lost.
            let host = self.uploads.host;
            if self.is_there().await? {
                return Ok(());
            }
            let mut altered = None;
            match lost {
                Lost::Failed(failure) => return Err(failure),
                Lost::NoParts => host.memory.learn(|known| known.upload = Upload::Whole),
                Lost::Broken(stumble) => host.wait(stumble, starts).await?,
                Lost::Altered(refusal) => altered = Some(refusal),
                Lost::TooLarge(refusal, sent) => self.try_other_sizes(refusal, sent, &mut refused)?,
                Lost::StartOver => {}
            }
            self.journal.forget()?;
            self.uploads.cancel(&session.location).await;
            if let Some(refusal) = altered.filter(|_| starts >= STARTS) {
                return Err(Failure::Altered { refusal, starts });
            }
            if starts >= STARTS.max(host.patience().tries) {
                return Err(Failure::BadAnswer(format!("its upload sessions broke {starts} times")));
            }
        }
    }

    /// After a request that was too large: parts after the whole, the whole after parts. Where both are, what was learnt of
    /// sizes is forgotten, so that the next push finds a limit that was raised.
    fn try_other_sizes(&self, refusal: Refusal, sent: u64, refused: &mut Option<u64>) -> Result<(), Failure> {
        let memory = &self.uploads.host.memory;
        let in_parts = sent < self.upload.size;
        if let Some(before) = refused.replace(sent).or((sent <= SMALLEST_PART && !in_parts).then_some(sent)) {
            memory.learn(|known| (known.upload, known.largest_part) = (Upload::Unknown, None));
            return Err(Failure::TooLarge { refusal, sent: sent.min(before) });
        }
        memory.learn(|known| match in_parts {
            true => known.upload = Upload::Whole,
            false => {
                let smaller = (self.upload.size / 2).clamp(SMALLEST_PART, 64 << 20);
                (known.upload, known.largest_part) = (Upload::Unknown, Some(smaller));
            }
        });
        Ok(())
    }

    /// The session of an earlier run, if the registry still knows it. A part that was in flight when the earlier run
    /// was killed may have arrived.
    async fn resumed(&self) -> Result<Option<Session>, Failure> {
        let Some((location, _)) = self.journal.session() else { return Ok(None) };
        if !self.uploads.host.is_home(&location) {
            return Ok(None);
        }
        let session = self.uploads.status(&location).await?;
        let session = session.filter(|session| session.offset <= self.upload.size);
        match &session {
            Some(session) => self.progress.reached(session.offset),
            None => self.journal.forget()?,
        }
        Ok(session)
    }

    async fn send(&self, session: Session) -> Result<(), Lost> {
        match (&self.body, self.part()) {
            (Body::Part(source), Some(part)) => {
                self.journal.record(&session.location, session.offset).map_err(Failure::from)?;
                let (uploads, journal, progress) = (self.uploads, self.journal, self.progress);
                let mut parts = Parts { uploads, source, journal, progress, part };
                let session = parts.send(session).await?;
                self.close(session).await
            }
            // A session that has a part of the bytes cannot take all of them.
            _ if session.offset > 0 => Err(Lost::StartOver),
            (body, _) => self.end(&session, body.clone()).await,
        }
    }

    /// Ends a session that has all the bytes. Where the answer is lost, the bytes are still there: the same is asked again, and
    /// nothing is sent anew, as long as the registry knows the session.
    async fn close(&self, mut session: Session) -> Result<(), Lost> {
        let (host, mut tries) = (self.uploads.host, 0);
        loop {
            let stumble = match self.end(&session, Body::Empty).await {
                Err(Lost::Broken(stumble)) => stumble,
                ended => return ended,
            };
            tries += 1;
            host.wait(stumble, tries).await?;
            if self.is_there().await? {
                return Ok(());
            }
            let known = self.uploads.status(&session.location).await?;
            session = known.filter(|known| known.offset == self.upload.size).ok_or(Lost::StartOver)?;
        }
    }

    async fn is_there(&self) -> Result<bool, Failure> {
        let Uploads { host, repository, scopes } = self.uploads;
        has(host, repository, &self.upload.digest, scopes.clone()).await
    }

    /// How large parts are; `None` where the blob goes up in one request.
    fn part(&self) -> Option<u64> {
        let transfer = self.uploads.host.transfer();
        let known = self.uploads.host.memory.get();
        let whole = known.upload == Upload::Whole;
        let part = known.largest_part.unwrap_or(transfer.upload_part).min(transfer.upload_part).max(1);
        (!whole && self.upload.size > part).then_some(part)
    }

    /// Ends a session, with all the bytes or with none.
    async fn end(&self, session: &Session, body: Body) -> Result<(), Lost> {
        let mut url = session.location.clone();
        url.query_pairs_mut().append_pair("digest", &self.upload.digest.to_string());
        let whole = body.length() > 0;
        let call = self.uploads.call(Method::PUT, url);
        let call =
            call.header(CONTENT_TYPE, "application/octet-stream").body(body, Some(self.progress)).commits();
        let host = self.uploads.host;
        // A session may be used up by a try that failed, so that each try has a session of its own.
        let reply = host.attempt(&call).await.map_err(Lost::Broken)?;
        match reply.status() {
            201 | 204 => {
                confirm(&reply, &self.upload.digest)?;
                reply.finish(host).await;
                Ok(())
            }
            413 if whole => Err(Lost::TooLarge(reply.refusal(host).await, self.upload.size)),
            404 | 416 => Err(Lost::StartOver),
            400 => {
                let refusal = reply.refusal(host).await;
                Err(self.altered(refusal, whole).await)
            }
            _ => Err(Lost::Failed(Failure::of_status(reply.refusal(host).await))),
        }
    }

    /// The registry found another digest, or may have. If the local bytes are the right ones, what it has is wrong.
    async fn altered(&self, refusal: Refusal, whole: bool) -> Lost {
        match source::check(&self.body, &self.upload.digest).await {
            Ok(None) if refusal.is_about_bytes() => Lost::Altered(refusal),
            Ok(None) if whole => Lost::Failed(Failure::of_status(refusal)),
            // No bytes came with this request: it is the session that is confused.
            Ok(None) => Lost::StartOver,
            Ok(Some(mismatch)) => Lost::Failed(Failure::WrongSource(mismatch)),
            Err(failure) => Lost::Failed(failure),
        }
    }
}
