//! Every key of a manifest, once: reading, merging, substitution and the JSON schema walk this list.

use crate::manifest::{Manifest, Volume};

/// The sections, in the order in which they are written (acceptance V-11).
pub(crate) const SECTIONS: [(&str, &str); 6] = [
    ("workload", "What it is."),
    ("kernel", "The guest's kernel; ignored in container mode."),
    ("security", "What it may do."),
    ("resources", "What it may use; limits are those of cgroups v2."),
    ("network", "How it is connected."),
    ("storage", "What it stands on."),
];

/// A key and its value.
pub(crate) struct Entry<'m> {
    /// The table that it stands in.
    pub(crate) section: &'static str,
    /// Its name there.
    pub(crate) key: &'static str,
    /// What it is, for editors.
    pub(crate) about: &'static str,
    /// Its value.
    pub(crate) field: Field<'m>,
}

/// A value that can be read and changed.
pub(crate) enum Field<'m> {
    /// A text that is always written.
    Required(&'m mut String),
    /// A text.
    Text(&'m mut Option<String>),
    /// A number.
    Number(&'m mut Option<i64>),
    /// True or false.
    Truth(&'m mut Option<bool>),
    /// A list of texts.
    Texts(&'m mut Option<Vec<String>>),
    /// The volumes.
    Volumes(&'m mut Option<Vec<Volume>>),
}

impl Entry<'_> {
    /// `section.key`, as in findings.
    pub(crate) fn path(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }
}

impl Field<'_> {
    /// Whether it says nothing.
    pub(crate) fn is_absent(&self) -> bool {
        match self {
            Self::Required(text) => text.is_empty(),
            Self::Text(text) => text.is_none(),
            Self::Number(number) => number.is_none(),
            Self::Truth(truth) => truth.is_none(),
            Self::Texts(texts) => texts.is_none(),
            Self::Volumes(volumes) => volumes.is_none(),
        }
    }

    /// Takes what `other`, the same key of another manifest, says.
    pub(crate) fn take(&mut self, other: Self) {
        match (self, other) {
            (Self::Required(mine), Self::Required(other)) => **mine = std::mem::take(other),
            (Self::Text(mine), Self::Text(other)) => **mine = other.take(),
            (Self::Number(mine), Self::Number(other)) => **mine = other.take(),
            (Self::Truth(mine), Self::Truth(other)) => **mine = other.take(),
            (Self::Texts(mine), Self::Texts(other)) => **mine = other.take(),
            (Self::Volumes(mine), Self::Volumes(other)) => **mine = other.take(),
            // The list is the same for every manifest, so two fields of one place are of one kind.
            _ => {}
        }
    }

    /// Every text in it with its path below `path`.
    pub(crate) fn texts<'f>(&'f mut self, path: &str) -> Vec<(String, &'f mut String)> {
        match self {
            Self::Required(text) => vec![(path.to_owned(), &mut **text)],
            Self::Text(text) => text.iter_mut().map(|text| (path.to_owned(), text)).collect(),
            Self::Number(_) | Self::Truth(_) => Vec::new(),
            Self::Texts(texts) => {
                let numbered = texts.iter_mut().flatten().enumerate();
                numbered.map(|(index, text)| (format!("{path}[{index}]"), text)).collect()
            }
            Self::Volumes(volumes) => {
                let numbered = volumes.iter_mut().flatten().enumerate();
                let both = numbered.flat_map(|(index, volume)| {
                    let Volume { host, container, .. } = volume;
                    [("host", host), ("container", container)]
                        .map(|(key, text)| (format!("{path}[{index}].{key}"), text))
                });
                both.collect()
            }
        }
    }
}

/// Every key but `extends`, in the order in which they are written. In one piece: it is a table, and nobody reads a key that
/// is missing from it.
pub(crate) fn entries(manifest: &mut Manifest) -> Vec<Entry<'_>> {
    use Field::{Number, Required, Text, Texts, Truth, Volumes};
    let Manifest { workload, kernel, security, resources, network, storage, .. } = manifest;
    let rows = [
        (
            "workload",
            "name",
            "Its name: letters, digits, `.`, `_` and `-`, at most 63 characters.",
            Required(&mut workload.name),
        ),
        ("workload", "mode", "How it is isolated.", Required(&mut workload.mode)),
        (
            "workload",
            "image",
            "A registry reference that it stands on where `storage.rootfs` says nothing.",
            Text(&mut workload.image),
        ),
        ("workload", "description", "A few words for people.", Text(&mut workload.description)),
        ("kernel", "version", "Which kernel, by its version.", Text(&mut kernel.version)),
        ("kernel", "path", "Which kernel, by its file.", Text(&mut kernel.path)),
        ("kernel", "modules", "Modules to load.", Texts(&mut kernel.modules)),
        ("kernel", "cmdline", "Boot arguments.", Text(&mut kernel.cmdline)),
        (
            "security",
            "landlock_profile",
            "`strict`, `default`, `permissive`, or the absolute path of a file with rules.",
            Text(&mut security.landlock_profile),
        ),
        (
            "security",
            "seccomp_profile",
            "`default`, `strict`, `unconfined`, or the absolute path of a file with rules.",
            Text(&mut security.seccomp_profile),
        ),
        (
            "security",
            "capabilities",
            "Linux capabilities that it keeps, `CAP_` optional; an empty list is none.",
            Texts(&mut security.capabilities),
        ),
        (
            "security",
            "read_only_rootfs",
            "Whether its root file system takes no writes.",
            Truth(&mut security.read_only_rootfs),
        ),
        (
            "resources",
            "memory_limit",
            "The most memory, as `512M` or `2G`; a bare number is bytes.",
            Text(&mut resources.memory_limit),
        ),
        (
            "resources",
            "memory_soft",
            "The memory above which it is slowed down.",
            Text(&mut resources.memory_soft),
        ),
        (
            "resources",
            "cpu_weight",
            "Its share of the processors, 1 to 10000; 0 says nothing.",
            Number(&mut resources.cpu_weight),
        ),
        ("resources", "cpu_set", "Its processors, as `0-3,6`.", Text(&mut resources.cpu_set)),
        (
            "resources",
            "io_weight",
            "Its share of the disks, 1 to 10000; 0 says nothing.",
            Number(&mut resources.io_weight),
        ),
        ("resources", "pids_max", "The most processes; 0 says nothing.", Number(&mut resources.pids_max)),
        ("network", "mode", "How it is connected.", Text(&mut network.mode)),
        ("network", "address", "Its IP address, with a prefix or without.", Text(&mut network.address)),
        ("network", "dns", "IP addresses of name servers.", Texts(&mut network.dns)),
        ("network", "ports", "Published ports, as `8080:80/tcp`.", Texts(&mut network.ports)),
        (
            "storage",
            "rootfs",
            "A directory, an image, `cas://sha256:…`, `oci://…`, `artifact://NAME` or `base-image://NAME`.",
            Text(&mut storage.rootfs),
        ),
        ("storage", "writable_layer", "What takes its writes.", Text(&mut storage.writable_layer)),
        (
            "storage",
            "volumes",
            "Directories and files of the host that it sees.",
            Volumes(&mut storage.volumes),
        ),
    ];
    rows.into_iter().map(|(section, key, about, field)| Entry { section, key, about, field }).collect()
}
