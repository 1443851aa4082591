//! Saying why a test does not run here.

use std::path::PathBuf;

/// Finds `program` on PATH, or says which package brings it and gives `None`.
///
/// With `PORT_TEST_REQUIRE=1`, as CI sets it, absence is a failure: there, nothing skips unnoticed.
pub fn tool(program: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(sbin).map(|d| d.join(program)).find(|p| p.is_file());
    if found.is_none() {
        because(&format!("`{program}` is not installed (Debian package `{package}`)"));
    }
    found
}

/// Says why a test skips; fails instead where CI requires everything.
pub fn because(reason: &str) {
    assert!(std::env::var_os("PORT_TEST_REQUIRE").is_none(), "must not skip here: {reason}");
    eprintln!("skipped: {reason}");
}
