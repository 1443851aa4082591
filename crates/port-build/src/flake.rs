//! PVM guest kernels out of a Nix flake (acceptance P-68, Pu-37). Says at once what is missing; never gives
//! another kernel in its place.

use std::path::{Path, PathBuf};

use port_config::source::PVM_FLAKE_ATTRIBUTE;
use port_content::fs;

use crate::command;
use crate::downloads::{self, Answer};
use crate::environment::Context;
use crate::error::BuildError;

/// Where a Nix kernel package has its kernel.
const KERNEL_FILES: &[&str] = &["vmlinux", "bzImage", "Image"];
const ALTERNATIVES: &str = "set PORT_PVM_BUILD_FLAKE_REF, or check out `pvm-builds` beside the project, \
                            or give the variant a `path` or `url` source with a PVM kernel";

/// Builds the kernel of `attribute` and keeps it.
pub(crate) async fn build(context: &Context<'_>, attribute: &str) -> Result<Answer, BuildError> {
    let Some(flake) = flake_reference(context) else {
        let sibling = context.environment.pvm_sibling.display();
        let message =
            format!("PORT_PVM_BUILD_FLAKE_REF is not set and `{sibling}` has no `flake.nix`: {ALTERNATIVES}");
        return Ok(Answer::Unreachable(message));
    };
    let Some(nix) = context.environment.find_program("nix") else {
        return Ok(Answer::Unreachable(format!(
            "`nix` is not on the PATH, so the flake `{flake}` cannot be built: install Nix, or give the variant a `path` or `url` source with a PVM kernel"
        )));
    };
    let installable = format!("{flake}#{}", chosen_attribute(context, attribute));
    context.reporter.note(format!("building {installable} with nix"));
    let arguments = [
        "--extra-experimental-features",
        "nix-command flakes",
        "build",
        "--no-link",
        "--print-out-paths",
        "--",
        &installable,
    ];
    let printed = command::run(&nix, &arguments, None).await?.into_stdout()?;
    let Some(kernel) = printed.lines().find_map(|line| kernel_in(Path::new(line.trim()))) else {
        let found = format!("{} in none of: {}", KERNEL_FILES.join(", "), printed.trim().replace('\n', ", "));
        return Err(BuildError::Command { command: format!("nix build {installable}"), found });
    };
    downloads::keep(context, &kernel, kernel.display().to_string(), None).map(Answer::Got)
}

/// The environment's attribute goes before the configured one, unless that was chosen in the file.
fn chosen_attribute<'a>(context: &Context<'a>, configured: &'a str) -> &'a str {
    match context.environment.pvm_attribute.as_deref() {
        Some(attribute) if configured == PVM_FLAKE_ATTRIBUTE => attribute,
        _ => configured,
    }
}

fn flake_reference(context: &Context<'_>) -> Option<String> {
    let environment = context.environment;
    if let Some(reference) = environment.pvm_flake_ref.as_ref().filter(|reference| !reference.is_empty()) {
        return Some(reference.clone());
    }
    // `path:` keeps Nix from taking a relative directory for the name of a registry entry.
    let sibling = &environment.pvm_sibling;
    (!sibling.as_os_str().is_empty() && fs::exists(&sibling.join("flake.nix")))
        .then(|| format!("path:{}", sibling.display()))
}

fn kernel_in(output: &Path) -> Option<PathBuf> {
    let is_file = |path: &PathBuf| fs::metadata(path).is_ok_and(|found| found.is_file());
    let places = KERNEL_FILES.iter().flat_map(|name| [output.join(name), output.join("dev").join(name)]);
    std::iter::once(output.to_owned()).chain(places).find(is_file)
}
