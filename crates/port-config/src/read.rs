//! placeholder
use crate::*;
use port_model::Architecture;
pub(crate) fn project(file: &str, text: &str, host: Architecture) -> Result<Project, ConfigError> {
    let _ = (file, text, host);
    unimplemented!()
}
pub(crate) fn lock(file: &str, text: &str) -> Result<Lock, ConfigError> {
    let _ = (file, text);
    unimplemented!()
}
