//! The client beside the real ones: Debian's `docker-registry` as server, `skopeo` as the other client.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use port_content::hashing::digest_of;
use port_content::{atomic, fs};
use port_registry::{
    Anonymous, ClientCertificate, Condition, HostOptions, Options, Partial, Pushed, Repository, Transport,
    media,
};
use port_testkit::certificates::Maker;
use port_testkit::proxy::{Clients, TlsFront};
use port_testkit::skip;

use crate::support::{chain, noise, options, pull, repository_with, tag, upload};

/// A running `docker-registry`, ended when dropped.
struct Server {
    process: Child,
    host: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts the registry with its data below `directory`; `tls` is added to its `http` section.
fn serve(directory: &Path, tls: &str) -> Server {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let host = format!("127.0.0.1:{port}");
    let root = directory.join("data");
    let configuration = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\nhttp: {{addr: '{host}', secret: x{tls}}}\n",
        root.display()
    );
    let path = directory.join("registry.yml");
    atomic::write(&path, configuration.as_bytes()).unwrap();
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server { process: command.spawn().unwrap(), host };
    for _ in 0..200 {
        if std::net::TcpStream::connect(&server.host).is_ok() {
            return server;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("docker-registry does not listen on {}", server.host);
}

/// Pushes a blob of this size as the one layer of `v1`.
async fn publish(repository: &Repository, directory: &Path, size: usize) -> Vec<u8> {
    let bytes = noise(size);
    let layer = upload(&bytes, &directory.join("layer"));
    repository.may_push().await.unwrap();
    assert_eq!(repository.push_blob(&layer).await.unwrap(), Pushed::Sent);
    assert_eq!(repository.push_blob(&layer).await.unwrap(), Pushed::AlreadyThere);
    let config = upload(b"{}", &directory.join("config"));
    repository.push_blob(&config).await.unwrap();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{}","size":2}},"layers":[{{"mediaType":"application/x","digest":"{}","size":{size}}}]}}"#,
        media::OCI_MANIFEST,
        config.digest,
        layer.digest
    );
    let manifest = Bytes::from(manifest);
    let written = repository.put_manifest(&tag("v1"), media::OCI_MANIFEST, &manifest, Condition::None).await;
    assert_eq!(written.unwrap().digest, digest_of(&manifest));
    bytes
}

fn skopeo(arguments: &[&str]) {
    let output = Command::new("skopeo").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn p_53_round_trips_with_docker_registry_and_skopeo() {
    let tools = (skip::tool("docker-registry", "docker-registry"), skip::tool("skopeo", "skopeo"));
    let (Some(_), Some(_)) = tools else { return };
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path(), "");
    let repository = repository_with(&server.host, options(), Arc::new(Anonymous));
    let bytes = publish(&repository, directory.path(), 1_000_000).await;
    let digest = digest_of(&bytes);
    // What we push, skopeo pulls.
    let layout = directory.path().join("layout");
    let (ours, oci) =
        (format!("docker://{}/port/demo:v1", server.host), format!("oci:{}:v1", layout.display()));
    skopeo(&["copy", "--src-tls-verify=false", &ours, &oci]);
    assert_eq!(fs::read(&layout.join("blobs/sha256").join(digest.hex()), 1 << 30).unwrap(), bytes);
    // What skopeo pushes, we pull.
    let theirs = format!("docker://{}/port/demo:v2", server.host);
    skopeo(&["copy", "--dest-tls-verify=false", &oci, &theirs]);
    let manifest = repository.manifest(&tag("v2")).await.unwrap();
    assert_eq!(manifest.digest, repository.resolve(&tag("v1")).await.unwrap().digest);
    assert_eq!(pull(&repository, &bytes, &directory.path().join("p")).await.unwrap(), bytes);
    let tags = repository.tags().await.unwrap();
    assert_eq!(tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), ["v1", "v2"]);
    assert_eq!(repository.referrers(&manifest.digest, None).await.unwrap(), []);
    let options = options();
    let client =
        port_registry::Client::new(options, Arc::new(Anonymous), Arc::new(port_model::progress::Silent));
    let other = client.repository(repository.registry(), &"port/other".parse().unwrap()).unwrap();
    assert!(other.mount(&digest, repository.name()).await.unwrap());
    assert!(other.has_blob(&digest).await.unwrap());
}

#[tokio::test]
async fn a_registry_with_a_certificate_of_its_own_is_reached_with_its_authority_only() {
    if skip::tool("docker-registry", "docker-registry").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let Some(maker) = Maker::new(directory.path()) else { return };
    maker.self_signed("server");
    let [certificate, key] = ["server.pem", "server.key"].map(|name| directory.path().join(name));
    let tls = format!(", tls: {{certificate: {}, key: {}}}", certificate.display(), key.display());
    let server = serve(directory.path(), &tls);
    let with = |certificate_authority| {
        let default =
            HostOptions { transport: Transport::Https, certificate_authority, ..HostOptions::default() };
        repository_with(&server.host, Options { default, ..options() }, Arc::new(Anonymous))
    };
    assert!(with(None).may_push().await.is_err());
    publish(&with(Some(certificate)), directory.path(), 300_000).await;
}

#[tokio::test]
async fn docker_registry_answers_ranges_and_asks_for_client_certificates() {
    if skip::tool("docker-registry", "docker-registry").is_none() {
        return;
    }
    // Its certificates are of use to another server too.
    let Some(files) = TlsFront::start("127.0.0.1:1", Clients::Anyone, &rustls::version::TLS13) else {
        return;
    };
    let ((certificate, key), authority) = (files.server(), files.certificate_authority());
    let [certificate, key, client_authority] = [&certificate, &key, &authority].map(|path| path.display());
    let directory = tempfile::tempdir().unwrap();
    let tls = format!(", tls: {{certificate: {certificate}, key: {key}, clientcas: ['{client_authority}']}}");
    let server = serve(directory.path(), &tls);
    let with = |identity: Option<(PathBuf, PathBuf)>| {
        let default = HostOptions {
            transport: Transport::Https,
            certificate_authority: Some(files.certificate_authority()),
            client_certificate: identity.map(|(certificate, key)| ClientCertificate { certificate, key }),
            trusted_realms: Vec::new(),
        };
        repository_with(&server.host, Options { default, ..options() }, Arc::new(Anonymous))
    };
    for identity in [None, Some(files.stranger())] {
        let error = with(identity).may_push().await.unwrap_err();
        assert!(chain(&error).contains("did not let this client in"), "{}", chain(&error));
    }
    let repository = with(Some(files.client()));
    let bytes = publish(&repository, directory.path(), 1_000_000).await;
    let (path, ranges) = (directory.path().join("p"), [10..20, 300_000..500_000]);
    let partial = Partial::wait(&path).await.unwrap();
    repository.fetch_ranges(&digest_of(&bytes), 1_000_000, &ranges, &partial).await.unwrap();
    let there = fs::read(&path, 1 << 30).unwrap();
    for range in ranges.map(|range| range.start as usize..range.end as usize) {
        assert!(there[range.clone()] == bytes[range], "it differs");
    }
    assert!(there[700_000..] != bytes[700_000..], "the rest was not fetched");
    drop(partial);
    assert_eq!(pull(&repository, &bytes, &path).await.unwrap(), bytes);
}
