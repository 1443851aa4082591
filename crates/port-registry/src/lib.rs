//! A client of OCI registries (distribution-spec 1.1): bounded, resumed after a kill, trusting nobody.

mod address;
mod auth;
mod capability;
mod client;
mod credential;
pub mod credentials;
mod descriptor;
mod endpoint;
mod error;
mod host;
mod list;
mod locked;
pub mod media;
mod name;
mod options;
mod pull;
mod push;
mod request;
mod sign_in;
mod tag;

pub use client::{Client, Repository};
pub use credential::{Anonymous, CredentialError, CredentialSource, Credentials, Fixed, Secret};
pub use descriptor::Descriptor;
pub use error::{Failure, Kind, Operation, Refusal, RegistryError, Subject};
pub use name::{RegistryHost, RepositoryName, names_of};
pub use options::{ClientCertificate, HostOptions, Options, Patience, Transfer, Transport, UploadStyle};
pub use pull::blob::forget_partial;
pub use pull::manifest::{Manifest, Resolved};
pub use push::blob::{BlobSource, BlobUpload, Pushed};
pub use push::manifest::{Condition, Written};
pub use sign_in::sign_in;
pub use tag::{Tag, TagOrDigest};
