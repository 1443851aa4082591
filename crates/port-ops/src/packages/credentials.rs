//! Credentials for a package's registry: kraft's own entries from the environment, else those of docker and podman
//! (acceptance K-46, K-47, Ku-24, Ku-25).
//!
//! An entry is for one registry: `KRAFTKIT_AUTH_<host>_USER` and `…_TOKEN`, with the host as it is written or, for shells, in
//! capitals and with `_` for everything that a variable's name cannot have. The token alone does where it is base64 of `user:token`. Certificates are checked whatever
//! `…_VERIFY_SSL` says (C-13).

use std::sync::Arc;

use port_model::Reporter;
use port_registry::credentials::{BasicEnvError, CredentialFiles, Variable, basic_env, split_token};
use port_registry::{CredentialSource, RegistryHost, Secret};

use super::Packages;

const PREFIX: &str = "KRAFTKIT_AUTH_";

/// What the client asks for this registry.
///
/// # Errors
/// Half an entry.
pub(super) fn source(
    packages: &Packages,
    host: &RegistryHost,
) -> Result<Arc<dyn CredentialSource>, BasicEnvError> {
    for name in names(host.as_str()) {
        let variable = |end: &str| {
            let name = format!("{PREFIX}{name}_{end}");
            Variable { value: (packages.variable)(&name).map(Secret::new), name }
        };
        warn(packages.reporter.as_ref(), &variable("VERIFY_SSL"));
        let (mut user, mut token) = (variable("USER"), variable("TOKEN"));
        // A token that has its user in it (acceptance Ku-26).
        if user.value.is_none()
            && let Some((name, secret)) = token.value.as_ref().and_then(split_token)
        {
            (user.value, token.value) = (Some(Secret::new(name)), Some(secret));
        }
        if user.value.is_some() || token.value.is_some() {
            return Ok(Arc::new(basic_env(host, &user, &token)?));
        }
    }
    Ok(Arc::new(CredentialFiles::new(packages.credential_paths.clone())))
}

/// What a host is called in a variable's name.
fn names(host: &str) -> [String; 2] {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    [host.to_owned(), host.chars().map(plain).collect()]
}

fn warn(reporter: &dyn Reporter, verify: &Variable) {
    let off = ["0", "f", "false", "n", "no", "off"];
    let is_off = |value: &Secret| off.contains(&value.expose().to_ascii_lowercase().as_str());
    if verify.value.as_ref().is_some_and(is_off) {
        reporter.note(format!(
            "warning: `{}` is passed over: certificates are always checked; `--ca-file` names authorities of your own",
            verify.name
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ku_24_a_host_is_written_as_it_is_or_as_shells_take_it() {
        assert_eq!(names("ghcr.io"), ["ghcr.io", "GHCR_IO"]);
        assert_eq!(names("127.0.0.1:5000"), ["127.0.0.1:5000", "127_0_0_1_5000"]);
    }
}
