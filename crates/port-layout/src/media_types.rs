//! Every media type that Port reads or writes, once. `vnd.port.*` types are listed in docs/formats/layouts.md.

use port_model::{ArtifactClass, ComponentFormat, ComponentKind};

/// OCI image-spec: an image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image-spec: an image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker: an image manifest, version 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker: a manifest list, the older form of an index.
pub const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// OCI image-spec: the config of an image.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// OCI image-spec: the config of an artifact that needs none, the two bytes `{}`.
pub const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";
/// OCI image-spec: an uncompressed tar layer.
pub const OCI_LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
/// `oras push`: the artifact type where none was given.
pub const UNKNOWN_ARTIFACT: &str = "application/vnd.unknown.artifact.v1";
/// `oras push --image-spec v1.0`: the config's type where none was given.
pub const UNKNOWN_CONFIG: &str = "application/vnd.unknown.config.v1+json";
/// KubeSolo OS: a kernel layer (acceptance O-6).
pub const KUBESOLO_KERNEL: &str = "application/vnd.kubesolo.os.kernel.v1+octet-stream";
/// KubeSolo OS: an initramfs layer (acceptance O-7).
pub const KUBESOLO_INITRAMFS: &str = "application/vnd.kubesolo.os.initramfs.v1+gzip";
/// A release's root file system, raw, beside KubeSolo's two layers, whose agent leaves others alone.
pub const RELEASE_ROOT: &str = "application/vnd.port.release.root-filesystem.v1";
/// The block index of that root file system (docs/formats/block-index.md).
pub const RELEASE_ROOT_INDEX: &str = "application/vnd.port.release.block-index.v1";
/// Config blob of the native layout.
pub const CONFIG: &str = "application/vnd.port.config.v1+json";
/// Packed encoding: which block of an image comes from where.
pub const PACKED_MAP: &str = "application/vnd.port.packed.map.v1";
/// Packed encoding: frames of blocks.
pub const PACKED_PACK: &str = "application/vnd.port.packed.pack.v1";
/// Packed encoding: from one earlier image to this one. The type of the artifact and of its layer.
pub const PACKED_DELTA: &str = "application/vnd.port.packed.delta.v1";

/// The `artifactType` of a bundle of this class.
pub fn artifact_type(class: ArtifactClass) -> &'static str {
    match class {
        ArtifactClass::Kernel => "application/vnd.port.kernel.v1",
        ArtifactClass::GuestImage => "application/vnd.port.guest-image.v1",
    }
}

/// The class whose bundles have this `artifactType`.
pub fn class_of(artifact_type: &str) -> Option<ArtifactClass> {
    ArtifactClass::ALL.iter().copied().find(|class| self::artifact_type(*class) == artifact_type)
}

/// The class whose main component has this layer media type.
pub fn class_of_layer(media_type: &str) -> Option<ArtifactClass> {
    match media_type {
        "application/vnd.port.kernel.v1+binary" => Some(ArtifactClass::Kernel),
        "application/vnd.port.guest-image.v1+ext4"
        | "application/vnd.port.guest-image.v1+squashfs"
        | "application/vnd.port.guest-image.v1+erofs" => Some(ArtifactClass::GuestImage),
        _ => None,
    }
}

/// The layer media type of a component that is compressed as a whole, with the suffix of OCI's own layers.
pub fn zstd_layer(kind: ComponentKind, format: ComponentFormat) -> String {
    format!("{}+zstd", layer(kind, format))
}

/// The layer media type of a raw component. The kernel's and the ext4 image's are Port's published ones.
pub fn layer(kind: ComponentKind, format: ComponentFormat) -> &'static str {
    match (kind, format) {
        (ComponentKind::Kernel, _) => "application/vnd.port.kernel.v1+binary",
        (ComponentKind::KernelDbg, _) => "application/vnd.port.kernel-dbg.v1+binary",
        (ComponentKind::Initrd, _) => "application/vnd.port.initrd.v1+gzip",
        (ComponentKind::Rootfs, ComponentFormat::Squashfs) => "application/vnd.port.guest-image.v1+squashfs",
        (ComponentKind::Rootfs, ComponentFormat::Erofs) => "application/vnd.port.guest-image.v1+erofs",
        (ComponentKind::Rootfs, _) => "application/vnd.port.guest-image.v1+ext4",
    }
}
