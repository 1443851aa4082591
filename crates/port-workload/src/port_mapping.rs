//! `8080:80/tcp`: a published port (acceptance V-38, Vu-16).

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use port_model::UnknownWord;
use serde::Serialize;

use crate::words::Protocol;

/// A port of the host that leads to one of the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PortMapping {
    /// On the host.
    pub host: NonZeroU16,
    /// In the workload.
    pub container: NonZeroU16,
    /// By which protocol.
    pub protocol: Protocol,
}

/// A text that publishes no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortMappingError {
    /// Not one number, and not two.
    #[error("expected `host:container` or `host:container/protocol`, found `{0}`")]
    Form(String),
    /// A number that is no port.
    #[error("expected ports from 1 to 65535, found `{found}` in `{text}`")]
    Number {
        /// The number.
        found: String,
        /// All of it.
        text: String,
    },
    /// Neither TCP nor UDP.
    #[error("{0}")]
    Protocol(UnknownWord),
}

impl FromStr for PortMapping {
    type Err = PortMappingError;

    fn from_str(text: &str) -> Result<Self, PortMappingError> {
        let (ports, protocol) = match text.split_once('/') {
            Some((ports, protocol)) => (ports, protocol.parse().map_err(PortMappingError::Protocol)?),
            None => (text, Protocol::Tcp),
        };
        let (host, container) = ports.split_once(':').unwrap_or((ports, ports));
        let port = |digits: &str| {
            if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
                return Err(PortMappingError::Form(text.to_owned()));
            }
            let wrong = || PortMappingError::Number { found: digits.to_owned(), text: text.to_owned() };
            digits.parse().map_err(|_| wrong())
        };
        Ok(Self { host: port(host)?, container: port(container)?, protocol })
    }
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.host, self.container, self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_38_vu_16_published_ports() {
        for (text, shown) in [
            ("8080:80", "8080:80/tcp"),
            ("8080:80/tcp", "8080:80/tcp"),
            ("53:53/udp", "53:53/udp"),
            ("80", "80:80/tcp"),
            ("80/udp", "80:80/udp"),
            ("1:65535", "1:65535/tcp"),
        ] {
            assert_eq!(text.parse::<PortMapping>().unwrap().to_string(), shown, "{text}");
        }
        for (text, part) in [
            ("", "`host:container`"),
            ("a:80", "`host:container`"),
            ("80:", "`host:container`"),
            ("127.0.0.1:8080:80", "`host:container`"),
            ("+80:80", "`host:container`"),
            ("0:80", "from 1 to 65535"),
            ("80:65536", "found `65536`"),
            ("80:80/TCP", "`TCP` is not a protocol"),
            ("80:80/sctp", "tcp, udp"),
        ] {
            let error = text.parse::<PortMapping>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
