//! Content: bytes by digest. containerd hashes what it is given before it names it; who reads compares again.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{Stream, stream};
use port_model::Digest;

use crate::Labels;
use crate::client::{Call, Containerd, Session};
use crate::error::{ContainerdError, Kind};
use crate::leases::Lease;
use crate::messages::{
    FieldMask, Info, InfoRequest, InfoResponse, ReadRequest, ReadResponse, Timestamp, UpdateInfoRequest,
    WriteAction, WriteRequest, WriteResponse,
};

const INFO: &str = "/containerd.services.content.v1.Content/Info";
const READ: &str = "/containerd.services.content.v1.Content/Read";
const UPDATE: &str = "/containerd.services.content.v1.Content/Update";
const WRITE: &str = "/containerd.services.content.v1.Content/Write";
/// How much a message carries.
const CHUNK: usize = 1 << 20;

/// What containerd knows of content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its size.
    pub size: u64,
    /// When its bytes came.
    pub created: Option<SystemTime>,
    /// Its labels.
    pub labels: Labels,
}

/// Content that is to be written.
#[derive(Debug)]
pub struct NewContent {
    /// Its bytes, from where the file stands to its end.
    pub file: File,
    /// Their digest.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
    /// What it is labelled with.
    pub labels: Labels,
}

impl Containerd {
    /// What is known of content; `None` where it is not there.
    ///
    /// # Errors
    /// [`ContainerdError`].
    pub fn content(&self, digest: &Digest) -> Result<Option<Content>, ContainerdError> {
        let call = Call::new(INFO, "find", digest.to_string());
        match self.ask::<_, InfoResponse>(&call, InfoRequest { digest: digest.to_string() }) {
            Ok(found) => {
                let info = found.info.unwrap_or_default();
                let size = u64::try_from(info.size)
                    .map_err(|_| self.session.senseless(&call.subject, "a size", info.size.to_string()))?;
                Ok(Some(Content { size, created: info.created_at.and_then(time), labels: info.labels }))
            }
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Copies content to where the file stands, `size` bytes and no more; `None` where it is not there.
    ///
    /// # Errors
    /// [`ContainerdError`], also where it has another size.
    pub fn read(&self, digest: &Digest, size: u64, file: File) -> Result<Option<File>, ContainerdError> {
        let call = Call::new(READ, "read", digest.to_string());
        let session = self.session.clone();
        match self.run(async move { read(&session, &call, size, file).await }) {
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// Adds content that belongs to a lease. What is there already gets the labels and belongs to the lease as well.
    ///
    /// # Errors
    /// [`ContainerdError`], also where the bytes are not those of the digest.
    pub fn write(&self, lease: &Lease, content: NewContent) -> Result<(), ContainerdError> {
        let (digest, labels) = (content.digest.clone(), content.labels.clone());
        let mut call = Call::new(WRITE, "add", digest.to_string());
        call.lease = Some(lease.0.clone());
        let session = self.session.clone();
        match self.run(async move { write(&session, &call, content).await }) {
            Err(error) if error.kind() == Kind::AlreadyExists => {
                self.keep(lease, &digest)?;
                self.label(&digest, labels)
            }
            other => other,
        }
    }

    /// Sets these labels and leaves others alone; one without a value goes.
    ///
    /// # Errors
    /// [`ContainerdError`], also where the content is not there.
    pub fn label(&self, digest: &Digest, labels: Labels) -> Result<(), ContainerdError> {
        // Without a field to change, containerd would change them all.
        if labels.is_empty() {
            return Ok(());
        }
        let call = Call::new(UPDATE, "label", digest.to_string());
        let paths = labels.keys().map(|key| format!("labels.{key}")).collect();
        let info = Info { digest: digest.to_string(), labels, ..Info::default() };
        let request = UpdateInfoRequest { info: Some(info), update_mask: Some(FieldMask { paths }) };
        self.ask::<_, InfoResponse>(&call, request)?;
        Ok(())
    }
}

async fn read(session: &Session, call: &Call, size: u64, mut file: File) -> Result<File, ContainerdError> {
    let request = ReadRequest { digest: call.subject.clone(), offset: 0, size: 0 };
    let mut answers = session.stream::<_, ReadResponse>(call, request).await?;
    let mut position = 0u64;
    while let Some(ReadResponse { offset, data }) = session.next(call, &mut answers).await? {
        let end = position.saturating_add(data.len() as u64);
        if u64::try_from(offset).ok() != Some(position) || end > size {
            let found = format!("bytes {offset} to {end} of {size}");
            return Err(session.senseless(&call.subject, "its bytes, one after the other", found));
        }
        file.write_all(&data).map_err(|source| local("write", &call.subject, source))?;
        position = end;
    }
    if position != size {
        return Err(session.senseless(&call.subject, "all of its bytes", format!("{position} of {size}")));
    }
    Ok(file)
}

fn local(operation: &'static str, subject: &str, source: std::io::Error) -> ContainerdError {
    ContainerdError::Local { operation, subject: subject.to_owned(), source }
}

/// Why the requests ended early.
type Broken = Arc<Mutex<Option<std::io::Error>>>;

async fn write(session: &Session, call: &Call, content: NewContent) -> Result<(), ContainerdError> {
    let broken = Broken::default();
    let (digest, size) = (content.digest.to_string(), content.size);
    // A name of its own for every lease: two that add the same content do not wait for each other.
    let reference = format!("port-{}-{digest}", call.lease.as_deref().unwrap_or_default());
    let requests = requests(content, reference, Arc::clone(&broken));
    let committed = commit(session, call, requests).await;
    if let Some(source) = broken.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(local("read", &call.subject, source));
    }
    let committed = committed?;
    if (committed.digest.as_str(), u64::try_from(committed.offset).ok()) == (digest.as_str(), Some(size)) {
        return Ok(());
    }
    let found = format!("{} of {} bytes", committed.digest, committed.offset);
    Err(session.senseless(&call.subject, "the content that was sent", found))
}

/// Sends all of it; gives containerd's last word.
async fn commit(
    session: &Session,
    call: &Call,
    requests: impl Stream<Item = WriteRequest> + Send + 'static,
) -> Result<WriteResponse, ContainerdError> {
    let mut answers = session.exchange::<_, WriteResponse>(call, requests).await?;
    while let Some(answer) = session.next(call, &mut answers).await? {
        if answer.action == WriteAction::Commit as i32 {
            return Ok(answer);
        }
    }
    Err(session.senseless(&call.subject, "a commit", "the end of the answers"))
}

struct Sending {
    content: NewContent,
    reference: String,
    position: u64,
    broken: Broken,
}

/// The messages of a write: its bytes, chunk by chunk, and a commit. A file that breaks off ends them without one.
fn requests(
    content: NewContent,
    reference: String,
    broken: Broken,
) -> impl Stream<Item = WriteRequest> + Send + 'static {
    let sending = Sending { content, reference, position: 0, broken };
    stream::unfold(Some(sending), |sending| async {
        let mut sending = sending?;
        let request = match sending.next() {
            Ok(request) => request,
            Err(error) => {
                *sending.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return None;
            }
        };
        let is_last = request.action == WriteAction::Commit as i32;
        Some((request, (!is_last).then_some(sending)))
    })
}

impl Sending {
    fn next(&mut self) -> std::io::Result<WriteRequest> {
        let NewContent { file, digest, size, labels } = &mut self.content;
        let mut data = Vec::with_capacity(CHUNK.min(usize::try_from(*size).unwrap_or(CHUNK)));
        file.take(CHUNK as u64).read_to_end(&mut data)?;
        let offset = self.position;
        self.position = offset.saturating_add(data.len() as u64);
        if self.position > *size || (data.is_empty() && self.position < *size) {
            let reason = format!("expected {size} bytes, found {}", self.position);
            return Err(std::io::Error::other(reason));
        }
        let mut request = WriteRequest {
            action: WriteAction::Write as i32,
            reference: self.reference.clone(),
            total: i64::try_from(*size).map_err(std::io::Error::other)?,
            expected: digest.to_string(),
            offset: i64::try_from(offset).map_err(std::io::Error::other)?,
            data,
            labels: Labels::new(),
        };
        if request.data.is_empty() {
            request.action = WriteAction::Commit as i32;
            request.labels = std::mem::take(labels);
        }
        Ok(request)
    }
}

fn time(timestamp: Timestamp) -> Option<SystemTime> {
    let seconds = u64::try_from(timestamp.seconds).ok()?;
    let nanos = u32::try_from(timestamp.nanos).ok()?;
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}
