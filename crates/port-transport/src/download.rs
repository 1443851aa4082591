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
enum Cut {
    /// Another try may do better.
    Again(Box<dyn std::error::Error + Send + Sync>),
    /// Nobody answered the call.
    NoAnswer(Box<dyn std::error::Error + Send + Sync>),
    /// It will not.
    Final(Failure),
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
        let parsed = Url::parse(url).ok().filter(is_plain).ok_or_else(|| fail(Failure::BadUrl))?;
        let name = parsed.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or(url);
        let task = format!("fetch {name}");
        let mut download = Download { url: parsed, file, hasher: Hasher::default(), limit, task, reporter };
        self.run(&mut download).await.map_err(fail)?;
        reporter.event(Event::Finished { task: download.task });
        let size = download.hasher.size();
        Ok(Downloaded { digest: download.hasher.finish(), size })
    }

    async fn run(&self, download: &mut Download<'_>) -> Result<(), Failure> {
        let mut tries = 0;
        loop {
            let before = download.hasher.size();
            let (source, most) = match self.attempt(download).await {
                Ok(()) => return Ok(()),
                Err(Cut::Final(failure)) => return Err(failure),
                Err(Cut::Again(source)) => (source, TRIES),
                Err(Cut::NoAnswer(source)) if before == 0 => (source, CALLS),
                Err(Cut::NoAnswer(source)) => (source, TRIES),
            };
            tries = if download.hasher.size() > before { 1 } else { tries + 1 };
            if tries >= most {
                return Err(Failure::Unreachable { tries, source });
            }
            tokio::time::sleep(self.pause.saturating_mul(1 << tries.min(8)).min(LONGEST_PAUSE)).await;
        }
    }

    async fn attempt(&self, download: &mut Download<'_>) -> Result<(), Cut> {
        let have = download.hasher.size();
        let http = self.http().map_err(|source| Cut::Final(Failure::NoClient { source }))?;
        let mut request = http.get(download.url.clone());
        if have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        let response = request.send().await.map_err(|error| match error.is_connect() {
            true => Cut::NoAnswer(describe(error)),
            false => Cut::Again(describe(error)),
        })?;
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
        let retry = status.is_server_error()
            || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        if retry {
            return Err(Cut::Again(format!("the server answered {status}").into()));
        }
        let not_found = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
        Err(Cut::Final(Failure::Status { status: status.to_string(), not_found }))
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

fn write_failed(source: std::io::Error) -> Cut {
    Cut::Final(Failure::Write { source })
}

/// reqwest's message without the URL, which our own error names already.
fn describe(error: reqwest::Error) -> Box<dyn std::error::Error + Send + Sync> {
    error.without_url().into()
}

fn is_plain(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none()
}
