//! `[network]`: a mode, addresses, and ports that do not collide (acceptance V-35 … V-38, Vu-15, Vu-16).

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::address::Address;
use crate::manifest::Network;
use crate::port_mapping::PortMapping;
use crate::problem::Problems;
use crate::words::NetworkMode;

pub(super) fn check(network: &Network, problems: &mut Problems) {
    let mode: Option<NetworkMode> = super::word("network.mode", network.mode.as_ref(), problems);
    if let Some(address) = &network.address {
        problems.take("network.address", address.parse::<Address>());
    }
    let name_server = |text: &str| {
        let wrong = || format!("expected the IP address of a name server, found `{text}`");
        text.parse::<IpAddr>().map_err(|_| wrong())
    };
    super::items("network.dns", network.dns.as_ref(), name_server, problems);
    let ports = super::items("network.ports", network.ports.as_ref(), str::parse::<PortMapping>, problems);
    twice(&ports, problems);
    unused(network, mode, problems);
}

/// A host's port leads to one place.
fn twice(ports: &[(String, PortMapping)], problems: &mut Problems) {
    let mut taken = BTreeMap::new();
    for (key, port) in ports {
        let PortMapping { host, protocol, .. } = *port;
        if let Some(earlier) = taken.get(&(host, protocol)) {
            problems.error(key, format!("the host's port {host}/{protocol} is taken already by `{earlier}`"));
        } else {
            taken.insert((host, protocol), key);
        }
    }
}

/// What a mode leaves without meaning.
fn unused(network: &Network, mode: Option<NetworkMode>, problems: &mut Problems) {
    let publishes = network.ports.as_ref().is_some_and(|ports| !ports.is_empty());
    match mode {
        Some(NetworkMode::None) if publishes => problems.error_with_hint(
            "network.ports",
            "a workload without a network cannot publish ports",
            "remove the ports, or choose the mode `bridge`",
        ),
        Some(NetworkMode::Host) if publishes => problems.warning(
            "network.ports",
            "a workload on the host's network has the host's ports: this is ignored",
            "remove the ports, or choose the mode `bridge`",
        ),
        _ => {}
    }
    if let Some(mode @ (NetworkMode::None | NetworkMode::Host)) = mode
        && network.address.is_some()
    {
        let message = format!("a workload of network mode `{mode}` gets no address: this is ignored");
        problems.warning("network.address", message, "remove it, or choose the mode `bridge`");
    }
}
