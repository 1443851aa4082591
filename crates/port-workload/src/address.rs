//! `10.0.0.2/24`: an IP address with a prefix or without (acceptance V-36, Vu-15).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Serialize;

/// An address, and how much of it is the network's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Bits of the network, where they are said.
    pub prefix: Option<u8>,
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No IP address.
    #[error("expected an IP address as `10.0.0.2/24` or `fd00::2/64`, found `{0}`")]
    Form(String),
    /// More bits than the address has.
    #[error("expected a prefix from 0 to {most}, found `/{found}`")]
    Prefix {
        /// Bits of the address.
        most: u8,
        /// The prefix.
        found: String,
    },
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (ip, prefix) = match text.split_once('/') {
            Some((ip, prefix)) => (ip, Some(prefix)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| AddressError::Form(text.to_owned()))?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map(|found| {
            let digits = found.chars().all(|c| c.is_ascii_digit());
            let parsed = found.parse().ok().filter(|prefix| digits && *prefix <= most);
            parsed.ok_or_else(|| AddressError::Prefix { most, found: found.to_owned() })
        });
        Ok(Self { ip, prefix: prefix.transpose()? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip.fmt(f)?;
        self.prefix.map_or(Ok(()), |prefix| write!(f, "/{prefix}"))
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_36_vu_15_addresses() {
        for text in ["10.0.0.2", "10.0.0.2/24", "0.0.0.0/0", "fd00::2", "fd00::2/64", "::1/128"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for (text, part) in [
            ("", "an IP address"),
            ("10.0.0", "an IP address"),
            ("10.0.0.256", "an IP address"),
            ("10.0.0.2:80", "an IP address"),
            ("dhcp", "found `dhcp`"),
            ("10.0.0.2/33", "from 0 to 32"),
            ("10.0.0.2/", "found `/`"),
            ("10.0.0.2/+8", "found `/+8`"),
            ("fd00::2/129", "from 0 to 128"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
