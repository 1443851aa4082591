//! A blob in parts: each confirmed by the registry and written down before the next.
//!
//! A registry's answer is compared with what was sent, but not believed against it: where it says something impossible,
//! the upload starts over, in one request. The digest at the end decides.

use std::sync::Arc;

use reqwest::Method;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE};

use crate::capability::{Capabilities, Upload};
use crate::error::{Failure, Refusal};
use crate::push::journal::Journal;
use crate::push::session::{Session, Uploads, confirmed};
use crate::request::body::{Body, FilePart, Progress};
use crate::request::{Stumble, retry};

/// Below this a registry that refuses a part as too large is taken not to want parts at all, in bytes.
pub(crate) const SMALLEST_PART: u64 = 1 << 20;

/// How often in a row a registry may be out of step.
const OUT_OF_STEP: u32 = 3;

/// How sending parts ended without success.
pub(crate) enum Lost {
    /// It cannot work.
    Failed(Failure),
    /// The session is gone or confused: start over.
    StartOver,
    /// The registry has other bytes than the right ones that lie here: start over.
    Altered(Refusal),
    /// The connection broke in a way that leaves nothing of the session: start over after a pause.
    Broken(Stumble),
    /// This registry does not take parts.
    NoParts,
    /// It takes no request with so many bytes. In parts: none that are worth it.
    TooLarge(Refusal, u64),
}

impl From<Failure> for Lost {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// An upload in parts.
pub(crate) struct Parts<'a> {
    pub(crate) uploads: &'a Uploads<'a>,
    pub(crate) source: &'a FilePart,
    pub(crate) journal: &'a Journal,
    pub(crate) progress: &'a Arc<Progress>,
    pub(crate) part: u64,
}

impl Parts<'_> {
    /// Sends everything that the session does not have; returns the session, ready to be ended.
    pub(crate) async fn send(&mut self, mut session: Session) -> Result<Session, Lost> {
        self.part = self.part.max(session.least_part.unwrap_or(0));
        let mut failures = 0;
        while session.offset < self.source.length {
            let before = session.offset;
            match self.send_one(&session).await {
                Ok(next) => {
                    self.journal.record(&next.location, next.offset).map_err(Failure::from)?;
                    self.learn();
                    session = next;
                    failures = 0;
                }
                Err(Sent::TooLarge(refusal)) => {
                    self.shrink(refusal, session.offset)?;
                    session = self.ask(session).await?;
                }
                // What was in flight when an earlier connection broke may have arrived since.
                Err(Sent::OutOfStep) if failures < OUT_OF_STEP => {
                    failures += 1;
                    tokio::time::sleep(retry::pause(self.uploads.host.patience(), failures, None)).await;
                    session = self.ask(session).await?;
                }
                Err(Sent::OutOfStep) => return Err(Lost::StartOver),
                Err(Sent::Stumbled(stumble)) => {
                    failures += 1;
                    self.uploads.host.wait(stumble, failures).await?;
                    session = self.ask(session).await?;
                    if session.offset > before {
                        failures = 0;
                    }
                }
                Err(Sent::Lost(lost)) => return Err(lost),
            }
        }
        Ok(session)
    }

    /// One part. On success the session is where the registry confirmed it.
    async fn send_one(&self, session: &Session) -> Result<Session, Sent> {
        let length = self.part.min(self.source.length - session.offset);
        let end = session.offset + length;
        let part = FilePart { offset: self.source.offset + session.offset, length, ..self.source.clone() };
        let call = self
            .uploads
            .call(Method::PATCH, session.location.clone())
            .header(CONTENT_RANGE, &format!("{}-{}", session.offset, end - 1))
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(Body::Part(part), Some(self.progress));
        let reply = self.uploads.host.attempt(&call).await.map_err(Sent::Stumbled)?;
        match reply.status() {
            // 201 is what one large registry says for each part.
            201 | 202 => {}
            413 => return Err(Sent::TooLarge(reply.refusal(self.uploads.host).await)),
            416 if session.offset == 0 => {
                return Err(Sent::TooLarge(reply.refusal(self.uploads.host).await));
            }
            416 => return Err(Sent::OutOfStep),
            404 => return Err(Sent::Lost(Lost::StartOver)),
            400 | 405 | 501 if session.offset == 0 => return Err(Sent::Lost(Lost::NoParts)),
            400 => return Err(Sent::Lost(Lost::StartOver)),
            _ => {
                let refusal = reply.refusal(self.uploads.host).await;
                return Err(Sent::Lost(Lost::Failed(Failure::of_status(refusal))));
            }
        }
        let location = match reply.header("location") {
            Some(_) => self.uploads.location(&reply).map_err(|failure| Sent::Lost(failure.into()))?,
            None => session.location.clone(),
        };
        let offset = confirmed(&reply).unwrap_or(end);
        reply.finish(self.uploads.host).await;
        let next = Session { location, offset, least_part: session.least_part };
        match offset {
            _ if offset == end => Ok(next),
            // It took less than it was sent: the rest is sent again from there.
            _ if offset > session.offset && offset < end => Ok(next),
            _ => Err(Sent::Lost(Lost::NoParts)),
        }
    }

    /// Asks how much the session has. It must have all that was confirmed, and no more than was sent.
    async fn ask(&self, session: Session) -> Result<Session, Lost> {
        let asked = self.uploads.status(&session.location).await?;
        let most = session.offset.saturating_add(self.part).min(self.source.length);
        match asked.filter(|now| (session.offset..=most).contains(&now.offset)) {
            Some(now) => Ok(Session { least_part: session.least_part, ..now }),
            None => Err(Lost::StartOver),
        }
    }

    /// Takes smaller parts from now on, in powers of two. A registry that took parts and takes not even a small one any more is
    /// full, for this blob or for all: the whole in one request is more.
    fn shrink(&mut self, refusal: Refusal, offset: u64) -> Result<(), Lost> {
        let smaller = if self.part > 8 << 20 { 4 << 20 } else { self.part / 2 };
        if smaller < SMALLEST_PART {
            let sent = self.part.min(self.source.length - offset);
            return Err(match refusal.status {
                413 if offset > 0 => {
                    let forget = |known: &mut Capabilities| {
                        (known.upload, known.largest_part) = (Upload::Unknown, None)
                    };
                    self.uploads.host.memory.learn(forget);
                    Lost::Failed(Failure::TooLarge { refusal, sent })
                }
                413 => Lost::TooLarge(refusal, sent),
                _ => Lost::NoParts,
            });
        }
        self.part = smaller;
        self.uploads.host.memory.learn(|known| known.largest_part = Some(smaller));
        Ok(())
    }

    fn learn(&self) {
        self.uploads.host.memory.learn(|known| known.upload = Upload::Parts);
    }
}

/// How one part ended without success.
enum Sent {
    Stumbled(Stumble),
    /// The registry has another number of bytes than was thought.
    OutOfStep,
    TooLarge(Refusal),
    Lost(Lost),
}
