//! Links to the bridge that nspawn does not make: a machine's tap device, and a pair for namespaces that Port makes itself.
//!
//! Neither outlives what it connects: the kernel removes a tap device with the VMM that holds it, and a pair with the namespace of
//! its inner end.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::{BRIDGE, Connection, HOST, INSIDE, PREFIX, done, ip};
use crate::error::DriverError;

/// How often a tap device is looked for, and how long between: a VMM on a busy host takes seconds.
const TAP_ATTEMPTS: u32 = 500;
const TAP_INTERVAL: Duration = Duration::from_millis(20);

impl Connection {
    /// The workload's address with its prefix, and the host's, which leads on.
    pub(crate) fn address_and_gateway(&self) -> (String, String) {
        (format!("{}/{PREFIX}", self.address), HOST.to_string())
    }

    /// Connects the tap device that a VMM makes while it starts. One that does not come is named by `ip`.
    pub(crate) async fn attach_tap(&self, device: &str) -> Result<(), DriverError> {
        for _ in 0..TAP_ATTEMPTS {
            if ip("look for the machine's card", &["link", "show", "dev", device]).await.is_ok() {
                break;
            }
            tokio::time::sleep(TAP_INTERVAL).await;
        }
        ip("connect the machine", &["link", "set", "dev", device, "master", BRIDGE, "up"]).await
    }

    /// Makes a pair of links between the bridge and the network namespace of a process.
    pub(crate) async fn attach_process(&self, process: u32) -> Result<(), DriverError> {
        let outside = pair_name(self.address);
        let process = process.to_string();
        let arguments = ["link", "add", &outside, "type", "veth", "peer", "name", INSIDE, "netns", &process];
        ip("make the workload's link", &arguments).await?;
        ip("connect the workload's link", &["link", "set", "dev", &outside, "master", BRIDGE, "up"]).await?;
        let lo = ["-t", &process, "-n", "--", "ip", "link", "set", "lo", "up"];
        done("start the workload's loopback", "nsenter", &lo).await
    }
}

/// One address is one workload's, so this is one, too.
fn pair_name(address: Ipv4Addr) -> String {
    let [.., last] = address.octets();
    format!("ve-port{last}")
}
