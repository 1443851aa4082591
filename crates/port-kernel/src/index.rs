//! All modules of one kernel: their files, what each needs, and what the kernel has built in.
//! Made from the modules themselves or from depmod's `modules.dep`; which are needed is decided in `modules`.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::KernelError;
use crate::modinfo::{self, ModuleInfo, kernel_name, module_name};

/// The modules of one kernel, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleIndex {
    modules: BTreeMap<String, Module>,
    built_in: BTreeSet<String>,
    /// Alias to the names of modules that answer to it.
    aliases: BTreeMap<String, BTreeSet<String>>,
    built_in_aliases: BTreeSet<String>,
}

/// One module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    pub(crate) path: String,
    /// What must be loaded before it, first things first.
    pub(crate) depends: Vec<String>,
    pub(crate) soft_depends: Vec<String>,
    needs_cpu_feature: bool,
}

impl ModuleIndex {
    /// Reads depmod's `modules.dep`: lines of `PATH: DEPENDENCY …`, where the right-most dependency is to be
    /// loaded first.
    pub fn parse_modules_dep(text: &str) -> Result<Self, KernelError> {
        let mut index = Self::default();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let refuse = || {
                let expected = format!("`MODULE.ko: DEPENDENCIES` on line {}", number + 1);
                KernelError::malformed("modules.dep", expected, format!("`{}`", line.escape_debug()))
            };
            let (path, depends) = line.split_once(':').ok_or_else(refuse)?;
            let depends = depends.split_whitespace().rev().map(module_name).collect::<Option<_>>();
            let info = ModuleInfo { depends: depends.ok_or_else(refuse)?, ..ModuleInfo::default() };
            module_name(path).ok_or_else(refuse)?;
            index.add_module(path.trim(), &info);
        }
        Ok(index)
    }

    /// Adds a module by its own words. A path that is not one of a module is left out.
    pub fn add_module(&mut self, path: &str, info: &ModuleInfo) {
        let Some(name) = module_name(path) else { return };
        for alias in &info.aliases {
            self.aliases.entry(alias.clone()).or_default().insert(name.clone());
        }
        let module = Module {
            path: path.to_owned(),
            depends: info.depends.clone(),
            soft_depends: info.soft_depends.clone(),
            needs_cpu_feature: info.needs_cpu_feature,
        };
        self.modules.insert(name, module);
    }

    /// Adds `modules.builtin`: one path a line.
    pub fn add_built_in(&mut self, text: &str) {
        self.built_in.extend(text.lines().filter_map(|line| module_name(line.trim())));
    }

    /// Adds depmod's `modules.softdep`: lines of `softdep MODULE pre: …`. Lines about modules that are not there say nothing.
    pub fn add_soft_depends(&mut self, text: &str) {
        let lines = text.lines().filter_map(|line| line.strip_prefix("softdep ")?.split_once(' '));
        for (name, wanted) in lines {
            if let Some(module) = self.modules.get_mut(&kernel_name(name)) {
                module.soft_depends.extend(modinfo::soft_depends(wanted));
            }
        }
    }

    /// Adds depmod's `modules.alias`: lines of `alias NAME MODULE`. Patterns for devices are left out, those for CPUs noted.
    pub fn add_aliases(&mut self, text: &str) {
        let lines = text.lines().filter_map(|line| line.strip_prefix("alias ")?.rsplit_once(' '));
        for (alias, name) in lines {
            let Some((name, module)) = self.modules.get_key_value(&kernel_name(name)) else { continue };
            if alias.starts_with("cpu:") {
                let (name, module) = (name.clone(), Module { needs_cpu_feature: true, ..module.clone() });
                self.modules.insert(name, module);
            } else if !alias.contains(['*', ':']) {
                self.aliases.entry(kernel_name(alias)).or_default().insert(name.clone());
            }
        }
    }

    /// Adds `modules.builtin.modinfo`: `MODULE.KEY=VALUE` texts with a NUL after each. Its aliases tell which
    /// soft dependencies the kernel meets itself.
    pub fn add_built_in_info(&mut self, bytes: &[u8]) {
        let alias = |entry: &[u8]| {
            let (key, value) = std::str::from_utf8(entry).ok()?.split_once('=')?;
            key.ends_with(".alias").then(|| kernel_name(value))
        };
        self.built_in_aliases.extend(bytes.split(|byte| *byte == 0).filter_map(alias));
    }

    /// How many modules there are.
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// Whether there are no modules: all is built in, or nothing is known.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Module> {
        self.modules.get(name)
    }

    pub(crate) fn is_built_in(&self, name: &str) -> bool {
        self.built_in.contains(name)
    }

    /// The module that meets a soft dependency; `None` where the kernel does itself or nothing can.
    ///
    /// Of several that answer to an alias, one that runs on every CPU wins: the image may boot on another one.
    pub(crate) fn resolve_soft(&self, wanted: &str) -> Option<&str> {
        if self.is_built_in(wanted) || self.built_in_aliases.contains(wanted) {
            return None;
        }
        if let Some((name, _)) = self.modules.get_key_value(wanted) {
            return Some(name);
        }
        let candidates = self.aliases.get(wanted)?;
        if candidates.iter().any(|name| self.is_built_in(name)) {
            return None;
        }
        let needs_feature = |name: &&String| self.get(name).is_none_or(|module| module.needs_cpu_feature);
        candidates.iter().min_by_key(needs_feature).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_line_is_named() {
        for (text, found) in [
            ("kernel/a.ko:\nnonsense\n", "nonsense"),
            ("kernel/a.ko:\nkernel/b.ko: readme\n", "kernel/b.ko: readme"),
        ] {
            assert_eq!(
                ModuleIndex::parse_modules_dep(text).unwrap_err().to_string(),
                format!(
                    "modules.dep is malformed: expected `MODULE.ko: DEPENDENCIES` on line 2, found `{found}`"
                )
            );
        }
    }

    #[test]
    fn a_soft_dependency_takes_what_runs_everywhere() {
        let crc = |needs_cpu_feature| ModuleInfo {
            aliases: vec!["crc32c".to_owned()],
            needs_cpu_feature,
            ..ModuleInfo::default()
        };
        let mut index = ModuleIndex::default();
        index.add_module("kernel/arch/x86/crypto/crc32c-intel.ko", &crc(true));
        assert_eq!(index.resolve_soft("crc32c"), Some("crc32c_intel"));
        index.add_module("kernel/crypto/crc32c_generic.ko", &crc(false));
        assert_eq!(index.resolve_soft("crc32c"), Some("crc32c_generic"));
        index.add_built_in_info(b"crc32c_generic.license=GPL\0crc32c_generic.alias=crc32c\0");
        assert_eq!(index.resolve_soft("crc32c"), None);
        assert_eq!(index.resolve_soft("unheard-of"), None);
    }
    #[test]
    fn depmods_lists_say_what_the_modules_themselves_do() {
        let dep = "kernel/fs/ext4.ko:\nkernel/c/crc32c-intel.ko:\nkernel/c/crc32c_generic.ko:\n";
        let mut index = ModuleIndex::parse_modules_dep(dep).unwrap();
        index.add_soft_depends("# a comment\nsoftdep ext4 pre: crc32c\nsoftdep other pre: x\n");
        index.add_aliases(
            "# a comment\nalias cpu:type:x86,ven*fam*mod*:feature:*0094* crc32c_intel\nalias crc32c crc32c_intel\n\
             alias crc32c crc32c_generic\nalias pci:v00001AF4d* virtio_pci\nalias crc32c gone\n",
        );
        assert_eq!(index.get("ext4").unwrap().soft_depends, ["crc32c"]);
        assert_eq!(index.resolve_soft("crc32c"), Some("crc32c_generic"));
    }
}
