//! A client of OCI registries (distribution-spec 1.1): bounded, resumed after a kill, trusting nobody.

mod address;
mod auth;
mod capability;
mod credential;
pub mod credentials;
mod endpoint;
mod error;
mod host;
mod name;
mod options;
mod request;
mod tag;

pub use credential::{Anonymous, CredentialError, CredentialSource, Credentials, Fixed, Secret};
pub use error::{Failure, Kind, Operation, Refusal, RegistryError, Subject};
pub use name::{RegistryHost, RepositoryName, names_of};
pub use options::{ClientCertificate, HostOptions, Options, Patience, Transfer, Transport, UploadStyle};
pub use tag::{Tag, TagOrDigest};
