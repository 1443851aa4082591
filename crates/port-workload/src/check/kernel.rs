//! `[kernel]`: whose it is (acceptance V-19 … V-23, Vu-20, C-42). Only `hybrid-kvm` boots a kernel of its own.

use port_model::Cmdline;

use crate::manifest::Manifest;
use crate::problem::Problems;
use crate::words::Mode;

pub(super) fn check(manifest: &Manifest, mode: Option<Mode>, problems: &mut Problems) {
    let kernel = &manifest.kernel;
    if super::is_one_of(mode, &[Mode::Container, Mode::HybridEmulated]) {
        if !kernel.is_empty() {
            let message =
                format!("a workload of mode `{}` boots no kernel: this is ignored", manifest.workload.mode);
            problems.warning("kernel", message, "remove the section, or choose the mode `hybrid-kvm`");
        }
        // What is ignored is not checked either (acceptance V-23).
        return;
    }
    if super::is_one_of(mode, &[Mode::HybridKvm]) {
        match (&kernel.path, &kernel.version) {
            (None, None) => problems.error_with_hint(
                "kernel",
                "a workload of mode `hybrid-kvm` needs a kernel: neither `path` nor `version` is there",
                "there is no default: a machine boots exactly the kernel that its manifest names",
            ),
            (Some(_), Some(_)) => problems.warning(
                "kernel.version",
                "the kernel at `path` is taken: this is ignored",
                "name the kernel by one of both",
            ),
            _ => {}
        }
    }
    super::plain("kernel.version", kernel.version.as_ref(), problems);
    super::plain("kernel.path", kernel.path.as_ref(), problems);
    super::items("kernel.modules", kernel.modules.as_ref(), module, problems);
    if let Some(cmdline) = &kernel.cmdline {
        problems.take("kernel.cmdline", Cmdline::parse(cmdline));
    }
}

/// A module's name: never a path, since it becomes one.
fn module(name: &str) -> Result<(), String> {
    let of_rule = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match !name.is_empty() && name.chars().all(of_rule) {
        true => Ok(()),
        false => Err(format!("expected a module's name of letters, digits, `_` and `-`, found `{name}`")),
    }
}
