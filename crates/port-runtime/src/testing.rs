//! What this crate's tests share: a QEMU that does what a test says.

use std::path::Path;

use port_content::{atomic, fs};

use crate::host;
use crate::qemu::program::program_name;
use crate::search_path::SearchPath;

/// A search path with a QEMU of this host's architecture that runs `behaviour`, a shell script.
pub(crate) fn fake_qemu(directory: &Path, behaviour: &str) -> SearchPath {
    atomic::write(&directory.join("behaviour"), behaviour.as_bytes()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake/qemu.sh");
    fs::symlink(&script, &directory.join(program_name(host::ARCHITECTURE))).unwrap();
    SearchPath::new([directory.to_owned(), "/usr/bin".into(), "/bin".into()])
}
