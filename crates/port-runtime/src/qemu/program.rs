//! Which QEMU there is for an architecture, and what identifies it without starting it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use port_content::fs;
use port_model::Architecture;

use crate::error::RuntimeError;
use crate::search_path::SearchPath;

/// The program that emulates an architecture.
pub fn program_name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "qemu-system-x86_64",
        Architecture::Aarch64 => "qemu-system-aarch64",
    }
}

/// The Debian package that has it.
pub fn debian_package(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "qemu-system-x86",
        Architecture::Aarch64 => "qemu-system-arm",
    }
}

/// Finds the QEMU for `architecture`.
///
/// # Errors
/// [`RuntimeError::QemuMissing`], with the package that has it.
pub fn find(architecture: Architecture, search: &SearchPath) -> Result<PathBuf, RuntimeError> {
    let program = program_name(architecture);
    let package = debian_package(architecture);
    search.find(program).ok_or(RuntimeError::QemuMissing { program, architecture, package })
}

/// What changes whenever the program does: asking it for its version would cost some 50 ms of every boot.
pub(crate) fn identity(program: &Path) -> Result<String, RuntimeError> {
    let metadata = fs::metadata(program)?;
    let (size, seconds, nanoseconds) = (metadata.size(), metadata.mtime(), metadata.mtime_nsec());
    Ok(format!("{} {size} bytes, modified {seconds}.{nanoseconds:09}", program.display()))
}
