//! Which way to the agent this host has, and the helper process where the way needs one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use port_content::fs;
use tokio::time::Instant;

use crate::error::RuntimeError;
use crate::host::{self, DeviceAccess};
use crate::machine_spec::{AgentChannel, ChannelKind};
use crate::process_group::ProcessGroup;
use crate::search_path::SearchPath;

const VHOST_VSOCK: &str = "/dev/vhost-vsock";
/// The helper that gives a Unix socket for a guest's vsock.
pub(crate) const HELPER: &str = "vhost-device-vsock";
/// The helper listens within a few milliseconds of its start.
const HELPER_TIME: Duration = Duration::from_secs(5);
/// How often a connection through the helper is tried: rarely, see [`Offers::choose`].
pub(crate) const HELPER_DIAL_INTERVAL: Duration = Duration::from_millis(100);
const HELPER_INTERVAL: Duration = Duration::from_millis(1);

/// What this host offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offers {
    pub(crate) kernel_vsock: DeviceAccess,
    pub(crate) helper: Option<PathBuf>,
}

impl Offers {
    pub(crate) fn look(search: &SearchPath) -> Self {
        Self { kernel_vsock: host::device_access(Path::new(VHOST_VSOCK)), helper: search.find(HELPER) }
    }

    /// The best way, or the one that is insisted on.
    pub(crate) fn choose(&self, agent: &AgentChannel) -> Result<ChannelKind, RuntimeError> {
        let wanted = match agent.only {
            Some(only) => only,
            None if self.kernel_vsock == DeviceAccess::Usable => ChannelKind::KernelVsock,
            // NOTE: the helper is never taken unasked. A connection that comes while the guest sets its driver up
            // can leave it stuck for good: on a busy host 8 of 19 boots with a try every 5 ms, 1 of 10 with a try
            // every 100 ms. A virtio-serial port has no such moment.
            None => ChannelKind::VirtioSerial,
        };
        let reason = match (wanted, self.kernel_vsock) {
            (ChannelKind::KernelVsock, DeviceAccess::Missing) => format!("{VHOST_VSOCK} is missing"),
            (ChannelKind::KernelVsock, DeviceAccess::Denied) => {
                format!("this user may not open {VHOST_VSOCK}")
            }
            (ChannelKind::VmmVsock, _) => "QEMU has no such socket".to_owned(),
            (ChannelKind::HelperVsock, _) if self.helper.is_none() => format!("`{HELPER}` was not found"),
            _ => return Ok(wanted),
        };
        Err(RuntimeError::ChannelUnavailable { channel: wanted, reason })
    }
}

/// Starts the helper and waits until the VMM can connect to it.
pub(crate) async fn start_helper(
    group: &mut ProcessGroup,
    program: &Path,
    cid: u32,
    vmm_socket: &Path,
    agent_socket: &Path,
) -> Result<(), RuntimeError> {
    let mut arguments: Vec<OsString> = vec!["--guest-cid".into(), cid.to_string().into(), "--socket".into()];
    arguments.extend([vmm_socket.into(), "--uds-path".into(), agent_socket.into()]);
    start_server(group, program, &arguments, vmm_socket).await
}

/// Starts a program that the VMM connects to, and waits until its socket is there.
pub(crate) async fn start_server(
    group: &mut ProcessGroup,
    program: &Path,
    arguments: &[OsString],
    socket: &Path,
) -> Result<(), RuntimeError> {
    let mut helper = group.spawn(program, arguments)?;
    // Its messages are of no use after the start, and a full pipe must not stop it.
    if let Some(mut stderr) = helper.stderr.take() {
        tokio::spawn(async move { tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await });
    }
    let end = Instant::now() + HELPER_TIME;
    while !fs::exists(socket) {
        if let Ok(Some(status)) = helper.try_wait() {
            let problem = format!("expected it to serve a guest, it ended with {status}");
            return Err(unusable(program, problem));
        }
        if Instant::now() > end {
            let problem = format!("expected its socket within {} s, found none", HELPER_TIME.as_secs());
            return Err(unusable(program, problem));
        }
        tokio::time::sleep(HELPER_INTERVAL).await;
    }
    group.keep(helper);
    Ok(())
}

fn unusable(program: &Path, problem: String) -> RuntimeError {
    RuntimeError::Unusable { program: program.to_owned(), problem, messages: crate::error::Tail::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_way_is_taken_and_one_that_is_missing_is_never_replaced() {
        let offers =
            |kernel_vsock, helper: Option<&str>| Offers { kernel_vsock, helper: helper.map(Into::into) };
        let any = AgentChannel::default();
        let only = |kind| AgentChannel { only: Some(kind), ..any };
        let chosen = |offers: Offers, agent| offers.choose(&agent).map_err(|error| error.to_string());
        let (usable, missing) = (DeviceAccess::Usable, DeviceAccess::Missing);
        assert_eq!(chosen(offers(usable, Some("/h")), any), Ok(ChannelKind::KernelVsock));
        assert_eq!(chosen(offers(missing, Some("/h")), any), Ok(ChannelKind::VirtioSerial));
        assert_eq!(
            chosen(offers(missing, Some("/h")), only(ChannelKind::HelperVsock)),
            Ok(ChannelKind::HelperVsock)
        );
        assert_eq!(chosen(offers(DeviceAccess::Denied, None), any), Ok(ChannelKind::VirtioSerial));
        assert_eq!(
            chosen(offers(missing, Some("/h")), only(ChannelKind::KernelVsock)),
            Err("the agent cannot be reached over vsock (/dev/vhost-vsock): /dev/vhost-vsock is missing"
                .into())
        );
        assert_eq!(
            chosen(offers(usable, None), only(ChannelKind::HelperVsock)),
            Err("the agent cannot be reached over vsock (vhost-device-vsock): `vhost-device-vsock` was not found".into())
        );
    }
}
