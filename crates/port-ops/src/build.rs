//! build: sources and recipes → local path, recorded in `port.lock`.
//!
//! A guest image whose recipe names a kernel is built against that kernel, which is built first: the modules
//! in the initrd must fit it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use port_build::{Built, Context, KernelInput, LockMode};
use port_config::Lock;
use port_model::{ArtifactClass, Digest, KernelFacts, ProtectionMode, Reference, Variant};
use serde::Serialize;

use crate::error::OpsError;
use crate::target::Target;
use crate::workspace::Workspace;
use crate::{lock_file, pvm};

/// How to build.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Take this source alone: its kind or its number, from 1.
    pub source: Option<String>,
    /// What may happen to `port.lock`.
    pub lock_mode: LockMode,
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildReport {
    /// The artifact's name.
    pub artifact: String,
    /// Its class.
    pub class: ArtifactClass,
    /// Its logical name.
    pub reference: Reference,
    /// Which variant.
    pub variant: Variant,
    /// The local path of the main file.
    pub path: PathBuf,
    /// Whether anything was done; false: it was up to date.
    pub fresh: bool,
    /// Where it came from.
    pub provenance: String,
    /// The kernel's facts, or those of the kernel that the initrd's modules fit.
    pub kernel: Option<KernelFacts>,
    /// The files, the main one first.
    pub outputs: Vec<OutputReport>,
}

/// One file that was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutputReport {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its digest.
    pub digest: Digest,
}

/// Builds one variant.
pub async fn build(
    workspace: &Workspace,
    target: Target<'_>,
    options: &BuildOptions,
) -> Result<BuildReport, OpsError> {
    target.check_native(workspace, "build")?;
    let built = match target.artifact.class {
        ArtifactClass::Kernel => build_kernel(workspace, target, options).await?,
        ArtifactClass::GuestImage => build_guest_image(workspace, target, options).await?,
    };
    Ok(report(target, built))
}

async fn build_kernel(
    workspace: &Workspace,
    target: Target<'_>,
    options: &BuildOptions,
) -> Result<Built, OpsError> {
    let lock = workspace.lock()?;
    let built = with_context(workspace, &lock, target, options, async |context| {
        Ok(port_build::kernel(context, target.artifact, target.config).await?)
    })
    .await?;
    if let Some(main) = built.entry.outputs.first() {
        pvm::refuse_standard(workspace, target, &main.digest)?;
    }
    record(workspace, target, &built)?;
    Ok(built)
}

async fn build_guest_image(
    workspace: &Workspace,
    target: Target<'_>,
    options: &BuildOptions,
) -> Result<Built, OpsError> {
    let kernel = match target.config.recipe.as_ref().and_then(|recipe| recipe.kernel.as_deref()) {
        Some(name) => Some(build_kernel_of(workspace, target, name, options).await?),
        None => None,
    };
    let input = kernel.as_ref().map(|(kernel, built)| KernelInput {
        artifact: &kernel.artifact.name,
        config: kernel.config,
        entry: &built.entry,
    });
    let lock = workspace.lock()?;
    let built = with_context(workspace, &lock, target, options, async |context| {
        Ok(port_build::guest_image(context, target.artifact, target.config, input.as_ref()).await?)
    })
    .await?;
    record(workspace, target, &built)?;
    Ok(built)
}

/// Builds the kernel that a guest image's modules must fit.
async fn build_kernel_of<'a>(
    workspace: &'a Workspace,
    target: Target<'_>,
    name: &str,
    options: &BuildOptions,
) -> Result<(Target<'a>, Built), OpsError> {
    let kernel = Target::exact(workspace, name, target.variant())?;
    let options = BuildOptions { source: None, lock_mode: options.lock_mode };
    let built = build_kernel(workspace, kernel, &options).await?;
    if built.fresh {
        workspace.note(format!("built `{name}`, the kernel that `{}` needs", target.artifact.name));
    }
    Ok((kernel, built))
}

/// Makes the builder's context from the workspace, for one call.
async fn with_context<T>(
    workspace: &Workspace,
    lock: &Lock,
    target: Target<'_>,
    options: &BuildOptions,
    work: impl AsyncFnOnce(&Context<'_>) -> Result<T, OpsError>,
) -> Result<T, OpsError> {
    let is_pvm = target.variant().protection_mode == ProtectionMode::Pvm;
    let standard = if is_pvm { pvm::standard_digests(workspace)? } else { BTreeSet::new() };
    in_context(workspace, lock, &standard, options, work).await
}

/// The same for what is built of no artifact, and recorded nowhere.
pub(crate) async fn without_target<T>(
    workspace: &Workspace,
    work: impl AsyncFnOnce(&Context<'_>) -> Result<T, OpsError>,
) -> Result<T, OpsError> {
    let options = BuildOptions { source: None, lock_mode: LockMode::Normal };
    in_context(workspace, &Lock::default(), &BTreeSet::new(), &options, work).await
}

async fn in_context<T>(
    workspace: &Workspace,
    lock: &Lock,
    standard: &BTreeSet<Digest>,
    options: &BuildOptions,
    work: impl AsyncFnOnce(&Context<'_>) -> Result<T, OpsError>,
) -> Result<T, OpsError> {
    let environment = build_environment(workspace);
    let downloads = workspace.work_directory().join("downloads");
    let digest_of = |path: &Path| match workspace.store.digest_of_file(path) {
        Err(port_store::StoreError::Files { source, .. } | port_store::StoreError::Outside(source)) => {
            Err(source)
        }
        Ok(digest) => Ok(digest),
        Err(_) => port_content::hashing::digest_file(path),
    };
    let context = Context {
        sources: &workspace.project.sources,
        downloads: &downloads,
        host: workspace.host,
        environment: &environment,
        client: &workspace.client,
        reporter: workspace.reporter.as_ref(),
        lock,
        lock_mode: options.lock_mode,
        standard,
        source: options.source.as_deref(),
        digest_of: &digest_of,
    };
    work(&context).await
}

fn build_environment(workspace: &Workspace) -> port_build::Environment {
    let environment = &workspace.environment;
    port_build::Environment {
        agent: environment.agent.clone(),
        busybox: environment.busybox.clone(),
        pvm_flake_ref: environment.pvm_flake_ref.clone(),
        pvm_sibling: PathBuf::from("../pvm-builds"),
        pvm_attribute: environment.pvm_attribute.clone(),
        path: environment.path.clone(),
    }
}

/// Checks that the outputs lie where they belong, and puts the entry into `port.lock`.
fn record(workspace: &Workspace, target: Target<'_>, built: &Built) -> Result<(), OpsError> {
    if built.fresh {
        for output in &built.entry.outputs {
            // Hashed anew: what is recorded is what lies there. The digest is remembered for the next verb.
            let path = target.config.path.with_file_name(output.file.as_str());
            let found = workspace.store.digest_of_file(&path)?.0;
            if found != output.digest {
                return Err(OpsError::ChangedMeanwhile { path, expected: output.digest.clone(), found });
            }
        }
    }
    port_content::atomic::sweep_beside(&target.config.path)?;
    let path = lock_file::path(&workspace.project_path);
    let guard = workspace.work_directory().join("port.lock.guard");
    lock_file::set(&path, &guard, built.entry.clone())
}

fn report(target: Target<'_>, built: Built) -> BuildReport {
    let outputs = built.entry.outputs.iter().map(|output| OutputReport {
        path: target.config.path.with_file_name(output.file.as_str()),
        bytes: output.size,
        digest: output.digest.clone(),
    });
    BuildReport {
        artifact: target.artifact.name.clone(),
        class: target.artifact.class,
        reference: target.artifact.reference.clone(),
        variant: target.variant(),
        path: target.config.path.clone(),
        fresh: built.fresh,
        provenance: port_build::provenance(&built.entry),
        outputs: outputs.collect(),
        kernel: built.entry.kernel,
    }
}
