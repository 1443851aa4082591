//! Every media type that Port reads or writes, once. `vnd.port.*` types are listed in docs/formats/layouts.md.

use port_model::{ArtifactClass, ComponentFormat, ComponentKind};

/// OCI image-spec: an image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image-spec: an image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Config blob of the native layout.
pub const CONFIG: &str = "application/vnd.port.config.v1+json";

/// The `artifactType` of a bundle of this class.
pub fn artifact_type(class: ArtifactClass) -> &'static str {
    match class {
        ArtifactClass::Kernel => "application/vnd.port.kernel.v1",
        ArtifactClass::GuestImage => "application/vnd.port.guest-image.v1",
    }
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
