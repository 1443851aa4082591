//! TLS: what is offered, certificates that change, handshakes that stall.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use port_server::observe::Event;
use port_server::{Limits, Tls};
use port_testkit::certificates::Maker;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::guarded::{Guarded, short};
use crate::running::{Running, TOKEN};

/// Makes a certificate that stands for itself; false where there is no `openssl`.
fn certificate(directory: &Path) -> bool {
    Maker::new(directory).map(|maker| maker.self_signed("server")).is_some()
}

async fn start(root: &Path, certificates: &Path, limits: Limits) -> Running {
    let tls = Tls::open(&certificates.join("server.pem"), &certificates.join("server.key")).unwrap();
    Guarded { limits, tls: Some(tls), ..Guarded::over(root) }.start().await
}

/// Asks over TLS, trusting what lies in the directory; gives the protocol that was agreed on, and the answer.
async fn ask(server: &Running, certificates: &Path, offered: &[&[u8]]) -> std::io::Result<(Vec<u8>, String)> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificates.join("server.pem")).unwrap()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(server.address).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let agreed = stream.get_ref().1.alpn_protocol().unwrap_or_default().to_vec();
    let address = server.address;
    let head = format!("GET /v2/ HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    Ok((agreed, answer))
}

#[tokio::test]
async fn tls_tells_clients_https_and_offers_no_http_2() {
    let (root, certificates) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    if !certificate(certificates.path()) {
        return;
    }
    let server = start(root.path(), certificates.path(), Limits::default()).await;
    let (agreed, answer) = ask(&server, certificates.path(), &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(agreed, b"http/1.1");
    let expected = format!("Bearer realm=\"https://{}/token\"", server.address);
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains(&expected), "{answer}");
    assert!(ask(&server, certificates.path(), &[b"h2"]).await.is_err());
    let plain = reqwest::Client::new().get(server.url("/v2/")).bearer_auth(TOKEN).send().await;
    assert!(plain.is_err(), "nothing is answered in the clear");
    assert!(server.stop().await);
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
    let (root, old, new) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    if !certificate(old.path()) || !certificate(new.path()) {
        return;
    }
    let shown = tempfile::tempdir().unwrap();
    let put = |from: &Path, name: &str| std::fs::copy(from.join(name), shown.path().join(name)).unwrap();
    put(old.path(), "server.pem");
    put(old.path(), "server.key");
    let limits = Limits { certificate: Duration::from_millis(10), ..Limits::default() };
    let server = start(root.path(), shown.path(), limits).await;
    let told = async |wanted: fn(&Event) -> bool| {
        while !server.told.events.lock().unwrap().iter().any(wanted) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(ask(&server, old.path(), &[]).await.is_ok());
    // Half of a renewal: the chain is new, the key is not.
    put(new.path(), "server.pem");
    told(|event| matches!(event, Event::CertificateRefused { .. })).await;
    assert!(ask(&server, old.path(), &[]).await.is_ok(), "the old pair stays");
    put(new.path(), "server.key");
    told(|event| *event == Event::CertificateChanged).await;
    assert!(ask(&server, new.path(), &[]).await.is_ok());
    assert!(ask(&server, old.path(), &[]).await.is_err());
}

#[tokio::test]
async fn a_handshake_that_stalls_is_cut() {
    let (root, certificates) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    if !certificate(certificates.path()) {
        return;
    }
    let limits = Limits { connections: 2, ..short() };
    let server = start(root.path(), certificates.path(), limits).await;
    let mut stalled = Vec::new();
    for _ in 0..6 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"\x16\x03\x01").await.unwrap();
        stalled.push(stream);
    }
    assert!(ask(&server, certificates.path(), &[]).await.is_ok(), "a good client is served in turn");
}

#[test]
fn files_that_are_no_pair_are_refused_by_name() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    if !certificate(one.path()) || !certificate(two.path()) {
        return;
    }
    let open = |chain: &Path, key: &Path| Tls::open(chain, key).err().unwrap().to_string();
    let (chain, key) = (one.path().join("server.pem"), one.path().join("server.key"));
    assert!(open(&chain, &two.path().join("server.key")).contains("is not the one of the certificate"));
    assert!(open(&key, &key).contains("holds no certificate"));
    assert!(open(&chain, &chain).contains("holds no private key"));
    assert!(open(&one.path().join("none"), &key).contains("none"));
}
