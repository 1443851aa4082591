//! The flags of `serve` about its edge: TLS, limits, the audit log.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use port_server::audit::Audit;
use port_server::gate::Clock;
use port_server::{BlobLimit, Limits, Tls};

use crate::error::CommandError;

/// See the module.
#[derive(Debug, Args)]
pub(super) struct EdgeFlags {
    /// Serve TLS with this chain of certificates (PEM); a renewed file is taken within seconds.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The key of the certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Where clients reach this server, if a proxy stands before it: `https://registry.example.org`.
    #[arg(long, value_name = "URL", value_parser = public_url)]
    public_url: Option<String>,
    /// Record every change and every refusal in this file, a hash chain of JSON lines.
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
    /// Requests of one client address in a second; as many as come unless said.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_second: Option<u32>,
    /// Connections of one client address at the same time.
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().connections_per_client)]
    connections_per_client: usize,
    /// Connections at the same time.
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().connections)]
    connections: usize,
    /// Uploads that one caller may have begun and not ended.
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().uploads_per_caller)]
    uploads_per_caller: usize,
    /// The largest blob of some repositories, as `team/**=10GiB`; the first that fits counts.
    #[arg(long = "largest-blob", value_name = "REPOSITORIES=SIZE", value_parser = blob_limit)]
    largest_blobs: Vec<BlobLimit>,
}

impl EdgeFlags {
    /// The certificate.
    pub(super) fn tls(&self) -> Result<Option<Tls>, CommandError> {
        let (Some(certificate), Some(key)) = (&self.tls_certificate, &self.tls_key) else { return Ok(None) };
        Ok(Some(Tls::open(certificate, key)?))
    }

    /// The audit log.
    pub(super) fn audit(&self) -> Result<Option<Audit>, CommandError> {
        let opened = self.audit_log.as_ref().map(|path| Audit::open(path, clock()));
        Ok(opened.transpose()?)
    }

    /// Where clients reach it.
    pub(super) fn public_url(&self) -> Option<String> {
        self.public_url.clone()
    }

    /// The limits.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            connections: self.connections,
            connections_per_client: self.connections_per_client,
            requests_per_second: self.requests_per_second,
            uploads_per_caller: self.uploads_per_caller,
            blobs: self.largest_blobs.clone(),
            ..Limits::default()
        }
    }
}

/// The time of this host.
pub(super) fn clock() -> Clock {
    Arc::new(Timestamp::now)
}

fn public_url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:[]/".contains(c);
    match host {
        Some(host) if !host.is_empty() && host.chars().all(allowed) => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err("expected http:// or https:// and a host".to_owned()),
    }
}

fn blob_limit(text: &str) -> Result<BlobLimit, String> {
    let (repositories, size) =
        text.split_once('=').ok_or("expected REPOSITORIES=SIZE, as in `team/**=10GiB`")?;
    let repositories =
        repositories.parse().map_err(|error: port_server::gate::PatternError| error.to_string())?;
    Ok(BlobLimit { repositories, largest: size_in_bytes(size)? })
}

fn size_in_bytes(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("`{text}` is no size: expected a number, with KiB, MiB, GiB or TiB behind it or nothing");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..).unwrap_or("") {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        assert_eq!(blob_limit("team/**=10GiB").unwrap().largest, 10 << 30);
        assert_eq!(blob_limit("**=7").unwrap().largest, 7);
        for bad in ["", "a", "a=", "a=x", "a=1GB", "A=1", "a=-1", "a=99999999TiB"] {
            assert!(blob_limit(bad).is_err(), "{bad:?} was taken");
        }
        assert_eq!(public_url("https://registry.example.org/").unwrap(), "https://registry.example.org");
        for bad in ["registry.example.org", "https://", "https://a\"b", "ftp://a"] {
            assert!(public_url(bad).is_err(), "{bad:?} was taken");
        }
    }
}
