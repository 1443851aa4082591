//! What a VMM is started through: programs that put it into control groups or take rights from it, and then become it.
//!
//! Helpers are not started through it: they have other needs than the VMM.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A word that stands for the machine's run directory, which has no name before the machine is started.
pub const RUN_DIRECTORY: &str = "{run-directory}";

/// Programs with their arguments, each of which becomes what stands behind it; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement(Vec<OsString>);

impl Confinement {
    /// These words, in front of the VMM's.
    pub fn new(words: impl IntoIterator<Item = OsString>) -> Self {
        Self(words.into_iter().collect())
    }

    /// The program to start, and its arguments.
    pub(crate) fn around(
        &self,
        run_directory: &Path,
        program: &Path,
        arguments: Vec<OsString>,
    ) -> (PathBuf, Vec<OsString>) {
        let named = |word: &OsString| {
            if word == RUN_DIRECTORY { run_directory.as_os_str().to_owned() } else { word.clone() }
        };
        let mut words = self.0.iter().map(named).chain([program.as_os_str().to_owned()]).chain(arguments);
        let first = words.next().unwrap_or_default();
        (first.into(), words.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vmm_is_the_last_program_and_the_run_directory_is_named() {
        let (directory, qemu) = (Path::new("/tmp/port-x"), Path::new("/bin/qemu"));
        let words = |confinement: &Confinement| confinement.around(directory, qemu, vec!["-M".into()]);
        assert_eq!(words(&Confinement::default()), ("/bin/qemu".into(), vec!["-M".into()]));
        let confined = Confinement::new(["/bin/x", "--write", RUN_DIRECTORY, "--"].map(Into::into));
        let expected = ["--write", "/tmp/port-x", "--", "/bin/qemu", "-M"].map(OsString::from).to_vec();
        assert_eq!(words(&confined), ("/bin/x".into(), expected));
    }
}
