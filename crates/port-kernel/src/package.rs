//! A Debian kernel package as a whole: its kernel, its configuration, and the modules that a guest needs.
//!
//! The package is read as a stream three times at most (what is in it, the kernel, the chosen modules), never
//! unpacked: a full kernel has 4000 modules and a guest needs fifteen.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::Path;

use port_model::Architecture;

use crate::config::{self, KernelConfig};
use crate::control::Control;
use crate::deb::{Deb, Entry, read_limited};
use crate::error::KernelError;
use crate::facts::is_release;
use crate::index::ModuleIndex;
use crate::modinfo::{LARGEST_MODULE, ModuleInfo, module_name, unpack_module};
use crate::modules::{ModulePlan, Wanted};
use crate::prepare::{Prepared, prepare_stream};

/// The longest list of modules that is read, in bytes. `modules.builtin.modinfo` has 1 MB.
const LONGEST_LIST: u64 = 16 * 1024 * 1024;

/// The most that all modules of a package unpack to, in bytes. Debian's full kernel has 400 MB.
const LARGEST_MODULES: u64 = 8 * 1024 * 1024 * 1024;
/// The most names that the modules of a package hold. Debian's full kernel has 10,000.
const MOST_NAMES: usize = 1_000_000;

/// A kernel package that was looked through.
#[derive(Debug)]
pub struct KernelPackage {
    deb: Deb,
    control: Control,
    architecture: Architecture,
    contents: Contents,
}

/// What a package holds.
#[derive(Debug, Default)]
struct Contents {
    /// Path and release of the kernel.
    kernel: Option<(String, String)>,
    config: Option<KernelConfig>,
    index: ModuleIndex,
    modules_size: u64,
    names: usize,
}

/// Opens a kernel package and looks through it. One without a kernel is [`KernelError::NoKernel`], which names
/// the package to follow if this is a meta package.
pub fn open_kernel_package(path: &Path) -> Result<KernelPackage, KernelError> {
    let deb = Deb::open(path)?;
    let control = deb.control()?;
    let architecture = control.port_architecture().ok_or_else(|| {
        KernelError::malformed(deb.subject(), "architecture amd64 or arm64", control.architecture.clone())
    })?;
    let mut contents = Contents::default();
    deb.extract(is_interesting, |entry, reader| {
        contents.take(entry, reader, deb.subject()).map(ControlFlow::Continue)
    })?;
    if contents.kernel.is_none() {
        let follow = control.kernel_dependency().map(|dependency| dependency.package.clone());
        return Err(KernelError::NoKernel { package: control.package, follow });
    }
    Ok(KernelPackage { deb, control, architecture, contents })
}

/// The path below `lib/modules/RELEASE/`, in either place where packages put it, with the release.
fn below_modules(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("usr/").unwrap_or(path).strip_prefix("lib/modules/")?.split_once('/')
}

fn is_interesting(path: &str) -> bool {
    let list = |(_, path): (&str, &str)| path.starts_with("modules.builtin") || module_name(path).is_some();
    path.starts_with("boot/vmlinuz-")
        || path.starts_with("boot/config-")
        || below_modules(path).is_some_and(list)
}

impl Contents {
    fn take(&mut self, entry: &Entry<'_>, reader: &mut dyn Read, subject: &str) -> Result<(), KernelError> {
        let part = format!("`{}` of {subject}", entry.path);
        let mut text = |limit| -> Result<String, KernelError> {
            Ok(String::from_utf8_lossy(&read_limited(reader, limit, &part)?).into_owned())
        };
        if let Some(release) = entry.path.strip_prefix("boot/vmlinuz-") {
            return self.take_kernel(entry.path, release, subject);
        }
        if entry.path.starts_with("boot/config-") {
            self.config = Some(KernelConfig::parse(&text(config::LONGEST)?));
            return Ok(());
        }
        match below_modules(entry.path) {
            Some((_, "modules.builtin")) => self.index.add_built_in(&text(LONGEST_LIST)?),
            Some((_, "modules.builtin.modinfo")) => {
                self.index.add_built_in_info(&read_limited(reader, LONGEST_LIST, &part)?)
            }
            Some((_, path)) if module_name(path).is_some() => {
                let bytes = unpack_module(entry.path, read_limited(reader, LARGEST_MODULE, &part)?)?;
                self.take_module(entry.path, &bytes, subject)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn take_module(&mut self, path: &str, module: &[u8], subject: &str) -> Result<(), KernelError> {
        let info = ModuleInfo::parse(module, path)?;
        self.modules_size = self.modules_size.saturating_add(module.len() as u64);
        self.names = self.names.saturating_add(info.names());
        if self.modules_size > LARGEST_MODULES || self.names > MOST_NAMES {
            let expected =
                format!("modules of at most {LARGEST_MODULES} bytes with at most {MOST_NAMES} names");
            return Err(KernelError::malformed(subject, expected, "more"));
        }
        self.index.add_module(path, &info);
        Ok(())
    }

    fn take_kernel(&mut self, path: &str, release: &str, subject: &str) -> Result<(), KernelError> {
        if !is_release(release) {
            let found = format!("`{}`", path.escape_debug());
            return Err(KernelError::malformed(subject, "`boot/vmlinuz-RELEASE`", found));
        }
        match self.kernel.replace((path.to_owned(), release.to_owned())) {
            None => Ok(()),
            Some((first, _)) => {
                Err(KernelError::malformed(subject, "one kernel", format!("`{first}` and `{path}`")))
            }
        }
    }
}

impl KernelPackage {
    /// What the package says about itself.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The kernel's release as `uname -r` prints it.
    pub fn release(&self) -> &str {
        self.contents.kernel.as_ref().map_or("", |(_, release)| release)
    }

    /// The package's version.
    pub fn version(&self) -> &str {
        &self.control.version
    }

    /// The kernel's architecture.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The kernel's build configuration, if the package has it.
    pub fn config(&self) -> Option<&KernelConfig> {
        self.contents.config.as_ref()
    }

    /// All modules of the package.
    pub fn index(&self) -> &ModuleIndex {
        &self.contents.index
    }

    /// Writes the kernel in the format that Port stores for the package's architecture.
    pub fn write_kernel(&self, out: &mut impl Write) -> Result<Prepared, KernelError> {
        let (path, release) = self.contents.kernel.clone().unwrap_or_default();
        let subject = format!("`{path}` of {}", self.deb.subject());
        let mut prepared = None;
        self.deb.extract(
            |name| name == path,
            |_, reader| {
                prepared = Some(prepare_stream(reader, &subject, self.architecture, out)?);
                Ok(ControlFlow::Break(()))
            },
        )?;
        let prepared = prepared
            .ok_or_else(|| KernelError::malformed(self.deb.subject(), format!("`{path}`"), "none"))?;
        match &prepared.release {
            Some(found) if *found != release => Err(KernelError::malformed(
                &subject,
                format!("the kernel {release}"),
                format!("the kernel {found}"),
            )),
            _ => Ok(prepared),
        }
    }

    /// Decides which modules to load, and in which order.
    pub fn modules(&self, wanted: &[Wanted]) -> ModulePlan {
        self.contents.index.plan(self.release(), self.config(), wanted)
    }

    /// Reads the modules of a plan, unpacked, in the plan's order, each with its name.
    pub fn read_modules(&self, plan: &ModulePlan) -> Result<Vec<(String, Vec<u8>)>, KernelError> {
        let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let paths: BTreeSet<&str> =
            plan.modules.iter().map(|module| module.path_in_package.as_str()).collect();
        let wanted = |path: &str| paths.contains(path);
        if !plan.modules.is_empty() {
            self.deb.extract(wanted, |entry, reader| {
                let subject = format!("`{}` of {}", entry.path, self.deb.subject());
                let bytes = unpack_module(entry.path, read_limited(reader, LARGEST_MODULE, &subject)?)?;
                self.check_release(&bytes, entry.path)?;
                found.insert(entry.path.to_owned(), bytes);
                Ok(if found.len() == paths.len() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            })?;
        }
        let take = |module: &crate::ModuleEntry| {
            let missing = || {
                KernelError::malformed(self.deb.subject(), format!("`{}`", module.path_in_package), "none")
            };
            let bytes = found.remove(&module.path_in_package).ok_or_else(missing)?;
            Ok((module.name.clone(), bytes))
        };
        plan.modules.iter().map(take).collect()
    }

    /// A module loads only into the kernel that it was built for, so another one is refused here and not by
    /// a guest that then finds no disk.
    fn check_release(&self, module: &[u8], path: &str) -> Result<(), KernelError> {
        match ModuleInfo::parse(module, path)?.release {
            Some(found) if found != self.release() => {
                let expected = format!("a module for {}", self.release());
                Err(KernelError::malformed(&format!("module `{path}`"), expected, format!("one for {found}")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::{Feature, Need};
    use crate::samples::{self, Package};

    fn open(package: &Package) -> (tempfile::TempDir, Result<KernelPackage, KernelError>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("k.deb");
        port_content::atomic::write(&path, &package.build()).unwrap();
        let opened = open_kernel_package(&path);
        (directory, opened)
    }

    fn sample(prefix: &str, vermagic: &str) -> Package {
        let kernel = samples::elf(62, b"Linux version 6.1.0-sample (a@b) #1\n\0");
        let module = |entries: &[&str]| samples::module(&[entries, &[vermagic]].concat());
        let modules = format!("./{prefix}lib/modules/6.1.0-sample");
        let mut package = Package::new(samples::CONTROL);
        package.files = vec![
            ("./boot/config-6.1.0-sample".to_owned(), b"CONFIG_EXT4_FS=y\n".to_vec()),
            ("./boot/vmlinuz-6.1.0-sample".to_owned(), samples::bzimage(&samples::gzip(&kernel))),
            (
                format!("{modules}/kernel/block/virtio_blk.ko.xz"),
                samples::xz(&module(&["depends=virtio,virtio_ring"]), false),
            ),
            (format!("{modules}/kernel/virtio/virtio.ko"), module(&["depends=virtio_ring"])),
            (format!("{modules}/kernel/virtio/virtio_ring.ko.zst"), samples::zstd(&module(&["depends="]))),
            (format!("{modules}/modules.builtin"), b"kernel/fs/overlayfs/overlay.ko\n".to_vec()),
        ];
        package
    }

    #[test]
    fn kernel_and_modules_come_out() {
        for prefix in ["", "usr/"] {
            let (_directory, package) = open(&sample(prefix, "vermagic=6.1.0-sample SMP"));
            let package = package.unwrap();
            assert_eq!((package.release(), package.version()), ("6.1.0-sample", "6.1-1"));
            assert_eq!(package.architecture(), Architecture::X86_64);
            let mut out = Vec::new();
            let prepared = package.write_kernel(&mut out).unwrap();
            assert_eq!(prepared.release.as_deref(), Some("6.1.0-sample"));
            assert!(out.starts_with(b"\x7fELF"));
            let wanted = [Feature::VirtioBlk, Feature::Overlay, Feature::Ext4]
                .map(|feature| Wanted::feature(feature, Need::Required));
            let plan = package.modules(&wanted);
            assert_eq!(plan.names(), ["virtio_ring", "virtio", "virtio_blk"]);
            assert_eq!(plan.built_in, ["overlay", "ext4"]);
            let modules = package.read_modules(&plan).unwrap();
            assert!(modules.iter().all(|(_, bytes)| bytes.starts_with(b"\x7fELF")));
            assert_eq!(modules.len(), 3);
        }
    }

    #[test]
    fn a_module_for_another_kernel_is_refused() {
        let (_directory, package) = open(&sample("", "vermagic=6.1.0-other SMP"));
        let package = package.unwrap();
        let plan = package.modules(&[Wanted::feature(Feature::VirtioBlk, Need::Required)]);
        let error = package.read_modules(&plan).unwrap_err().to_string();
        assert!(error.ends_with("expected a module for 6.1.0-sample, found one for 6.1.0-other"), "{error}");
    }

    #[test]
    fn a_meta_package_names_the_one_to_follow() {
        let (_directory, opened) = open(&Package::new(
            "Package: linux-image-amd64\nVersion: 1\nArchitecture: amd64\nDepends: linux-image-6.1.0-56-amd64 (= 1)\n",
        ));
        let error = opened.unwrap_err();
        assert!(
            matches!(&error, KernelError::NoKernel { follow: Some(name), .. } if name == "linux-image-6.1.0-56-amd64")
        );
        assert_eq!(
            error.to_string(),
            "package linux-image-amd64 is not a kernel package: expected a file `boot/vmlinuz-*`, found none \
             (it depends on linux-image-6.1.0-56-amd64)"
        );
    }

    #[test]
    fn two_kernels_or_a_strange_release_are_refused() {
        for (extra, words) in [
            ("./boot/vmlinuz-6.2", "expected one kernel, found"),
            ("./boot/vmlinuz-x y", "expected `boot/vmlinuz-RELEASE`"),
        ] {
            let mut package = sample("", "vermagic=6.1.0-sample SMP");
            package.files.push((extra.to_owned(), Vec::new()));
            let error = open(&package).1.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
