//! The kernel that an initrd is made for: its modules, and how the lock records them.

use port_config::{ImageFormat, KernelSource, LockEntry, LockedInput, VariantConfig};
use port_content::hashing::digest_of;

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

    /// The kernel's part in an initrd: the place that its modules come from. A kernel with all built in has
    /// no part but its release, which the entry records.
    pub(crate) fn input(&self) -> LockedInput {
        let modules = match self.source() {
            Some(KernelSource::DebianPackage { .. } | KernelSource::DebianFile { .. }) => {
                self.entry.inputs.first()
            }
            Some(KernelSource::Path { modules: Some(_), .. }) => self.entry.inputs.get(1),
            _ => None,
        };
        let resolved = self.release().to_owned();
        let (digest, size) = match modules {
            Some(input) => (input.digest.clone(), input.size),
            None => (digest_of(resolved.as_bytes()), resolved.len() as u64),
        };
        LockedInput { source: format!("modules {}", self.artifact), resolved, digest, size }
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
            return Ok(Selection::default());
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
            Answer::Unreachable(reason) => Err(BuildError::NoneReached {
                artifact: self.artifact.to_owned(),
                variant: self.config.variant,
                reasons: vec![format!("{source}: {reason}")],
            }),
        }
    }
}
