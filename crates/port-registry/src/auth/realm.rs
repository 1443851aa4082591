//! Whether a token service that a registry names may be asked, and may see the credentials.
//!
//! The rule (a registry is not trusted): plain http only at the registry's own host and only where the registry
//! itself is asked so; other hosts by https, at addresses that [`crate::address`] allows. Credentials go to the
//! registry's host, to a sibling or parent of it, or where the options trust it.

use reqwest::Url;

use crate::endpoint::shown;

/// The longest realm, in bytes.
const LONGEST: usize = 2048;

/// A vetted token service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Realm {
    pub(crate) url: Url,
    /// Whether it is at the registry's own host.
    pub(crate) own_host: bool,
    /// Whether it may see the credentials.
    pub(crate) trusted: bool,
}

/// Vets a realm; the error is what a message says about it.
pub(crate) fn vet(realm: &str, registry: &Url, trusted_realms: &[String]) -> Result<Realm, String> {
    if realm.len() > LONGEST {
        return Err("a token service with an endless address".to_owned());
    }
    let url = Url::parse(realm).map_err(|_| "a token service whose address is no URL".to_owned())?;
    let what = shown(&url);
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("the token service {what} with a user name in its address"));
    }
    let own_host = url.host().is_some() && url.host() == registry.host();
    match url.scheme() {
        "https" => {}
        "http" if own_host && registry.scheme() == "http" => {}
        _ => return Err(format!("the token service {what}, which is not asked by https")),
    }
    let (Some(host), Some(home)) = (url.host_str(), registry.host_str()) else {
        return Err(format!("the token service {what} without a host"));
    };
    let trusted = own_host || same_site(host, home) || trusted_realms.iter().any(|known| known == host);
    Ok(Realm { url, own_host, trusted })
}

/// Whether two names are siblings, or one is the parent of the other; the part in common has two labels or more.
/// Addresses have no relatives.
fn same_site(one: &str, other: &str) -> bool {
    let is_address = |host: &str| host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
    if is_address(one) || is_address(other) {
        return false;
    }
    let parent = |host: &str| host.split_once('.').map(|(_, parent)| parent.to_owned()).unwrap_or_default();
    let enough = |common: &str| common.contains('.');
    let (one_parent, other_parent) = (parent(one), parent(other));
    (one_parent == other_parent && enough(&one_parent))
        || (one_parent == other && enough(other))
        || (other_parent == one && enough(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(realm: &str, registry: &str) -> Result<bool, String> {
        vet(realm, &Url::parse(registry).unwrap(), &["auth.example.net".to_owned()])
            .map(|realm| realm.trusted)
    }

    #[test]
    fn realms_that_are_asked() {
        for (realm, registry, trusted) in [
            ("https://ghcr.io/token", "https://ghcr.io/v2/", true),
            ("https://auth.docker.io/token", "https://registry-1.docker.io/v2/", true),
            ("https://gitlab.com/jwt/auth", "https://registry.gitlab.com/v2/", true),
            ("https://auth.example.net/", "https://ghcr.io/v2/", true),
            ("http://127.0.0.1:5001/token", "http://127.0.0.1:5000/v2/", true),
            ("https://evil.example/token", "https://ghcr.io/v2/", false),
            ("https://other.io/token", "https://ghcr.io/v2/", false),
        ] {
            assert_eq!(trust(realm, registry), Ok(trusted), "{realm}");
        }
    }

    #[test]
    fn realm_downgrade_and_odd_realms_are_refused() {
        for (realm, registry) in [
            ("http://ghcr.io/token", "https://ghcr.io/v2/"),
            ("http://10.0.0.1/token", "http://127.0.0.1:5000/v2/"),
            ("file:///etc/passwd", "https://ghcr.io/v2/"),
            ("https://ghcr.io@evil.example/", "https://ghcr.io/v2/"),
            ("gopher://x", "https://ghcr.io/v2/"),
            ("", "https://ghcr.io/v2/"),
        ] {
            assert!(trust(realm, registry).is_err(), "{realm}");
        }
    }
}
