//! Is it a kernel for this architecture, whole, and what does it say of itself?

use port_kernel::{KernelFormat, elf, facts};
use port_model::{Architecture, ComponentFormat, ProtectionMode};

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
    Ok(vec![format, banner(target)?].into_iter().chain(pvm_guest(target)?).collect())
}

/// An ELF file that is no kernel passes the format check; a kernel says its name, or where a PVH boot starts.
fn banner(target: Target<'_>) -> Result<Finding, OpsError> {
    let path = &target.config.path;
    let check = "banner";
    let found = match facts::scan(path) {
        Ok(findings) => findings.banner,
        Err(error) => return Ok(Finding::failed(check, super::with_causes(&error))),
    };
    if let Some(banner) = found {
        return Ok(Finding::passed(check, banner.text));
    }
    let pvh = elf::check(path, target.variant().architecture).is_ok_and(|elf| elf.pvh_entry.is_some());
    Ok(if pvh {
        Finding::passed(check, "none: a kernel that is not Linux, with a PVH entry")
    } else {
        Finding::failed(check, "neither a `Linux version` banner nor a PVH entry: this is no kernel")
    })
}

/// What the kernel's own configuration says of PVM (acceptance Pu-48), where the kernel carries one.
fn pvm_guest(target: Target<'_>) -> Result<Option<Finding>, OpsError> {
    if target.variant().protection_mode != ProtectionMode::Pvm {
        return Ok(None);
    }
    let check = "CONFIG_PVM_GUEST";
    Ok(Some(match facts::scan(&target.config.path).map(|findings| findings.config) {
        Ok(Some(config)) if config.is_built_in("PVM_GUEST") => Finding::passed(check, "y"),
        Ok(Some(_)) => Finding::failed(check, "not set: this kernel is no PVM guest"),
        Ok(None) => Finding::passed(check, "not known: the kernel carries no configuration"),
        Err(error) => Finding::failed(check, super::with_causes(&error)),
    }))
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
