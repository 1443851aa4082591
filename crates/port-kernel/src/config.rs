//! A kernel's build configuration: which options are built in, modules, values, or off.

use std::collections::BTreeMap;

/// The longest configuration that is read, in bytes. Distribution kernels have 250 KB.
pub const LONGEST: u64 = 4 * 1024 * 1024;

/// What an option is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// `=y`: in the kernel.
    BuiltIn,
    /// `=m`: a module.
    Module,
    /// Any other value, without quotes.
    Value(String),
}

/// A parsed `.config`. An option that is off is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelConfig {
    options: BTreeMap<String, Setting>,
}

impl KernelConfig {
    /// Reads the text of a `.config` or `config-*` file. A line that is not `CONFIG_NAME=VALUE` is a comment
    /// to this reader, as it is to the kernel's own tools.
    pub fn parse(text: &str) -> Self {
        let setting = |line: &str| {
            let (name, value) = line.trim().strip_prefix("CONFIG_")?.split_once('=')?;
            let setting = match value {
                "y" => Setting::BuiltIn,
                "m" => Setting::Module,
                "n" => return None,
                value => Setting::Value(value.trim_matches('"').to_owned()),
            };
            Some((name.to_owned(), setting))
        };
        Self { options: text.lines().filter_map(setting).collect() }
    }

    /// The setting of an option, named with or without `CONFIG_`; `None` if it is off.
    pub fn get(&self, option: &str) -> Option<&Setting> {
        self.options.get(option.strip_prefix("CONFIG_").unwrap_or(option))
    }

    /// Whether an option is in the kernel itself.
    pub fn is_built_in(&self, option: &str) -> bool {
        self.get(option) == Some(&Setting::BuiltIn)
    }

    /// Whether no option is set: the text was no configuration.
    pub fn is_empty(&self) -> bool {
        self.options.is_empty()
    }

    /// All options that are not off, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.options.iter().map(|(name, setting)| (name.as_str(), setting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_apart() {
        let config = KernelConfig::parse(
            "#\n# Automatically generated file; DO NOT EDIT.\n#\nCONFIG_EXT4_FS=y\nCONFIG_EROFS_FS=m\n\
             # CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES is not set\nCONFIG_LOCALVERSION=\"-cloud\"\nCONFIG_HZ=250\nCONFIG_X=n\nnonsense\n",
        );
        assert!(config.is_built_in("CONFIG_EXT4_FS"));
        assert!(!config.is_built_in("EROFS_FS"));
        assert_eq!(config.get("EROFS_FS"), Some(&Setting::Module));
        assert_eq!(config.get("VIRTIO_MMIO_CMDLINE_DEVICES"), None);
        assert_eq!(config.get("LOCALVERSION"), Some(&Setting::Value("-cloud".to_owned())));
        assert_eq!(config.get("HZ"), Some(&Setting::Value("250".to_owned())));
        assert_eq!(config.iter().count(), 4);
        assert!(KernelConfig::parse("<html>").is_empty());
    }
}
