//! Reading: manifests into memory, blobs into files. Nothing is returned whose digest was not checked.

pub(crate) mod blob;
mod checksum;
mod follower;
mod journal;
pub(crate) mod manifest;
pub(crate) mod partial;
mod plan;
mod validator;
mod worker;
