//! The one place that sends: authorised, limited per host, redirected by hand, tried again where that may help.
//!
//! ```text
//! call ─► permit ─► authorise ─► send ─► 401? answer once ─► redirect? vet, follow ─► 429/5xx/cut? pause, again ─► reply
//! ```

pub(crate) mod body;
mod call;
pub(crate) mod pace;
pub(crate) mod redirect;
mod refusal;
pub(crate) mod retry;

use std::sync::Arc;
use std::time::Duration;

use port_content::FsError;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::time::Instant;

use crate::error::{Failure, Refusal};
use crate::host::{Host, SendError, Way};
use crate::pull::manifest::refuse_encoding;
use crate::request::body::{Activity, Body};
pub(crate) use crate::request::call::{Answer, Call, Redirects, Reply, Whole};
pub(crate) use crate::request::refusal::refusal;

/// How many redirects are followed.
const REDIRECTS: usize = 5;
/// How often a host is called that does not take the call.
const CALLS: u32 = 3;
/// A pause of which people are told.
const WORTH_A_WORD: Duration = Duration::from_secs(3);

/// A try that failed, and whether another may do better.
pub(crate) struct Stumble {
    pub(crate) failure: Failure,
    pub(crate) again: Again,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    Never,
    /// After this pause, where the server named one.
    Later(Option<Duration>),
    /// Nobody took the call.
    Call,
}

impl From<Failure> for Stumble {
    fn from(failure: Failure) -> Self {
        let again = match &failure {
            Failure::Unreachable { .. } | Failure::Overloaded { .. } => Again::Later(None),
            _ => Again::Never,
        };
        Self { failure, again }
    }
}

impl Host {
    /// Sends a call until it is answered or the patience is at its end. Statuses other than 401 and those that may
    /// pass are answers.
    pub(crate) async fn send(&self, call: &Call<'_>) -> Result<Reply, Failure> {
        let mut tries = 0;
        loop {
            let stumble = match self.attempt(call).await {
                Ok(reply) => return Ok(reply),
                Err(stumble) => stumble,
            };
            tries += 1;
            self.wait(stumble, tries).await?;
        }
    }

    /// Sends a call for something small, whose body may be cut like the call itself, until all of it came. Only status 200
    /// is an answer.
    pub(crate) async fn send_whole(&self, call: &Call<'_>, limit: u64) -> Result<Whole, Failure> {
        let mut tries = 0;
        loop {
            let stumble = match self.attempt_whole(call, limit).await {
                Ok(whole) => return Ok(whole),
                Err(stumble) => stumble,
            };
            tries += 1;
            self.wait(stumble, tries).await?;
        }
    }

    async fn attempt_whole(&self, call: &Call<'_>, limit: u64) -> Result<Whole, Stumble> {
        let reply = self.attempt(call).await?.expect(self, &[200]).await?;
        let headers = reply.response.headers().clone();
        let whole = Whole { headers, bytes: Vec::new() };
        refuse_encoding(whole.header("content-encoding"))?;
        Ok(Whole { bytes: reply.bytes(self, limit).await?, ..whole })
    }

    /// Waits before the next try, or gives up with the failure.
    pub(crate) async fn wait(&self, stumble: Stumble, tries: u32) -> Result<(), Failure> {
        let (most, asked) = match stumble.again {
            Again::Never => return Err(stumble.failure),
            Again::Later(asked) => (self.patience().tries, asked),
            Again::Call => (self.patience().tries.min(CALLS), None),
        };
        if tries >= most {
            return Err(counted(stumble.failure, tries));
        }
        let pause = retry::pause(self.patience(), tries, asked);
        if pause >= WORTH_A_WORD {
            let (name, seconds) = (&self.name, pause.as_secs());
            self.reporter.note(format!(
                "{name}: {}; trying again in {seconds} seconds, for the {}. of {most} times",
                stumble.failure,
                tries + 1
            ));
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Sends a call once, with one answer to a challenge and with redirects.
    pub(crate) async fn attempt(&self, call: &Call<'_>) -> Result<Reply, Stumble> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| Failure::BadAnswer("the client is shut down".to_owned()))?;
        let asked = Instant::now();
        let mut header = self.auth.header(self, call.repository, &call.scopes).await?;
        let mut response = self.hop(call, &call.url, Way::Home, header.as_ref()).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let headers = response.headers().clone();
            let refused = refusal(response, self.patience()).await;
            let answer =
                self.auth.answer(self, call.repository, &call.scopes, &headers, header.as_ref()).await?;
            let Some(answer) = answer else { return Err(unauthenticated(refused, header.is_some()).into()) };
            response = self.hop(call, &call.url, Way::Home, Some(&answer)).await?;
            header = Some(answer);
        }
        let (response, url) = self.follow(call, response, header).await?;
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED && self.is_home(&url) {
            let refused = refusal(response, self.patience()).await;
            return Err(unauthenticated(refused, true).into());
        }
        if retry::may_pass(status) {
            let after = retry::retry_after(response.headers());
            let refusal = refusal(response, self.patience()).await;
            return Err(Stumble { failure: Failure::of_status(refusal), again: Again::Later(after) });
        }
        Ok(Reply { response, url, permit, asked })
    }

    /// Sends a call once to where it was redirected before, without credentials. `None` where that place does not
    /// answer it any more.
    pub(crate) async fn attempt_at(
        &self,
        call: &Call<'_>,
        url: &Url,
        way: Way,
    ) -> Result<Option<Reply>, Stumble> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| Failure::BadAnswer("the client is shut down".to_owned()))?;
        let asked = Instant::now();
        let response = self.hop(call, url, way, None).await?;
        if retry::may_pass(response.status()) {
            let after = retry::retry_after(response.headers());
            let refusal = refusal(response, self.patience()).await;
            return Err(Stumble { failure: Failure::of_status(refusal), again: Again::Later(after) });
        }
        let answered = response.status().is_success();
        Ok(answered.then(|| Reply { response, url: url.clone(), permit, asked }))
    }

    /// Follows redirects by hand. Credentials stay behind at the first step to another origin, and for good.
    async fn follow(
        &self,
        call: &Call<'_>,
        mut response: Response,
        mut header: Option<HeaderValue>,
    ) -> Result<(Response, Url), Stumble> {
        let mut url = call.url.clone();
        if call.redirects == Redirects::Returned {
            return Ok((response, url));
        }
        for _ in 0..=REDIRECTS {
            let moves = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            let next = if moves {
                redirect::location(response.headers(), &url).map_err(Failure::Hostile)?
            } else {
                None
            };
            let Some(next) = next else { return Ok((response, url)) };
            if !self.is_home(&next) {
                header = None;
                self.check_outside(&next).await?;
            }
            let way = if self.is_home(&next) { Way::Home } else { Way::Outside };
            response = self.hop(call, &next, way, header.as_ref()).await?;
            url = next;
        }
        Err(Failure::Hostile(format!("more than {REDIRECTS} redirects")).into())
    }

    /// One request to one place.
    pub(crate) async fn hop(
        &self,
        call: &Call<'_>,
        url: &Url,
        way: Way,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Stumble> {
        let mut request = self.request(way, call.method.clone(), url.clone()).await?;
        request = request.headers(call.headers.clone());
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        let activity = Activity::new();
        if !matches!(call.method, Method::GET | Method::HEAD | Method::DELETE) {
            request = request.header(CONTENT_LENGTH, call.body.length());
            request = request.body(call.body.open(&activity, call.progress.as_ref()));
        }
        let sent = match &call.body {
            Body::Part(_) => self.watched(request, &activity).await,
            _ if call.answer == Answer::Committed => self.once(request, self.patience().commit).await,
            _ => self.once(request, self.patience().stall).await,
        };
        if let Some((path, source)) = activity.failed(&call.body) {
            // Whatever came of the request: it was ours that broke, and reads no better next time.
            return Err(Failure::Local(FsError::new("read", path, source)).into());
        }
        sent.map_err(|error| {
            let again = match error {
                SendError::Forbidden(_) | SendError::Certificate(_) | SendError::NoTls => Again::Never,
                SendError::NoConnection(_) => Again::Call,
                SendError::Broken(_) => Again::Later(None),
            };
            Stumble { failure: error.into_failure(url, 1), again }
        })
    }

    /// Sends a long body: as long as it moves, it may take what it takes.
    async fn watched(
        &self,
        request: reqwest::RequestBuilder,
        activity: &Activity,
    ) -> Result<Response, SendError> {
        let mut sending = std::pin::pin!(request.send());
        loop {
            let (idle, done) = activity.idle();
            let patience = if done { self.patience().commit } else { self.patience().stall };
            let Some(left) = patience.checked_sub(idle) else { return Err(SendError::stalled(patience)) };
            // Woken at the end of this patience, it looks again whether something moved meanwhile.
            match tokio::time::timeout(left + Duration::from_millis(1), &mut sending).await {
                Ok(sent) => return sent.map_err(SendError::of),
                Err(_) => continue,
            }
        }
    }
}

fn unauthenticated(refusal: Refusal, had_any: bool) -> Failure {
    let hint = match had_any {
        true => "it does not take these credentials for this",
        false => "it wants credentials, and there are none for it",
    };
    Failure::Unauthenticated { refusal, hint }
}

fn counted(failure: Failure, tries: u32) -> Failure {
    match failure {
        Failure::Unreachable { host, source, .. } => Failure::Unreachable { host, tries, source },
        Failure::Overloaded { refusal, .. } => Failure::Overloaded { refusal, tries },
        other => other,
    }
}
