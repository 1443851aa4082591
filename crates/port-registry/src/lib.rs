//! A client of OCI registries (distribution-spec 1.1): bounded, resumed after a kill, trusting nobody.

mod credential;
pub mod credentials;
mod name;

pub use credential::{Anonymous, CredentialError, CredentialSource, Credentials, Fixed, Secret};
pub use name::{RegistryHost, RepositoryName, names_of};
