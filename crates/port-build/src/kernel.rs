//! Kernels: from the first source that can be reached to the file that every substrate loads.
//!
//! ```text
//! lock ── up to date? ──► nothing to do
//!   └─ pinned source ─┐
//! sources, in order ──┴─► bytes with the right digest ─► vmlinux or Image ─► checks ─► the variant's path
//! ```
//!
//! A source that cannot be reached is skipped, and said; one that answers with other bytes than pinned is an
//! error. Invariant: the variant's path is replaced only after every check.

use port_config::{Artifact, KernelSource, LockEntry, LockedInput, LockedOutput, VariantConfig};
use port_content::atomic::AtomicFile;
use port_kernel::{KernelConfig, Prepared};
use port_model::KernelFacts;

use crate::downloads::{Answer, Fetched};
use crate::environment::{Context, LockMode};
use crate::error::BuildError;
use crate::modules::{ModuleSource, module_directory};
use crate::record::{self, Built};
use crate::{inputs, pvm, sources};

/// Builds the kernel of one variant, or finds it up to date.
///
/// # Errors
/// [`BuildError`]; the variant's path is then as it was.
pub async fn kernel(
    context: &Context<'_>,
    artifact: &Artifact,
    variant: &VariantConfig,
) -> Result<Built, BuildError> {
    pvm::refuse_research_only(artifact, variant.variant)?;
    let candidates = sources::select(context, artifact, variant)?;
    for source in &candidates {
        pvm::refuse_standard_source(artifact, variant, source)?;
    }
    let build = Build { context, artifact, variant, candidates };
    let entry = record::locked_entry(context, artifact, variant)?;
    let Some(entry) = entry.filter(|_| context.lock_mode != LockMode::Update) else {
        return build.anew().await;
    };
    let changes = build.changes(entry)?;
    record::refuse_changes(context, artifact, variant, changes.clone())?;
    match build.recorded(entry) {
        Some(_) if changes.is_empty() && record::outputs_hold(context, variant, entry)? => {
            Ok(up_to_date(entry))
        }
        Some(source) if changes.is_empty() => build.again(source, entry).await,
        _ => build.anew().await,
    }
}

fn up_to_date(entry: &LockEntry) -> Built {
    Built { entry: entry.clone(), fresh: false }
}

struct Build<'a> {
    context: &'a Context<'a>,
    artifact: &'a Artifact,
    variant: &'a VariantConfig,
    candidates: Vec<&'a KernelSource>,
}

impl<'a> Build<'a> {
    /// The candidate that `entry` was built from.
    fn recorded(&self, entry: &LockEntry) -> Option<&'a KernelSource> {
        let text = entry.inputs.first().map(|input| input.source.as_str())?;
        self.candidates.iter().copied().find(|source| source.to_string() == text)
    }

    /// What differs between `entry` and the configuration and files of now, without asking any network.
    fn changes(&self, entry: &LockEntry) -> Result<Vec<String>, BuildError> {
        let Some(source) = self.recorded(entry) else {
            let locked = entry.inputs.first().map_or("nothing", |input| input.source.as_str());
            let now: Vec<String> = self.candidates.iter().map(|source| format!("`{source}`")).collect();
            return Ok(vec![format!("it was built from `{locked}`, and would be from {}", now.join(" or "))]);
        };
        let mut changes = Vec::new();
        // A local source that is gone cannot have changed; it is missed only when it is needed.
        let there = |path: &std::path::Path| port_content::fs::exists(path);
        if let Some((path, locked)) =
            sources::local_file(source).filter(|path| there(path)).zip(entry.inputs.first())
        {
            let digest = sources::digest_of_local(self.context, path)?.0;
            if digest != locked.digest {
                changes.push(format!(
                    "`{}` changed: locked {}, found {digest}",
                    path.display(),
                    locked.digest
                ));
            }
        }
        if let Some(directory) = module_directory(source).filter(|path| there(path)) {
            let found = inputs::modules_directory(self.context, directory)?;
            let locked = entry.inputs.get(1).map(std::slice::from_ref).unwrap_or_default();
            changes.extend(record::input_changes(locked, &[found]));
        }
        Ok(changes)
    }

    /// Builds what the lock pins, again. Where its source is out of reach, another one may do, unless locked.
    async fn again(&self, source: &KernelSource, entry: &LockEntry) -> Result<Built, BuildError> {
        let architecture = self.variant.variant.architecture;
        let Some(pinned) = entry.inputs.first() else { return self.anew().await };
        let reason = match sources::resolve_pinned(self.context, source, pinned, architecture).await? {
            Answer::Got(fetched) if fetched.digest == pinned.digest => {
                return self.finish(source, fetched, Some(entry));
            }
            Answer::Got(fetched) => format!("it has {} now, locked is {}", fetched.digest, pinned.digest),
            Answer::Unreachable(reason) => reason,
        };
        if self.context.lock_mode == LockMode::Locked {
            return Err(self.none_reached(&[source], vec![format!("{source}: {reason}")]));
        }
        self.context.reporter.note(format!("the locked source `{source}` cannot be used: {reason}"));
        self.anew().await
    }

    /// Asks the sources in their order.
    async fn anew(&self) -> Result<Built, BuildError> {
        let mut reasons = Vec::new();
        for (index, source) in self.candidates.iter().enumerate() {
            match sources::resolve(self.context, source, self.variant.variant.architecture).await? {
                Answer::Got(fetched) => return self.finish(source, fetched, None),
                Answer::Unreachable(reason) => {
                    // Of the last one the error tells.
                    if index + 1 < self.candidates.len() {
                        self.context.reporter.note(format!("skipped the source `{source}`: {reason}"));
                    }
                    reasons.push(format!("{source}: {reason}"));
                }
            }
        }
        Err(self.none_reached(&self.candidates, reasons))
    }

    fn none_reached(&self, asked: &[&KernelSource], reasons: Vec<String>) -> BuildError {
        sources::none_reached(&self.artifact.name, self.variant.variant, asked, reasons)
    }

    /// Turns what was fetched into the output. `locked` is the entry that it must reproduce in locked mode.
    fn finish(
        &self,
        source: &KernelSource,
        fetched: Fetched,
        locked: Option<&LockEntry>,
    ) -> Result<Built, BuildError> {
        let mut output = AtomicFile::create(&self.variant.path)?;
        let (prepared, modules) = self.prepare(source, &fetched, &mut output)?;
        let digests = [&fetched.digest, &prepared.digest];
        let (context, artifact, variant) = (self.context, self.artifact, self.variant);
        pvm::refuse_standard_bytes(context, artifact, variant, source, digests, prepared.config.as_ref())?;
        let (has_modules, config) = (modules.is_some(), prepared.config.clone());
        let entry = self.entry(source, fetched, prepared, modules)?;
        if let Some(locked) = locked {
            let changes = record::output_changes(&locked.outputs, &entry.outputs);
            record::refuse_changes(context, artifact, variant, changes)?;
        }
        output.commit()?;
        self.warn_of_no_modules(source, has_modules, config.as_ref());
        context.reporter.note(format!("built {} from `{source}`", artifact.name));
        Ok(Built { entry, fresh: true })
    }

    /// A kernel without modules boots only with all built in. Where its configuration tells, the build of a guest
    /// image for it compares; where it does not, a person has to know.
    fn warn_of_no_modules(&self, source: &KernelSource, has_modules: bool, config: Option<&KernelConfig>) {
        let remedy = match source {
            KernelSource::Path { .. } => "add `modules = \"DIR\"` to its source",
            KernelSource::Url { .. } => "fetch it and use a `path` source with `modules = \"DIR\"`",
            _ => return,
        };
        if has_modules || config.is_some() {
            return;
        }
        self.context.reporter.note(format!(
            "kernel `{}` brings no modules: it boots only if virtio_mmio (or virtio_pci), virtio_blk and the root's \
             file system are built in; if they are not, {remedy}",
            self.artifact.name
        ));
    }

    /// Writes the kernel and finds its modules.
    fn prepare(
        &self,
        source: &KernelSource,
        fetched: &Fetched,
        output: &mut AtomicFile,
    ) -> Result<(Prepared, Option<ModuleSource>), BuildError> {
        let architecture = self.variant.variant.architecture;
        if !matches!(source, KernelSource::DebianPackage { .. } | KernelSource::DebianFile { .. }) {
            let prepared = port_kernel::prepare(&fetched.file, architecture, output)?;
            let modules = module_directory(source)
                .map(|directory| ModuleSource::directory(directory, prepared.release.as_deref()))
                .transpose()?;
            return Ok((prepared, modules));
        }
        let package = port_kernel::open_kernel_package(&fetched.file)?;
        if package.architecture() != architecture {
            let found = package.architecture().to_string();
            let subject = format!("package `{}`", fetched.resolved);
            return Err(
                port_kernel::KernelError::Architecture { subject, expected: architecture, found }.into()
            );
        }
        let prepared = package.write_kernel(output)?;
        let prepared = Prepared { config: package.config().cloned().or(prepared.config), ..prepared };
        Ok((prepared, Some(ModuleSource::Package(Box::new(package)))))
    }

    fn entry(
        &self,
        source: &KernelSource,
        fetched: Fetched,
        prepared: Prepared,
        modules: Option<ModuleSource>,
    ) -> Result<LockEntry, BuildError> {
        let Fetched { digest, size, resolved, .. } = fetched;
        let mut inputs = vec![LockedInput { source: source.to_string(), resolved, digest, size }];
        if let Some(directory) = module_directory(source) {
            inputs.push(inputs::modules_directory(self.context, directory)?);
        }
        let modules = modules.map(|modules| modules.guest_modules()).unwrap_or_default();
        let file = self.variant.file_name.clone();
        Ok(LockEntry {
            artifact: self.artifact.name.clone(),
            variant: self.variant.variant,
            inputs,
            outputs: vec![LockedOutput { file, digest: prepared.digest, size: prepared.size }],
            kernel: Some(KernelFacts { release: prepared.release, modules }),
        })
    }
}
