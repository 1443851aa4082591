//! A TLS server in front of a server in the clear, which may ask its clients for a certificate. One request per
//! connection, as the registry in memory has it.
//!
//! Keys and certificates are made by `openssl`, anew for each server and good for two days.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use crate::certificates::Maker;

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// Anybody.
    Anyone,
    /// Those with one of the server's own authority.
    Certified,
}

/// The server. It ends with the process.
#[derive(Debug)]
pub struct TlsFront {
    address: String,
    directory: tempfile::TempDir,
}

impl TlsFront {
    /// Passes what comes by this version of TLS on to `target`; `None` where there is no `openssl`.
    pub fn start(target: &str, clients: Clients, version: &'static SupportedProtocolVersion) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let maker = Maker::new(directory.path())?;
        let file = |name: &str| directory.path().join(name);
        for name in ["ca", "other-ca"] {
            maker.authority(name);
        }
        maker.certificate("ca", "server", "subjectAltName=IP:127.0.0.1");
        for (name, authority) in [("client", "ca"), ("stranger", "other-ca")] {
            maker.certificate(authority, name, "extendedKeyUsage=clientAuth");
        }
        // Installing twice is harmless: the first one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = ServerConfig::builder_with_protocol_versions(&[version]);
        let builder = match clients {
            Clients::Anyone => builder.with_no_client_auth(),
            Clients::Certified => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_file(file("ca.pem")).unwrap()).unwrap();
                builder.with_client_cert_verifier(
                    WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap(),
                )
            }
        };
        let chain = vec![CertificateDer::from_pem_file(file("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
        let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let target = target.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (config, target) = (Arc::clone(&config), target.clone());
                let Ok(stream) = stream else { return };
                // A client that is refused is what this is for.
                std::thread::spawn(move || drop(serve(config, stream, &target)));
            }
        });
        Some(Self { address, directory })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The PEM file of the authority behind its certificate.
    pub fn certificate_authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The PEM files of its own certificate, for 127.0.0.1, and its key: another server may show them as well.
    pub fn server(&self) -> (PathBuf, PathBuf) {
        (self.directory.path().join("server.pem"), self.directory.path().join("server.key"))
    }

    /// The PEM files of a client certificate of its own authority, and its key.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        (self.directory.path().join("client.pem"), self.directory.path().join("client.key"))
    }

    /// The same of an authority that it does not know.
    pub fn stranger(&self) -> (PathBuf, PathBuf) {
        (self.directory.path().join("stranger.pem"), self.directory.path().join("stranger.key"))
    }
}

fn serve(config: Arc<ServerConfig>, stream: TcpStream, target: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut client = StreamOwned::new(connection, stream);
    let mut request = Vec::new();
    let head = loop {
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        read_more(&mut client, &mut request)?;
    };
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
    while request.len() < head + length {
        read_more(&mut client, &mut request)?;
    }
    let mut server = TcpStream::connect(target)?;
    server.write_all(&request)?;
    std::io::copy(&mut server, &mut client)?;
    client.conn.send_close_notify();
    client.flush()
}

fn read_more(
    client: &mut StreamOwned<ServerConnection, TcpStream>,
    request: &mut Vec<u8>,
) -> std::io::Result<()> {
    let mut chunk = [0; 65536];
    match client.read(&mut chunk)? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        count => {
            request.extend_from_slice(&chunk[..count]);
            Ok(())
        }
    }
}
