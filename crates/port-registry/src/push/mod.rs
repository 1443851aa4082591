//! Writing: blobs in one request or in parts, manifests at last. What a registry confirms is compared with what was
//! sent.

pub(crate) mod blob;
mod journal;
pub(crate) mod manifest;
mod parts;
pub(crate) mod session;
mod source;
