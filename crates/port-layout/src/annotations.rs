//! Every annotation key that Port reads or writes, once.

/// OCI image-spec: the file's base name; what `oras pull` writes the layer to.
pub const TITLE: &str = "org.opencontainers.image.title";
/// OCI image-spec: the name of an entry in an image layout's `index.json`.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Port: what the variant boots on.
pub const SUBSTRATE: &str = "vnd.port.substrate";
/// Port: how the variant is isolated.
pub const PROTECTION_MODE: &str = "vnd.port.protection-mode";
