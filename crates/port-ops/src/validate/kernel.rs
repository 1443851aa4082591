//! Is it a kernel for this architecture, whole, and what does it say of itself?

use port_kernel::{KernelFormat, elf, facts};
use port_model::{Architecture, ComponentFormat};

use super::Finding;
use crate::error::OpsError;
use crate::target::Target;

/// All checks of a kernel file.
pub(super) fn check(target: Target<'_>) -> Result<Vec<Finding>, OpsError> {
    let path = &target.config.path;
    let architecture = target.variant().architecture;
    let format = match architecture {
        Architecture::X86_64 => Finding::of(
            "format",
            elf::check(path, architecture).map(|elf| {
                let pvh = if elf.pvh_entry.is_some() { "with a PVH entry" } else { "without a PVH entry" };
                format!("ELF kernel for {} with {} segments, {pvh}", elf.architecture, elf.load_segments)
            }),
        ),
        Architecture::Aarch64 => aarch64(target)?,
    };
    let release = facts::scan(path).map(|findings| match findings.banner {
        Some(banner) => banner.text,
        None => "no `Linux version` banner in it".to_owned(),
    });
    Ok(vec![format, Finding::of("banner", release)])
}

fn aarch64(target: Target<'_>) -> Result<Finding, OpsError> {
    let expected = KernelFormat::stored(Architecture::Aarch64);
    Ok(match port_image::check::detect_format(&target.config.path)? {
        Some(found) if found == expected => Finding::passed("format", "arm64 boot image"),
        Some(ComponentFormat::Vmlinux) => Finding::of(
            "format",
            elf::check(&target.config.path, Architecture::Aarch64).map(|_| "ELF kernel".to_owned()),
        ),
        found => Finding::failed(
            "format",
            format!("{}, expected an arm64 boot image", found.map_or("no kernel", ComponentFormat::as_str)),
        ),
    })
}
