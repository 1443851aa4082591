//! One download into a file.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use futures_util::StreamExt as _;
use port_content::hashing::Hasher;
use port_model::{Digest, Event, Reporter};
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Response, StatusCode, Url};

use crate::client::Client;
use crate::error::{Failure, TransportError};

/// How often one download is tried. A try that brought bytes does not count against the next.
const TRIES: u32 = 4;
/// How often a server is called that does not even answer the call: whoever lists several sources waits for this.
const CALLS: u32 = 2;
/// A try that brought so many bytes, or this part of what was missing, is followed by the next at once: it waited for the
/// server long enough. Were there a pause, one that cuts every answer at a third would take minutes for a few MiB.
const ENOUGH: u64 = 64 << 10;
const ENOUGH_OF_THE_REST: u64 = 8;
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What a download brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// Digest of the bytes.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
}

/// How one try ended without success.
pub(crate) enum Cut {
    /// Another try may do better.
    Again(Box<dyn std::error::Error + Send + Sync>),
    /// Nobody answered the call.
    NoAnswer(Box<dyn std::error::Error + Send + Sync>),
    /// It will not.
    Final(Failure),
}

/// How often in a row a try brought nothing.
#[derive(Debug, Default)]
pub(crate) struct Tries(u32);

/// How many bytes there were before a try, and after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) before: u64,
    pub(crate) after: u64,
    /// How many there are to be, where that is known.
    pub(crate) total: Option<u64>,
}

impl Progress {
    /// None, of something that is asked for as a whole.
    pub(crate) const NONE: Self = Self { before: 0, after: 0, total: None };

    /// Whether the next try need not wait. It ends: each such try brings a fixed amount, or a fixed part of the rest.
    fn is_enough(self) -> bool {
        let brought = self.after.saturating_sub(self.before);
        let missing = self.total.map(|total| total.saturating_sub(self.before));
        let part = missing.is_some_and(|missing| brought >= missing.div_ceil(ENOUGH_OF_THE_REST));
        brought >= ENOUGH || (brought > 0 && part)
    }
}

impl Tries {
    /// How long to wait until the next try, or that there is none. Only tries in a row that brought nothing count.
    fn next(&mut self, first: Duration, progress: Progress, cut: Cut) -> Result<Duration, Failure> {
        let (source, most) = match cut {
            Cut::Final(failure) => return Err(failure),
            Cut::Again(source) => (source, TRIES),
            Cut::NoAnswer(source) if progress.before == 0 => (source, CALLS),
            Cut::NoAnswer(source) => (source, TRIES),
        };
        self.0 = if progress.after > progress.before { 1 } else { self.0 + 1 };
        match self.0 >= most {
            true => Err(Failure::Unreachable { tries: self.0, source }),
            false if progress.is_enough() => Ok(Duration::ZERO),
            false => Ok(first.saturating_mul(1 << self.0.min(8)).min(LONGEST_PAUSE)),
        }
    }
}

struct Download<'a> {
    url: Url,
    file: &'a mut File,
    hasher: Hasher,
    limit: u64,
    /// The size of the whole, as the first answer said.
    total: Option<u64>,
    task: String,
    reporter: &'a dyn Reporter,
}

impl Client {
    /// Fetches `url` into the empty file `file`, at most `limit` bytes, resuming where a connection breaks.
    ///
    /// # Errors
    /// [`TransportError`] naming the URL. The file then holds a part; the caller throws it away.
    pub async fn download(
        &self,
        url: &str,
        file: &mut File,
        limit: u64,
        reporter: &dyn Reporter,
    ) -> Result<Downloaded, TransportError> {
        let fail = |failure| TransportError { url: url.to_owned(), failure };
        let parsed = parse(url).map_err(fail)?;
        let task = task(&parsed);
        let hasher = Hasher::default();
        let mut download = Download { url: parsed, file, hasher, limit, total: None, task, reporter };
        self.run(&mut download).await.map_err(fail)?;
        reporter.event(Event::Finished { task: download.task });
        let size = download.hasher.size();
        Ok(Downloaded { digest: download.hasher.finish(), size })
    }

    async fn run(&self, download: &mut Download<'_>) -> Result<(), Failure> {
        let mut tries = Tries::default();
        // A server without ranges begins anew each time: only what no try before has reached is progress.
        let mut furthest = 0;
        loop {
            let Err(cut) = self.attempt(download).await else { return Ok(()) };
            let reached = furthest.max(download.hasher.size());
            let progress = Progress { before: furthest, after: reached, total: download.total };
            furthest = reached;
            self.wait(&mut tries, progress, cut).await?;
        }
    }

    /// Waits until the next try is due, or says that there is none.
    pub(crate) async fn wait(&self, tries: &mut Tries, progress: Progress, cut: Cut) -> Result<(), Failure> {
        match tries.next(self.pause, progress, cut)? {
            Duration::ZERO => {}
            pause => tokio::time::sleep(pause).await,
        }
        Ok(())
    }

    /// Sends a request; what comes back has a head.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, Cut> {
        request.send().await.map_err(|error| match error {
            error if error.is_connect() => Cut::NoAnswer(describe(error)),
            // An answer, and the next one will be the same.
            error if error.is_redirect() => Cut::Final(Failure::Redirect { source: describe(error) }),
            error => Cut::Again(describe(error)),
        })
    }

    async fn attempt(&self, download: &mut Download<'_>) -> Result<(), Cut> {
        let have = download.hasher.size();
        let http = self.http().map_err(|source| Cut::Final(Failure::NoClient { source }))?;
        let mut request = http.get(download.url.clone());
        if have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        let response = self.send(request).await?;
        download.accept(&response, have)?;
        download.receive(response).await
    }
}

impl Download<'_> {
    /// Looks at the head of an answer: may its body be appended?
    fn accept(&mut self, response: &Response, have: u64) -> Result<(), Cut> {
        let status = response.status();
        if status == StatusCode::PARTIAL_CONTENT && have > 0 {
            let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
            let found = range.unwrap_or_default().to_owned();
            if !found.starts_with(&format!("bytes {have}-")) {
                return Err(Cut::Final(Failure::WrongRange { asked: have, found }));
            }
            return Ok(());
        }
        if status == StatusCode::OK {
            return self.start_over(response.content_length());
        }
        Err(refusal(status))
    }

    /// The whole body is coming: the first answer, or a server that ignores `Range`.
    fn start_over(&mut self, length: Option<u64>) -> Result<(), Cut> {
        if length.is_some_and(|length| length > self.limit) {
            return Err(Cut::Final(Failure::TooLarge { limit: self.limit }));
        }
        (self.hasher, self.total) = (Hasher::default(), length);
        std::io::Seek::rewind(self.file).and_then(|()| self.file.set_len(0)).map_err(write_failed)?;
        self.reporter.event(Event::Started { task: self.task.clone(), total: length });
        Ok(())
    }

    async fn receive(&mut self, response: Response) -> Result<(), Cut> {
        let expected = response.content_length().map(|rest| self.hasher.size().saturating_add(rest));
        let mut body = response.bytes_stream();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| Cut::Again(describe(error)))?;
            if self.hasher.size() + chunk.len() as u64 > self.limit {
                return Err(Cut::Final(Failure::TooLarge { limit: self.limit }));
            }
            self.file.write_all(&chunk).map_err(write_failed)?;
            self.hasher.update(&chunk);
            self.reporter.event(Event::Advanced { task: self.task.clone(), bytes: chunk.len() as u64 });
        }
        match expected.filter(|expected| *expected != self.hasher.size()) {
            Some(expected) => {
                let message = format!("the answer ended after {} of {expected} bytes", self.hasher.size());
                Err(Cut::Again(message.into()))
            }
            None => Ok(()),
        }
    }
}

/// What an answer means that has none of the statuses that were hoped for.
pub(crate) fn refusal(status: StatusCode) -> Cut {
    let retry = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if retry {
        return Cut::Again(format!("the server answered {status}").into());
    }
    let not_found = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
    Cut::Final(Failure::Status { status: status.to_string(), not_found })
}

/// A URL that is fetched from.
pub(crate) fn parse(url: &str) -> Result<Url, Failure> {
    Url::parse(url).ok().filter(is_plain).ok_or(Failure::BadUrl)
}

/// What the download of a URL is called in progress.
pub(crate) fn task(url: &Url) -> String {
    let name = url.path_segments().and_then(|mut segments| segments.next_back());
    format!("fetch {}", name.unwrap_or(url.as_str()))
}

pub(crate) fn write_failed(source: std::io::Error) -> Cut {
    Cut::Final(Failure::Write { source })
}

/// reqwest's message without the URL, which our own error names already.
pub(crate) fn describe(error: reqwest::Error) -> Box<dyn std::error::Error + Send + Sync> {
    error.without_url().into()
}

fn is_plain(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(500);

    fn again() -> Cut {
        Cut::Again("cut".into())
    }

    #[test]
    fn a_try_that_brought_much_is_followed_at_once_and_one_that_brought_little_after_a_pause() {
        let next = |before, after, total| {
            Tries::default().next(FIRST, Progress { before, after, total }, again()).unwrap()
        };
        let third = |rest| next(0, rest / 3, Some(rest));
        for rest in [3, 10, 1 << 10, 8 << 20, 1 << 40] {
            assert_eq!(third(rest), Duration::ZERO, "{rest}");
        }
        for (before, after, total, pause) in [
            (0, 64 << 10, None, Duration::ZERO),
            (1 << 40, (1 << 40) + (64 << 10), Some(1 << 41), Duration::ZERO),
            (0, 1000, None, 2 * FIRST),
            (0, 1000, Some(8001), 2 * FIRST),
            (0, 1001, Some(8001), Duration::ZERO),
            (5, 5, Some(5), 2 * FIRST),
            (9, 0, Some(9), 2 * FIRST),
        ] {
            assert_eq!(next(before, after, total), pause, "{before} {after} {total:?}");
        }
    }

    #[test]
    fn only_tries_in_a_row_that_brought_nothing_count() {
        let mut tries = Tries::default();
        let nothing = Progress { before: 7, after: 7, total: None };
        for round in 0..100 {
            let some = Progress { before: round, after: round + 1, total: None };
            assert_eq!(tries.next(FIRST, some, again()).unwrap(), 2 * FIRST, "{round}");
            assert_eq!(tries.next(FIRST, nothing, again()).unwrap(), 4 * FIRST, "{round}");
            assert_eq!(tries.next(FIRST, nothing, again()).unwrap(), 8 * FIRST, "{round}");
        }
        let end = tries.next(FIRST, nothing, again()).unwrap_err();
        assert!(matches!(end, Failure::Unreachable { tries: TRIES, .. }), "{end:?}");
        let refused = Tries::default().next(FIRST, Progress::NONE, Cut::Final(Failure::BadUrl)).unwrap_err();
        assert!(matches!(refused, Failure::BadUrl), "{refused:?}");
    }
}
