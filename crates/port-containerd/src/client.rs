//! The connection: one channel, driven by a thread of its own, and the two ways to call.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::mpsc;
use std::time::Duration;

use futures_util::Stream;
use prost::Message;
use tokio::runtime::{Builder, Runtime};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::error::{ContainerdError, Refusal};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer, or the next message of one, may take: a collection on a slow disk is the longest.
const ANSWER: Duration = Duration::from_secs(120);
/// containerd sends no larger messages.
const LARGEST: usize = 16 << 20;

/// Where containerd listens: an absolute path of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(PathBuf);

/// Text that is no path of a socket.
#[derive(Debug, thiserror::Error)]
#[error("`{found}` is not containerd's address: expected an absolute path of its socket")]
pub struct AddressError {
    found: String,
}

impl Address {
    /// The socket.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for Address {
    type Err = AddressError;

    /// A path, or the same with `unix://` before it.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let path = text.strip_prefix("unix://").unwrap_or(text);
        if Path::new(path).is_absolute() && !path.contains('\0') {
            return Ok(Self(PathBuf::from(path)));
        }
        Err(AddressError { found: text.to_owned() })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}

/// containerd, in one of its namespaces.
pub struct Containerd {
    caller: Caller,
    pub(crate) session: Session,
}

/// The thread that makes calls.
struct Caller {
    /// Gone only while the value is dropped.
    runtime: Option<Runtime>,
}

/// What a call needs; cheap to copy, so that a call can take it along.
#[derive(Clone)]
pub(crate) struct Session {
    channel: Channel,
    address: Address,
    namespace: MetadataValue<Ascii>,
}

impl Containerd {
    /// Connects.
    ///
    /// # Errors
    /// [`ContainerdError::Connect`] where nobody listens there, or nobody is let in.
    pub fn connect(address: &Address, namespace: &str) -> Result<Self, ContainerdError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| ContainerdError::Connect {
            address: address.to_string(),
            source,
        };
        let namespace = namespace.parse().map_err(|_| {
            failed(format!("`{namespace}` is not a namespace: expected letters and digits").into())
        })?;
        let caller = Caller::start().map_err(|error| failed(error.into()))?;
        let endpoint = Endpoint::try_from(format!("unix://{address}"))
            .map_err(|error| failed(error.into()))?
            .connect_timeout(CONNECT);
        let connected = caller.wait(async move { endpoint.connect().await });
        let channel = match connected {
            Some(connected) => connected.map_err(|error| failed(error.into()))?,
            None => return Err(failed(Refusal::Ended.into())),
        };
        let session = Session { channel, address: address.clone(), namespace };
        Ok(Self { caller, session })
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.session.address
    }

    /// Runs a call to its end.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, ContainerdError>> + Send + 'static,
    ) -> Result<T, ContainerdError> {
        let done = self.caller.wait(call);
        done.unwrap_or_else(|| Err(self.session.failed("answer", "a call", Refusal::Ended)))
    }

    /// One request, one answer.
    pub(crate) fn ask<Q, A>(&self, call: &Call, request: Q) -> Result<A, ContainerdError>
    where
        Q: Message + Default + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let (session, call) = (self.session.clone(), call.clone());
        self.run(async move { session.unary(&call, request).await })
    }
}

impl Caller {
    fn start() -> std::io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("containerd").enable_all().build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Waits for a task; `None` where it came to no end. Not `block_on`, which panics within another runtime.
    fn wait<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.runtime.as_ref()?.spawn(async move {
            // Whoever asked waits below.
            let _ = sender.send(task.await);
        });
        receiver.recv().ok()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // Waiting is not allowed in every place where a value is dropped.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What is called, and in which words its failure is told.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) path: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) subject: String,
    /// The lease that what is written belongs to.
    pub(crate) lease: Option<String>,
}

impl Call {
    pub(crate) fn new(path: &'static str, operation: &'static str, subject: impl Into<String>) -> Self {
        Self { path, operation, subject: subject.into(), lease: None }
    }
}

impl Session {
    async fn unary<Q, A>(&self, call: &Call, request: Q) -> Result<A, ContainerdError>
    where
        Q: Message + Default + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut client = self.client(call).await?;
        let (request, codec) = (self.request(call, request)?, ProstCodec::default());
        let answer = self.patiently(call, client.unary(request, path(call), codec)).await?;
        Ok(answer.into_inner())
    }

    /// One request, many answers.
    pub(crate) async fn stream<Q, A>(&self, call: &Call, request: Q) -> Result<Streaming<A>, ContainerdError>
    where
        Q: Message + Default + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut client = self.client(call).await?;
        let (request, codec) = (self.request(call, request)?, ProstCodec::default());
        let answer = self.patiently(call, client.server_streaming(request, path(call), codec)).await?;
        Ok(answer.into_inner())
    }

    /// Many requests, many answers.
    pub(crate) async fn exchange<Q, A>(
        &self,
        call: &Call,
        requests: impl Stream<Item = Q> + Send + 'static,
    ) -> Result<Streaming<A>, ContainerdError>
    where
        Q: Message + Default + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut client = self.client(call).await?;
        let (request, codec) = (self.request(call, requests)?, ProstCodec::default());
        let answer = self.patiently(call, client.streaming(request, path(call), codec)).await?;
        Ok(answer.into_inner())
    }

    /// The next message of a stream; `None` at its end.
    pub(crate) async fn next<A>(
        &self,
        call: &Call,
        answers: &mut Streaming<A>,
    ) -> Result<Option<A>, ContainerdError> {
        self.patiently(call, answers.message()).await
    }

    async fn client(&self, call: &Call) -> Result<Grpc<Channel>, ContainerdError> {
        let mut client = Grpc::new(self.channel.clone()).max_decoding_message_size(LARGEST);
        let ready = async { client.ready().await.map_err(|error| Status::from_error(error.into())) };
        self.patiently(call, ready).await?;
        Ok(client)
    }

    fn request<Q>(&self, call: &Call, message: Q) -> Result<Request<Q>, ContainerdError> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        if let Some(lease) = &call.lease {
            // Without it what is written would belong to nobody, and be collected at any time.
            let expected = "letters and digits";
            let identifier =
                lease.parse().map_err(|_| self.senseless("a lease", expected, lease.as_str()))?;
            request.metadata_mut().insert("containerd-lease", identifier);
        }
        Ok(request)
    }

    async fn patiently<T>(
        &self,
        call: &Call,
        answer: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, ContainerdError> {
        let refusal = match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(status)) => Refusal::Status(status),
            Err(_) => Refusal::Silence { seconds: ANSWER.as_secs() },
        };
        Err(self.failed(call.operation, &call.subject, refusal))
    }

    pub(crate) fn failed(&self, operation: &'static str, subject: &str, refusal: Refusal) -> ContainerdError {
        ContainerdError::Call {
            address: self.address.to_string(),
            operation,
            subject: subject.to_owned(),
            source: Box::new(refusal),
        }
    }

    pub(crate) fn senseless(
        &self,
        subject: &str,
        expected: &'static str,
        found: impl Into<String>,
    ) -> ContainerdError {
        let (address, subject) = (self.address.to_string(), subject.to_owned());
        ContainerdError::Answer { address, subject, expected, found: found.into() }
    }
}

fn path(call: &Call) -> PathAndQuery {
    PathAndQuery::from_static(call.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn an_address_is_a_path() {
        let path = |text: &str| text.parse::<Address>().map(|address| address.to_string()).ok();
        assert_eq!(path("/run/containerd.sock").as_deref(), Some("/run/containerd.sock"));
        assert_eq!(path("unix:///run/containerd.sock").as_deref(), Some("/run/containerd.sock"));
        for bad in ["", "run/containerd.sock", "tcp://127.0.0.1:1", "unix://x"] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_lease_that_cannot_be_named_is_not_left_out() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let channel = Endpoint::from_static("http://localhost").connect_lazy();
        let address = "/nobody/listens/here".parse().unwrap();
        let session = Session { channel, address, namespace: "default".parse().unwrap() };
        let mut call = Call::new("/x", "add", "content");
        assert!(session.request(&call, ()).is_ok());
        call.lease = Some("lease-1".to_owned());
        let request = session.request(&call, ()).unwrap();
        assert_eq!(request.metadata().get("containerd-lease").unwrap(), "lease-1");
        call.lease = Some("a\nb".to_owned());
        let error = session.request(&call, ()).unwrap_err().to_string();
        assert!(error.contains("answered about a lease with a\nb: expected letters and digits"), "{error}");
    }

    #[test]
    fn nobody_there_is_told_and_is_no_panic_within_a_runtime() {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let address: Address = "/nobody/listens/here".parse().unwrap();
            let error = Containerd::connect(&address, "default").err().unwrap();
            assert_eq!(error.kind(), Kind::Unavailable);
            assert_eq!(error.to_string(), "cannot reach containerd at `/nobody/listens/here`");
        });
    }
}
