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
}

struct Download<'a> {
    url: Url,
    file: &'a mut File,
    hasher: Hasher,
    limit: u64,
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
        let mut download = Download { url: parsed, file, hasher: Hasher::default(), limit, task, reporter };
        self.run(&mut download).await.map_err(fail)?;
        reporter.event(Event::Finished { task: download.task });
        let size = download.hasher.size();
        Ok(Downloaded { digest: download.hasher.finish(), size })
    }

    async fn run(&self, download: &mut Download<'_>) -> Result<(), Failure> {
        let mut tries = Tries::default();
        loop {
            let before = download.hasher.size();
            let Err(cut) = self.attempt(download).await else { return Ok(()) };
            let progress = Progress { before, after: download.hasher.size() };
            self.wait(&mut tries, progress, cut).await?;
        }
    }

    /// Waits until the next try is due, or says that there is none.
    pub(crate) async fn wait(&self, tries: &mut Tries, progress: Progress, cut: Cut) -> Result<(), Failure> {
        let (source, most) = match cut {
            Cut::Final(failure) => return Err(failure),
            Cut::Again(source) => (source, TRIES),
            Cut::NoAnswer(source) if progress.before == 0 => (source, CALLS),
            Cut::NoAnswer(source) => (source, TRIES),
        };
        tries.0 = if progress.after > progress.before { 1 } else { tries.0 + 1 };
        if tries.0 >= most {
            return Err(Failure::Unreachable { tries: tries.0, source });
        }
        tokio::time::sleep(self.pause.saturating_mul(1 << tries.0.min(8)).min(LONGEST_PAUSE)).await;
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
        self.hasher = Hasher::default();
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
