//! A package's network card: a tap device of the host and the address that the unikernel is told, or ports of this host that lead to it
//! (acceptance Ku-32).
//!
//! Nothing here makes devices, bridges or routes: the device is there, or the VMM says what it lacks. Invariant: what is written into the
//! boot arguments are numbers that were read as such.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::str::FromStr;

use port_content::hashing::digest_of;
use port_runtime::{NetworkCard, PublishedPort, Tap, TransportProtocol};
use port_workload::{PortMapping, Protocol};

/// Words that are no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// A network of another kind, or none.
    #[error("`{0}` is no network: expected `tap:DEVICE`, a tap device of this host")]
    Kind(String),
    /// An address that cannot be told.
    #[error("`{0}` is no address: expected `ADDRESS/PREFIX[:GATEWAY]`, such as `172.44.0.2/24:172.44.0.1`")]
    Address(String),
    /// The card's own address.
    #[error("`{0}` is no card's address: expected six pairs of hexadecimal digits, the first one even")]
    Mac(String),
}

/// A tap device, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapDevice(String);

impl FromStr for TapDevice {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        match text.strip_prefix("tap:") {
            Some(device) if !device.is_empty() => Ok(Self(device.to_owned())),
            _ => Err(NetworkError::Kind(text.to_owned())),
        }
    }
}

/// A card's address, for one machine: neither a group's nor everybody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mac(String);

impl FromStr for Mac {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let pair = |pair: &str| (pair.len() == 2).then(|| u8::from_str_radix(pair, 16).ok()).flatten();
        let pairs: Option<Vec<u8>> = text.split(':').map(pair).collect();
        match pairs.as_deref() {
            Some([first, _, _, _, _, _]) if first & 1 == 0 && !text.contains('+') => {
                Ok(Self(text.to_ascii_lowercase()))
            }
            _ => Err(NetworkError::Mac(text.to_owned())),
        }
    }
}

/// What a unikernel is told of its place in the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkAddress {
    address: Ipv4Addr,
    prefix: u8,
    gateway: Option<Ipv4Addr>,
}

impl FromStr for NetworkAddress {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let bad = || NetworkError::Address(text.to_owned());
        let (own, gateway) = match text.split_once(':') {
            Some((own, gateway)) => (own, Some(gateway.parse().map_err(|_| bad())?)),
            None => (text, None),
        };
        let (address, prefix) = own.split_once('/').ok_or_else(bad)?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        if prefix > 32 {
            return Err(bad());
        }
        Ok(Self { address: address.parse().map_err(|_| bad())?, prefix, gateway })
    }
}

/// A network card of a package's machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackageNetwork {
    /// Its other end is a device of the host.
    Tap(TapNetwork),
    /// It reaches nothing; these ports of the loopback address lead to it.
    Published(Vec<PortMapping>),
}

/// A card whose other end is a device of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapNetwork {
    /// Its other end.
    pub device: TapDevice,
    /// Its own address; `None` for one that is made of the device's name.
    pub mac: Option<Mac>,
    /// What the unikernel is told; `None` where it asks the network itself.
    pub address: Option<NetworkAddress>,
}

impl PackageNetwork {
    /// As a machine has it.
    pub(super) fn card(&self) -> NetworkCard {
        match self {
            Self::Tap(network) => NetworkCard::Tap(network.tap()),
            Self::Published(ports) => NetworkCard::Published(ports.iter().map(published).collect()),
        }
    }

    /// The unikernel's boot argument, as kraft writes it.
    pub(super) fn argument(&self) -> Option<String> {
        match self {
            Self::Tap(network) => network.argument(),
            Self::Published(_) => None,
        }
    }
}

fn published(port: &PortMapping) -> PublishedPort {
    let protocol = match port.protocol {
        Protocol::Tcp => TransportProtocol::Tcp,
        Protocol::Udp => TransportProtocol::Udp,
    };
    PublishedPort { protocol, host: port.host, guest: port.container }
}

impl TapNetwork {
    fn tap(&self) -> Tap {
        let device = self.device.0.clone();
        let mac = self.mac.as_ref().map_or_else(|| mac_of(&device), |mac| mac.0.clone());
        Tap { device, mac }
    }

    fn argument(&self) -> Option<String> {
        let NetworkAddress { address, prefix, gateway } = self.address.as_ref()?;
        let mut word = format!("netdev.ip={address}/{prefix}");
        if let Some(gateway) = gateway {
            let _ = write!(word, ":{gateway}");
        }
        Some(word)
    }
}

/// Administered here, not made by anybody; the same for one device at every run.
fn mac_of(device: &str) -> String {
    let digest = digest_of(device.as_bytes());
    let pairs: Vec<&str> =
        digest.hex().as_bytes().chunks(2).take(5).filter_map(|pair| std::str::from_utf8(pair).ok()).collect();
    format!("02:{}", pairs.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ku_32_a_network_is_said_in_words_that_are_checked() {
        for good in ["tap:vp0", "tap:a.b-c_d"] {
            assert!(good.parse::<TapDevice>().is_ok(), "{good}");
        }
        for bad in ["", "tap:", "bridge:virbr0", "vp0"] {
            let error = bad.parse::<TapDevice>().unwrap_err().to_string();
            assert!(error.contains("expected `tap:DEVICE`"), "{error}");
        }
        for good in ["02:00:00:00:00:01", "AA:bb:0c:dd:ee:ff"] {
            assert_eq!(good.parse::<Mac>().unwrap().0, good.to_ascii_lowercase());
        }
        for bad in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:00:00",
            "03:00:00:00:00:01",
            "2:0:0:0:0:1",
            "02:+1:00:00:00:01",
        ] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
        for bad in [
            "",
            "172.44.0.2",
            "172.44.0.2/33",
            "172.44.0.2/24:",
            "172.44.0/24",
            "::1/64",
            "1.2.3.4/24:1.2.3.4:x",
        ] {
            assert!(bad.parse::<NetworkAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ku_32_a_unikernel_is_told_its_address_as_kraft_tells_it() {
        let network = |address: Option<&str>, mac: Option<&str>| TapNetwork {
            device: "tap:vp0".parse().unwrap(),
            mac: mac.map(|mac| mac.parse().unwrap()),
            address: address.map(|address| address.parse().unwrap()),
        };
        let full = network(Some("172.44.0.2/24:172.44.0.1"), Some("02:00:00:00:00:01"));
        assert_eq!(full.argument().as_deref(), Some("netdev.ip=172.44.0.2/24:172.44.0.1"));
        assert_eq!(full.tap(), Tap { device: "vp0".into(), mac: "02:00:00:00:00:01".into() });
        assert_eq!(network(Some("10.0.0.2/8"), None).argument().as_deref(), Some("netdev.ip=10.0.0.2/8"));
        let plain = network(None, None);
        assert_eq!(plain.argument(), None);
        assert_eq!(plain.tap(), plain.tap());
        assert!(plain.tap().mac.parse::<Mac>().is_ok(), "{}", plain.tap().mac);
    }
}
