//! What a kernel module says about itself: the `.modinfo` section of its ELF file.
//!
//! NOTE: a Debian kernel package ships no `modules.dep` (depmod writes it on the machine where the package is
//! installed), so the dependencies come from the modules. `depends=` holds the same facts: the build
//! computes it from the symbols, as depmod does.

use std::io::Read as _;

use crate::bytes::{slice, u16_at, u32_at, u64_at};
use crate::decompress::Compression;
use crate::error::KernelError;

/// The largest module that is read, in bytes. The largest of Debian's has 20 MB.
pub(crate) const LARGEST_MODULE: u64 = 128 * 1024 * 1024;
/// The longest `.modinfo` section, in bytes. Drivers for many devices have some 100 KB.
const LONGEST_INFO: usize = 1024 * 1024;
/// A section header, in bytes.
const SECTION_HEADER: usize = 64;

/// What a module says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleInfo {
    /// The modules that it needs symbols of, by name.
    pub depends: Vec<String>,
    /// What should be loaded before it, by name or alias, though no symbol asks for it.
    pub soft_depends: Vec<String>,
    /// Other names that soft dependencies may use; patterns for devices are left out.
    pub aliases: Vec<String>,
    /// Whether it loads only on CPUs with certain features.
    pub needs_cpu_feature: bool,
    /// The release that it was built for.
    pub release: Option<String>,
}

/// The name of a module as the kernel knows it, by its path: base name, without endings, `-` as `_`.
/// `None` where the path is not one of a module.
pub fn module_name(path: &str) -> Option<String> {
    let base = path.rsplit('/').next()?;
    let stem =
        ["", ".xz", ".zst", ".gz"].iter().find_map(|end| base.strip_suffix(end)?.strip_suffix(".ko"))?;
    (!stem.is_empty()).then(|| kernel_name(stem))
}

/// A module's name or alias with `-` as `_`, which the kernel treats as the same.
pub(crate) fn kernel_name(name: &str) -> String {
    name.replace('-', "_")
}

/// The bytes of a module as the kernel takes them: unpacked by the ending of its path.
pub fn unpack_module(path: &str, bytes: Vec<u8>) -> Result<Vec<u8>, KernelError> {
    let compression = match path.rsplit('.').next() {
        Some("xz") => Compression::Xz,
        Some("zst") => Compression::Zstd,
        Some("gz") => Compression::Gzip,
        _ => return Ok(bytes),
    };
    let failed = |source| KernelError::Unpack { compression, subject: format!("module `{path}`"), source };
    let mut unpacked = Vec::new();
    let mut reader = compression.reader(bytes.as_slice()).map_err(failed)?.take(LARGEST_MODULE + 1);
    reader.read_to_end(&mut unpacked).map_err(failed)?;
    if unpacked.len() as u64 > LARGEST_MODULE {
        return Err(KernelError::TooLarge { subject: format!("module `{path}`"), limit: LARGEST_MODULE });
    }
    Ok(unpacked)
}

impl ModuleInfo {
    /// Reads the section of an unpacked module; `path` names it in errors.
    pub fn parse(module: &[u8], path: &str) -> Result<Self, KernelError> {
        let section = section(module, b".modinfo").ok_or_else(|| {
            let found = match module.starts_with(b"\x7fELF\x02\x01") {
                true => "none".to_owned(),
                false => crate::format::describe(module),
            };
            KernelError::malformed(
                &format!("module `{path}`"),
                "a 64-bit ELF file with a `.modinfo` section",
                found,
            )
        })?;
        if section.len() > LONGEST_INFO {
            let expected = format!("a `.modinfo` section of at most {LONGEST_INFO} bytes");
            return Err(KernelError::malformed(
                &format!("module `{path}`"),
                expected,
                section.len().to_string(),
            ));
        }
        let mut info = Self::default();
        for entry in section.split(|byte| *byte == 0) {
            if let Some((key, value)) =
                std::str::from_utf8(entry).ok().and_then(|entry| entry.split_once('='))
            {
                info.add(key, value);
            }
        }
        Ok(info)
    }

    /// How many names it holds.
    pub(crate) fn names(&self) -> usize {
        self.depends.len() + self.soft_depends.len() + self.aliases.len()
    }

    fn add(&mut self, key: &str, value: &str) {
        match key {
            "depends" => {
                self.depends.extend(value.split(',').filter(|name| !name.is_empty()).map(kernel_name))
            }
            "softdep" => self.soft_depends.extend(soft_depends(value)),
            "alias" if value.starts_with("cpu:") => self.needs_cpu_feature = true,
            "alias" if !value.contains(['*', ':']) => self.aliases.push(kernel_name(value)),
            "vermagic" => self.release = value.split(' ').next().map(str::to_owned),
            _ => {}
        }
    }
}

/// The names after `pre:` in `pre: a b post: c`.
pub(crate) fn soft_depends(value: &str) -> Vec<String> {
    let mut before = false;
    let mut names = Vec::new();
    for word in value.split_whitespace() {
        match word.strip_suffix(':') {
            Some(heading) => before = heading == "pre",
            None if before => names.push(kernel_name(word)),
            None => {}
        }
    }
    names
}

/// The bytes of the first section with this name.
fn section<'a>(file: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    if !file.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = usize::try_from(u64_at(file, 40)?).ok()?;
    let count = usize::from(u16_at(file, 60)?);
    let header =
        |index: usize| slice(file, table.checked_add(index.checked_mul(SECTION_HEADER)?)?, SECTION_HEADER);
    let content = |header: &[u8]| {
        let start = usize::try_from(u64_at(header, 24)?).ok()?;
        slice(file, start, usize::try_from(u64_at(header, 32)?).ok()?)
    };
    let names = content(header(usize::from(u16_at(file, 62)?))?)?;
    let is_wanted = |header: &&[u8]| {
        let name = u32_at(header, 0).and_then(|at| names.get(usize::try_from(at).ok()?..));
        name.is_some_and(|name| name.starts_with(wanted) && name.get(wanted.len()) == Some(&0))
    };
    content((0..count).filter_map(header).find(is_wanted)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_module_says_what_it_needs() {
        let module = samples::module(&[
            "license=GPL",
            "softdep=pre: crc32c post: other",
            "alias=crypto-crc32c-intel",
            "alias=cpu:type:x86,ven*fam*mod*:feature:*0094*",
            "alias=virtio:d00000002v*",
            "depends=virtio,virtio-ring",
            "vermagic=6.1.0-56-amd64 SMP preempt mod_unload modversions ",
        ]);
        let info = ModuleInfo::parse(&module, "x.ko").unwrap();
        assert_eq!(info.depends, ["virtio", "virtio_ring"]);
        assert_eq!(info.soft_depends, ["crc32c"]);
        assert_eq!(info.aliases, ["crypto_crc32c_intel"]);
        assert!(info.needs_cpu_feature);
        assert_eq!(info.release.as_deref(), Some("6.1.0-56-amd64"));
        assert_eq!(
            ModuleInfo::parse(&samples::module(&["depends="]), "x.ko").unwrap(),
            ModuleInfo::default()
        );
    }

    #[test]
    fn names_come_from_paths() {
        for (path, name) in [
            ("kernel/drivers/char/hw_random/virtio-rng.ko", Some("virtio_rng")),
            ("virtio_blk.ko.xz", Some("virtio_blk")),
            ("a/9p.ko.zst", Some("9p")),
            ("modules.dep", None),
            ("kernel/.ko", None),
        ] {
            assert_eq!(module_name(path).as_deref(), name);
        }
    }

    #[test]
    fn packed_modules_are_unpacked() {
        let module = samples::module(&["depends="]);
        for (end, packed) in [
            ("", module.clone()),
            (".xz", samples::xz(&module, false)),
            (".zst", samples::zstd(&module)),
            (".gz", samples::gzip(&module)),
        ] {
            assert_eq!(unpack_module(&format!("x.ko{end}"), packed).unwrap(), module);
        }
        assert_eq!(
            unpack_module("x.ko.xz", b"junk".to_vec()).unwrap_err().to_string(),
            "cannot unpack the XZ data in module `x.ko.xz`"
        );
        let long = samples::module(&[&"x".repeat(LONGEST_INFO)]);
        assert!(ModuleInfo::parse(&long, "x.ko").unwrap_err().to_string().ends_with("found 1048577"));
        assert_eq!(
            ModuleInfo::parse(b"hello\n", "x.ko").unwrap_err().to_string(),
            "module `x.ko` is malformed: expected a 64-bit ELF file with a `.modinfo` section, found a text file"
        );
    }
}
