//! Where a forward leads: `host:port` or `unix:<path>`. Not a resolver: what the host part may be is up to the
//! side that connects.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One end of a forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Endpoint {
    /// `host:port`, with brackets around an IPv6 address.
    Tcp {
        /// A name or an address, without brackets; never empty.
        host: String,
        /// The port; 0 only makes sense where something listens.
        port: u16,
    },
    /// `unix:<path>`.
    Unix {
        /// The socket's path; never empty.
        path: String,
    },
}

/// Text that is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("endpoint `{found}`: expected {expected}")]
pub struct EndpointError {
    found: String,
    expected: &'static str,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let refuse = |expected| Err(EndpointError { found: text.to_owned(), expected });
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() || path.contains('\0') {
                return refuse("a path after `unix:`");
            }
            return Ok(Self::Unix { path: path.to_owned() });
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return refuse("`host:port` or `unix:<path>`");
        };
        let Some(port) = parse_port(port) else {
            return refuse("a port from 0 to 65535 after the last `:`");
        };
        let host = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
            Some(_) => return refuse("an IPv6 address between the brackets"),
            None if host.contains(':') => return refuse("brackets around an IPv6 address"),
            None => host,
        };
        if host.is_empty()
            || host.contains(|c: char| c.is_whitespace() || c.is_control() || "/[]".contains(c))
        {
            return refuse("a host name or an address before the `:`");
        }
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

/// Digits only: `u16::from_str` would also take a plus sign.
fn parse_port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(formatter, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(formatter, "{host}:{port}"),
            Self::Unix { path } => write!(formatter, "unix:{path}"),
        }
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pu_45_endpoints_are_host_and_port_or_a_unix_path() {
        let tcp = |host: &str, port| Endpoint::Tcp { host: host.into(), port };
        for (text, endpoint) in [
            ("127.0.0.1:80", tcp("127.0.0.1", 80)),
            ("localhost:0", tcp("localhost", 0)),
            ("[::1]:65535", tcp("::1", 65535)),
            ("unix:/run/x.sock", Endpoint::Unix { path: "/run/x.sock".into() }),
            ("unix:a:1", Endpoint::Unix { path: "a:1".into() }),
        ] {
            assert_eq!(text.parse::<Endpoint>().as_ref(), Ok(&endpoint));
            assert_eq!(endpoint.to_string(), text);
        }
    }

    #[test]
    fn everything_else_is_refused_with_what_was_expected() {
        for (text, expected) in [
            ("", "`host:port` or `unix:<path>`"),
            ("localhost", "`host:port` or `unix:<path>`"),
            ("localhost:", "a port"),
            ("localhost:65536", "a port"),
            ("localhost:+1", "a port"),
            (":80", "a host name"),
            ("a b:80", "a host name"),
            ("::1:80", "brackets"),
            ("[x]:80", "an IPv6 address"),
            ("unix:", "a path"),
        ] {
            let message = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(message.contains(expected), "{text:?}: {message}");
        }
    }
}
