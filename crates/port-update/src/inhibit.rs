//! Inhibitors: while a file lies in a directory, nothing begins. What is in it says why.

use std::path::Path;

use port_content::fs::{self, FsError};

/// The longest reason that is shown, in bytes.
const LONGEST: u64 = 4096;

/// Who holds updates up, by the first file there; an absent directory holds nothing up.
///
/// # Errors
/// The disk's: a directory that cannot be read may hold one.
pub fn inhibitor(directory: &Path) -> Result<Option<String>, FsError> {
    let files = match fs::read_dir(directory) {
        Err(error) if error.is_not_found() => return Ok(None),
        other => other?,
    };
    let Some(first) = files.first() else { return Ok(None) };
    let name = first.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let reason = fs::read_to_string(first, LONGEST).unwrap_or_default();
    let reason: String =
        reason.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    Ok(Some(if reason.is_empty() { name } else { format!("{name}: {reason}") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_updates_up_and_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let inhibit = directory.path().join("inhibit");
        assert_eq!(inhibitor(&inhibit).unwrap(), None);
        port_content::atomic::write(&inhibit.join("backup"), b"the nightly backup\nmore").unwrap();
        assert_eq!(inhibitor(&inhibit).unwrap().as_deref(), Some("backup: the nightly backup"));
    }
}
