//! Which layers a package may have, and how they are packed (acceptance Ku-19). The only list of them.

use port_layout::Descriptor;
use port_layout::media_types::OCI_LAYER_TAR;

use super::PackageError;

/// How an archive lies in its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// As it is.
    Plain,
    /// Compressed.
    Gzip,
}

/// How a layer is packed, by its media type.
///
/// # Errors
/// [`PackageError::LayerType`], where it is of no kind that kraft takes.
pub(super) fn packing(layer: &Descriptor) -> Result<Packing, PackageError> {
    match layer.media_type.as_str() {
        OCI_LAYER_TAR | "application/vnd.docker.image.rootfs.diff.tar" => Ok(Packing::Plain),
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Ok(Packing::Gzip),
        other => Err(PackageError::LayerType {
            digest: layer.digest.clone(),
            expected: "a tar layer of OCI or Docker, plain or gzip",
            found: other.to_owned(),
        }),
    }
}
