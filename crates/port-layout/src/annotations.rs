//! Every annotation key that Port reads or writes, once.

/// OCI image-spec: the file's base name; what `oras pull` writes the layer to.
pub const TITLE: &str = "org.opencontainers.image.title";
/// OCI image-spec: the name of an entry in an image layout's `index.json`.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// OCI image-spec: when it was made, RFC 3339.
pub const CREATED: &str = "org.opencontainers.image.created";
/// containerd: the full reference under which an image is known.
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Port: kernel or guest image; on index entries, beside `artifactType`, which some tools drop when they copy.
pub const CLASS: &str = "vnd.port.class";
/// Port: what the variant boots on.
pub const SUBSTRATE: &str = "vnd.port.substrate";
/// Port: how the variant is isolated.
pub const PROTECTION_MODE: &str = "vnd.port.protection-mode";
/// Port: on a delta, the digest of the raw file that it starts from.
pub const DELTA_PARENT: &str = "vnd.port.delta.parent";
/// Port: on a delta, the digest of the raw file that it makes.
pub const DELTA_TARGET: &str = "vnd.port.delta.target";
/// Port: on a delta, the file name of the component that it makes.
pub const DELTA_FILE_NAME: &str = "vnd.port.delta.file-name";
/// Port: on a delta, how many bytes it has.
pub const DELTA_SIZE: &str = "vnd.port.delta.size";

/// Port: what a release's kernel is started with.
pub const RELEASE_BOOT_ARGUMENTS: &str = "vnd.port.release.boot-arguments";

/// KubeSolo OS: the release's version, `v0.3.0` (acceptance O-9).
pub const KUBESOLO_VERSION: &str = "io.kubesolo.os.version";
/// KubeSolo OS: the channel, `stable` (O-10).
pub const KUBESOLO_CHANNEL: &str = "io.kubesolo.os.channel";
/// KubeSolo OS: the oldest version that may update to this one (O-11).
pub const KUBESOLO_MIN_COMPATIBLE_VERSION: &str = "io.kubesolo.os.min_compatible_version";
/// KubeSolo OS: the architecture in Go's names (O-12).
pub const KUBESOLO_ARCHITECTURE: &str = "io.kubesolo.os.architecture";
/// KubeSolo OS: a few words for people (O-13).
pub const KUBESOLO_RELEASE_NOTES: &str = "io.kubesolo.os.release_notes";
/// KubeSolo OS: when it was released, RFC 3339 (O-14).
pub const KUBESOLO_RELEASE_DATE: &str = "io.kubesolo.os.release_date";

/// KraftKit: the marker without which kraft ignores an index entry (acceptance Ku-11). The value is free.
pub const KRAFTKIT_VERSION: &str = "sh.kraftkit.version";
/// Unikraft: `registry/repository` of the package (K-23).
pub const UNIKRAFT_NAME: &str = "org.unikraft.image.name";
/// Unikraft: the kernel's version (K-24).
pub const UNIKRAFT_KERNEL_VERSION: &str = "org.unikraft.kernel.version";
/// Unikraft: on a layer, where in it the kernel lies (K-14).
pub const UNIKRAFT_KERNEL: &str = "org.unikraft.kernel.image";
/// Unikraft: on a layer, where in it the initrd lies (K-18).
pub const UNIKRAFT_INITRD: &str = "org.unikraft.kernel.initrd";
