//! Directories of the host for a guest: one virtiofsd each, which the VMM talks to over a Unix socket.
//!
//! Both virtiofsds, QEMU's old one in C and the one in Rust, take these arguments.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::channel::start_server;
use crate::error::RuntimeError;
use crate::machine_spec::{Share, ShareWay};
use crate::process_group::ProcessGroup;
use crate::search_path::SearchPath;

/// The program.
pub(crate) const PROGRAM: &str = "virtiofsd";
/// Where distributions put it: it is no command of people's.
const HOMES: [&str; 3] = ["/usr/libexec", "/usr/lib/qemu", "/usr/lib"];

/// The socket of a share, beside another of the machine's.
pub(crate) fn socket(beside: &Path, tag: &str) -> PathBuf {
    beside.with_file_name(format!("fs-{tag}.sock"))
}

/// Whether a share comes this way.
pub(crate) fn serves(share: &Share) -> bool {
    share.way == ShareWay::Virtiofs
}

/// Finds the program, where a machine needs it.
pub(crate) fn find(shares: &[Share], search: &SearchPath) -> Result<Option<PathBuf>, RuntimeError> {
    if !shares.iter().any(serves) {
        return Ok(None);
    }
    let homes = SearchPath::new(HOMES.map(PathBuf::from));
    let found = search.find(PROGRAM).or_else(|| homes.find(PROGRAM));
    let purpose = "a machine with directories of the host (Debian package `virtiofsd`)";
    found.map(Some).ok_or(RuntimeError::VmmMissing { program: PROGRAM, purpose })
}

/// Starts one for each share and waits until the VMM can connect to them.
pub(crate) async fn start(
    group: &mut ProcessGroup,
    program: Option<&Path>,
    shares: &[Share],
    beside: &Path,
) -> Result<(), RuntimeError> {
    let Some(program) = program else { return Ok(()) };
    for share in shares.iter().filter(|share| serves(share)) {
        let socket = socket(beside, &share.tag);
        start_server(group, program, &arguments(share, &socket), &socket).await?;
    }
    Ok(())
}

fn arguments(share: &Share, socket: &Path) -> Vec<OsString> {
    let (mut listen, mut source) = (OsString::from("--socket-path="), OsString::from("source="));
    listen.push(socket);
    source.push(&share.path);
    vec![listen, "-o".into(), source]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_served_at_a_socket_beside_the_machines() {
        let share = Share { tag: "volume-0".into(), path: "/srv/a b".into(), way: ShareWay::Virtiofs };
        let socket = socket(Path::new("/tmp/port-x/agent.sock"), &share.tag);
        assert_eq!(socket, Path::new("/tmp/port-x/fs-volume-0.sock"));
        let words: Vec<OsString> = arguments(&share, &socket);
        assert_eq!(words, ["--socket-path=/tmp/port-x/fs-volume-0.sock", "-o", "source=/srv/a b"]);
        assert!(find(&[], &SearchPath::default()).unwrap().is_none());
    }
}
