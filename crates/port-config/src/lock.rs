//! `port.lock`: what the sources of each built variant resolved to, and what came out.
//!
//! Text in, text out; the same lock always has the same bytes, so that it can be committed.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use port_model::{Digest, FileName, KernelFacts, Variant};

use crate::ConfigError;

/// The version of the format that this Port reads and writes.
pub const LOCK_VERSION: u64 = 1;

/// A whole `port.lock`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    entries: BTreeMap<(String, Variant), LockEntry>,
}

/// What one variant of one artifact was built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockEntry {
    /// The artifact's name in `port.toml`.
    pub artifact: String,
    /// Which variant.
    pub variant: Variant,
    /// What went in, in the order of use.
    pub inputs: Vec<LockedInput>,
    /// What came out, the main file first.
    pub outputs: Vec<LockedOutput>,
    /// The kernel built, or the kernel whose modules the initrd holds.
    pub kernel: Option<KernelFacts>,
}

/// One input, pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedInput {
    /// The canonical text of the configured source (see [`KernelSource`](crate::KernelSource)'s `Display`).
    pub source: String,
    /// What it resolved to: a URL, `package=version`, a path.
    pub resolved: String,
    /// Digest of its bytes.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

/// One file that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedOutput {
    /// Its base name.
    pub file: FileName,
    /// Digest of its bytes.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

impl Lock {
    /// Reads `text`. `file` is what messages call it.
    ///
    /// # Errors
    /// [`ConfigError`] with every finding.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        crate::read::lock(file, text)
    }

    /// The entry of one variant.
    pub fn get(&self, artifact: &str, variant: Variant) -> Option<&LockEntry> {
        self.entries.get(&(artifact.to_owned(), variant))
    }

    /// Adds `entry`, in place of an earlier one of the same variant, which it returns.
    pub fn set(&mut self, entry: LockEntry) -> Option<LockEntry> {
        self.entries.insert((entry.artifact.clone(), entry.variant), entry)
    }

    /// Every entry, by artifact and variant.
    pub fn entries(&self) -> impl Iterator<Item = &LockEntry> {
        self.entries.values()
    }
}

/// The text of the file, always the same for the same lock.
impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# This file is made by `port artifacts build`. Commit it.")?;
        writeln!(f, "version = {LOCK_VERSION}")?;
        self.entries().try_for_each(|entry| write_entry(f, entry))
    }
}

fn write_entry(f: &mut fmt::Formatter<'_>, entry: &LockEntry) -> fmt::Result {
    let Variant { architecture, substrate, protection_mode } = entry.variant;
    writeln!(f, "\n[[variants]]\nartifact = {}", Quoted(&entry.artifact))?;
    writeln!(
        f,
        "selector = {{ architecture = \"{architecture}\", substrate = \"{substrate}\", \
         protection_mode = \"{protection_mode}\" }}"
    )?;
    if let Some(kernel) = &entry.kernel {
        writeln!(f, "\n[variants.kernel]")?;
        if let Some(release) = &kernel.release {
            writeln!(f, "release = {}", Quoted(release))?;
        }
        let modules: Vec<String> = kernel.modules.iter().map(|module| Quoted(module).to_string()).collect();
        writeln!(f, "modules = [{}]", modules.join(", "))?;
    }
    for LockedInput { source, resolved, digest, size } in &entry.inputs {
        writeln!(f, "\n[[variants.inputs]]\nsource = {}\nresolved = {}", Quoted(source), Quoted(resolved))?;
        writeln!(f, "digest = \"{digest}\"\nsize = {size}")?;
    }
    for LockedOutput { file, digest, size } in &entry.outputs {
        writeln!(f, "\n[[variants.outputs]]\nfile = \"{file}\"\ndigest = \"{digest}\"\nsize = {size}")?;
    }
    Ok(())
}

/// A TOML basic string. Written here, since a library's choice of quotes may change with its version.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\u{:04X}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
