//! The kernel that an initrd is made for: its modules, and how the lock records them.

use port_config::{ImageFormat, KernelSource, LockEntry, LockedInput, VariantConfig};
use port_content::fs;
use port_content::hashing::digest_of;
use port_kernel::facts;

use crate::downloads::Answer;
use crate::environment::Context;
use crate::error::BuildError;
use crate::modules::{self, ModuleSource, Selection};
use crate::sources;

/// The kernel whose modules go into the initrd: already built, of the same variant.
#[derive(Debug, Clone, Copy)]
pub struct KernelInput<'a> {
    /// The kernel artifact's name.
    pub artifact: &'a str,
    /// Its variant, as configured.
    pub config: &'a VariantConfig,
    /// Its entry in the lock.
    pub entry: &'a LockEntry,
}

impl KernelInput<'_> {
    /// The release as `uname -r` prints it, if it is known.
    fn known_release(&self) -> Option<&str> {
        self.entry.kernel.as_ref().and_then(|facts| facts.release.as_deref())
    }

    /// The release in words.
    pub(crate) fn release(&self) -> &str {
        self.known_release().unwrap_or("of unknown release")
    }

    /// The source that the kernel was built from.
    fn source(&self) -> Option<&KernelSource> {
        modules::recorded_source(&self.config.sources, self.entry)
    }

    /// The kernel's part in an initrd: the place that its modules come from. A kernel that brings no modules has
    /// no part in it but its release, which the image's facts name.
    pub(crate) fn input(&self) -> LockedInput {
        let modules = match self.source() {
            Some(KernelSource::DebianPackage { .. } | KernelSource::DebianFile { .. }) => {
                self.entry.inputs.first()
            }
            Some(KernelSource::Path { modules: Some(_), .. }) => self.entry.inputs.get(1),
            _ => None,
        };
        let resolved = self.release().to_owned();
        let (part, digest, size) = match modules {
            Some(input) => ("modules", input.digest.clone(), input.size),
            None => ("kernel-release", digest_of(resolved.as_bytes()), resolved.len() as u64),
        };
        LockedInput { source: format!("{part} {}", self.artifact), resolved, digest, size }
    }

    /// No modules, from a kernel that must do without. One that says what it lacks is refused; of one that does
    /// not say, its own build warned.
    fn without_modules(&self, format: ImageFormat) -> Result<Selection, BuildError> {
        let path = &self.config.path;
        let config = if fs::exists(path) { facts::scan(path)?.config } else { None };
        if let Some(config) = config {
            modules::check_built_in(self.artifact, self.release(), &config, format)?;
        }
        Ok(Selection::default())
    }

    /// The modules for the initrd of a root of `format`; none where the kernel has all built in.
    pub(crate) async fn select(
        &self,
        context: &Context<'_>,
        format: ImageFormat,
    ) -> Result<Selection, BuildError> {
        let Some(source) = self.source() else { return Ok(Selection::default()) };
        if let Some(directory) = modules::module_directory(source) {
            return ModuleSource::directory(directory, self.known_release())?.select(self.artifact, format);
        }
        let is_package =
            matches!(source, KernelSource::DebianPackage { .. } | KernelSource::DebianFile { .. });
        let Some(pinned) = self.entry.inputs.first().filter(|_| is_package) else {
            return self.without_modules(format);
        };
        let architecture = self.config.variant.architecture;
        match sources::resolve_pinned(context, source, pinned, architecture).await? {
            Answer::Got(fetched) if fetched.digest == pinned.digest => {
                ModuleSource::package(&fetched.file)?.select(self.artifact, format)
            }
            Answer::Got(fetched) => Err(BuildError::WrongBytes {
                source_text: source.to_string(),
                expected: pinned.digest.clone(),
                found: fetched.digest,
                size: fetched.size,
            }),
            Answer::Unreachable(reason) => {
                let reasons = vec![format!("{source}: {reason}")];
                Err(sources::none_reached(self.artifact, self.config.variant, &[source], reasons))
            }
        }
    }
}
