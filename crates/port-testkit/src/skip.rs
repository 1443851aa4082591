//! Saying why a test does not run here.

use std::io::Write as _;
use std::path::PathBuf;

/// Finds `program` on PATH, or says which package brings it and gives `None`.
pub fn tool(program: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(sbin).map(|d| d.join(program)).find(|p| p.is_file());
    if found.is_none() {
        because(&format!("`{program}` is not installed (Debian package `{package}`)"));
    }
    found
}

/// Says why a test skips, past the test runner, which keeps back what a passing test prints.
pub fn because(reason: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    // Nothing is lost where standard error is closed.
    let _ = writeln!(std::io::stderr(), "skipped: {name}: {reason}");
}
