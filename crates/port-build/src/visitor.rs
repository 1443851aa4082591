//! An initrd for a root that knows nothing of Port: it mounts the root as every initrd of Port does, and brings the guest agent
//! along in memory, so that commands run in the root and no byte of it is changed.
//!
//! ```text
//! /init     initrd-init, initrd-visit ─► root mounted, /visit copied to its /run/port ─► /run/port/init: the agent
//! /visit    busybox, init, agent, and in lib the agent's libraries where it needs any
//! ```
//!
//! Invariant: nothing is asked of the root but a directory for each of `/dev`, `/proc`, `/sys`, `/run` and `/tmp`.

use std::path::Path;

use port_config::{ImageFormat, Recipe};
use port_content::atomic::AtomicFile;
use port_content::fs;
use port_image::{Attributes, ImageError, Tree};
use port_kernel::{Feature, facts};
use port_model::Architecture;

use crate::environment::Context;
use crate::error::BuildError;
use crate::modules::{self, Extras, ModuleSource, Selection};
use crate::programs::{self, Found, Library};
use crate::{busybox, initrd};

/// The script that finds the root and goes there.
const INIT: &str = concat!(include_str!("../guest/initrd-init"), include_str!("../guest/initrd-visit"));
/// The first program there.
const VISIT_INIT: &str = include_str!("../guest/visit-init");
/// What machines share directories of their host with, by the virtio device number as sysfs writes it.
const SHARES: &[(&str, Feature)] = &[("0x0009", Feature::NineP), ("0x001a", Feature::VirtioFs)];
/// What the script needs besides.
const COPY: &str = "/bin/cp";

/// A kernel and a root that somebody else made.
#[derive(Debug, Clone, Copy)]
pub struct VisitedRoot<'a> {
    /// The kernel.
    pub kernel: &'a Path,
    /// The root file system.
    pub rootfs: &'a Path,
    /// What the root is.
    pub format: ImageFormat,
    /// What both run on.
    pub architecture: Architecture,
    /// A directory with directories of modules by release, for a kernel that the root has none for.
    pub modules: Option<&'a Path>,
    /// Modules that are loaded besides those that the machine needs; each must be there.
    pub named: &'a [String],
}

/// Writes the initrd for a root, uncompressed: it is read once.
///
/// # Errors
/// [`BuildError`] where agent or BusyBox are not there, or the kernel cannot mount the root.
pub async fn visitor_initrd(
    context: &Context<'_>,
    root: &VisitedRoot<'_>,
    output: &Path,
) -> Result<(), BuildError> {
    let recipe = recipe(root.format);
    let agent = programs::agent(context, &recipe, root.architecture)?;
    let libraries = programs::libraries(context, &agent)?;
    let found = busybox::find(context, &recipe, root.architecture, None).await?;
    let busybox = found.read(context, root.architecture).await?;
    let modules = modules(context, root)?;
    let mut tree = initrd::tree_with(INIT, &busybox, root.format, &modules)?;
    tree.add_symlink(COPY, "busybox")?;
    add_visitor(&mut tree, &busybox, &agent, &libraries)?;
    let mut file = AtomicFile::create(output)?;
    port_image::cpio::write(&tree, &mut file)?;
    file.commit()?;
    Ok(())
}

/// Agent and BusyBox are the environment's.
fn recipe(format: ImageFormat) -> Recipe {
    Recipe {
        format,
        size_mib: None,
        label: None,
        kernel: None,
        agent: None,
        busybox: None,
        directory: None,
        hostname: None,
    }
}

fn add_visitor(
    tree: &mut Tree,
    busybox: &[u8],
    agent: &Found,
    libraries: &[Library],
) -> Result<(), BuildError> {
    let mut add = |path: String, bytes: Vec<u8>| -> Result<(), ImageError> {
        tree.add_file(path, bytes, Attributes::new(0o755))
    };
    add("/visit/busybox".to_owned(), busybox.to_vec())?;
    add("/visit/init".to_owned(), VISIT_INIT.as_bytes().to_vec())?;
    add("/visit/agent".to_owned(), agent.read()?)?;
    for library in libraries {
        let is_loader = agent.program.interpreter.as_ref() == Some(&library.place);
        let name = library.place.rsplit('/').next().unwrap_or_default();
        let name = if is_loader { "loader" } else { name };
        add(format!("/visit/lib/{name}"), library.found.read()?)?;
    }
    Ok(())
}

/// The modules that the kernel lacks built in: those that the root has for it. A kernel that says nothing of itself, with a root
/// that has none, is taken at its word.
fn modules(context: &Context<'_>, root: &VisitedRoot<'_>) -> Result<Selection, BuildError> {
    let name = root.kernel.display().to_string();
    let findings = facts::scan(root.kernel)?;
    let release = findings.banner.map(|banner| banner.release);
    let extras = Extras { devices: SHARES, named: root.named };
    let known = release.as_deref().unwrap_or("of unknown release");
    let wants_more = !root.named.is_empty();
    if !wants_more
        && findings.config.as_ref().is_some_and(|config| modules::is_built_in(known, config, root.format))
    {
        return Ok(Selection::default());
    }
    if let Some(release) = &release
        && let Some(source) = ModuleSource::image(root.rootfs, root.format, release)?
    {
        return source.select_with(&name, root.format, extras);
    }
    let beside = release.as_ref().and_then(|release| Some((root.modules?.join(release), release)));
    if let Some((directory, release)) = beside.filter(|(path, _)| fs::exists(&path.join("modules.dep"))) {
        return ModuleSource::directory(&directory, Some(release))?.select_with(&name, root.format, extras);
    }
    if wants_more {
        let missing = root.named.iter().map(|module| format!("`{module}`")).collect();
        return Err(BuildError::NoModule { kernel: name, missing });
    }
    match &findings.config {
        Some(config) => modules::check_built_in(&name, known, config, root.format)?,
        None => context.reporter.note(format!(
            "`{name}` does not say what is built in, and the root has no modules for it; it has to bring its disk's driver itself"
        )),
    }
    Ok(Selection::default())
}
