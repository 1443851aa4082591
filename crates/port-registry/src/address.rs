//! Which addresses a registry may send us to: public ones, and those of its own kind, if it has one.
//!
//! A hostile registry could otherwise make Port ask a cloud's metadata service or a neighbour's admin port. The
//! check is made on the addresses that are connected to, not on names: a name can resolve to anything.
//!
//! Behind a forward proxy it is the proxy that resolves and connects. Port then refuses addresses that are written as such,
//! and can say nothing of names; the proxy's own name and address are the user's choice and are not judged.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Kinds of addresses that are not public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressKind {
    Public,
    Loopback,
    Private,
    /// Link-local, unspecified, multicast, documentation: nothing that a registry answers from.
    Special,
}

/// The kind of an address.
pub(crate) fn kind_of(address: IpAddr) -> AddressKind {
    match address {
        IpAddr::V4(address) => kind_of_v4(address),
        IpAddr::V6(address) => kind_of_v6(address),
    }
}

fn kind_of_v4(address: Ipv4Addr) -> AddressKind {
    let [a, b, c, _] = address.octets();
    match () {
        () if address.is_loopback() => AddressKind::Loopback,
        // 100.64/10 is carrier-grade NAT, which clouds use inside.
        () if address.is_private() || (a == 100 && b & 0xc0 == 64) => AddressKind::Private,
        () if address.is_link_local()
            || address.is_unspecified()
            || address.is_broadcast()
            || address.is_multicast()
            || address.is_documentation()
            || a == 0
            || a >= 240
            || (a == 198 && b & 0xfe == 18)
            || (a == 192 && b == 0 && c == 0) =>
        {
            AddressKind::Special
        }
        () => AddressKind::Public,
    }
}

fn kind_of_v6(address: Ipv6Addr) -> AddressKind {
    // Addresses that carry an IPv4 address are judged by it: mapped, compatible, NAT64, 6to4.
    let octets = address.octets();
    let segments = address.segments();
    let inner = |at: usize| match octets.get(at..at + 4) {
        Some(&[a, b, c, d]) => kind_of_v4(Ipv4Addr::new(a, b, c, d)),
        _ => AddressKind::Special,
    };
    match segments {
        _ if address.is_loopback() => AddressKind::Loopback,
        _ if address.is_unspecified() || address.is_multicast() => AddressKind::Special,
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => inner(12),
        [0x2002, ..] => inner(2),
        [first, ..] if first & 0xfe00 == 0xfc00 => AddressKind::Private,
        [first, ..] if first & 0xffc0 == 0xfe80 || first & 0xffc0 == 0xfec0 => AddressKind::Special,
        [0x2001, 0xdb8, ..] | [0x64, 0xff9b, 1, ..] => AddressKind::Special,
        _ => AddressKind::Public,
    }
}

/// Whether a URL leads to this very host, as it is written: a name is not looked up, since it may lead elsewhere a moment
/// later. `localhost` and the names below it are this host by RFC 6761.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(address) => kind_of(address) == AddressKind::Loopback,
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// The kind that all these addresses are of. A name with addresses of several kinds, which whoever has the name can give it,
/// is of none; and from special ones no registry answers.
fn kind_of_all(mut addresses: impl Iterator<Item = IpAddr>) -> Option<AddressKind> {
    let kind = kind_of(addresses.next()?);
    (kind != AddressKind::Special && addresses.all(|address| kind_of(address) == kind)).then_some(kind)
}

/// Which addresses other than public ones may be connected to.
#[derive(Debug, Clone)]
pub(crate) struct Allowed(Vec<AddressKind>);

impl Allowed {
    /// Public addresses, and the kinds that the registry itself is at.
    pub(crate) async fn for_registry(base: &Url) -> Self {
        let mut kinds = vec![AddressKind::Public];
        let port = base.port_or_known_default().unwrap_or(443);
        // A registry whose name does not resolve gives no one else any right.
        if let Some(host) = base.host_str() {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            if let Ok(addresses) = tokio::net::lookup_host((host, port)).await {
                kinds.extend(kind_of_all(addresses.map(|address| address.ip())));
            }
        }
        Self(kinds)
    }

    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        self.0.contains(&kind_of(address))
    }

    /// Refuses a URL whose host is written as an address that is not allowed. Names are judged when connecting.
    pub(crate) fn check_literal(&self, url: &Url) -> Result<(), String> {
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match host.parse::<IpAddr>() {
            Ok(address) if !self.allows(address) => {
                Err(format!("a connection to {address}, which is not a public address"))
            }
            _ => Ok(()),
        }
    }
}

/// A name that resolves to an address that is not allowed.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` has the address {address}, which is not a public one")]
pub(crate) struct ForbiddenAddress {
    name: String,
    address: IpAddr,
}

/// The names of hosts that a registry sent us to. Any other name that is looked up on the way there is the forward proxy's.
#[derive(Debug, Default)]
pub(crate) struct Targets(Mutex<HashSet<String>>);

impl Targets {
    /// To be called before anything is asked for at a URL outside.
    pub(crate) fn add(&self, url: &Url) {
        let host = url.host_str().unwrap_or_default().to_owned();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(host);
    }

    fn hold(&self, name: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }
}

/// Resolves names for connections to where a registry sent us.
#[derive(Debug)]
pub(crate) struct VettingResolver {
    pub(crate) allowed: Arc<Allowed>,
    pub(crate) targets: Arc<Targets>,
}

impl Resolve for VettingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (allowed, targets) = (Arc::clone(&self.allowed), Arc::clone(&self.targets));
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One forbidden address condemns the name: the connector would be free to choose it.
            if let Some(address) = found.iter().find(|address| !allowed.allows(address.ip()))
                && targets.hold(&name)
            {
                return Err(ForbiddenAddress { name, address: address.ip() }.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The forbidden address behind a failed connection, if that is why it failed.
pub(crate) fn forbidden_in<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a ForbiddenAddress> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_public_are_known_in_every_dress() {
        let check = |text: &str, expected: AddressKind| {
            assert_eq!(kind_of(text.parse().unwrap()), expected, "{text}");
        };
        for public in ["140.82.112.3", "2606:4700::1", "2002:8c52:7003::1", "64:ff9b::8c52:7003"] {
            check(public, AddressKind::Public);
        }
        for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"] {
            check(loopback, AddressKind::Loopback);
        }
        for private in ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "::ffff:10.0.0.1"] {
            check(private, AddressKind::Private);
        }
        for special in [
            "169.254.169.254",
            "0.0.0.0",
            "::",
            "fe80::1",
            "224.0.0.1",
            "::ffff:169.254.169.254",
            "2002:a9fe:a9fe::1",
            "255.255.255.255",
            "0.1.2.3",
            "::169.254.169.254",
        ] {
            check(special, AddressKind::Special);
        }
    }

    #[test]
    fn this_host_is_known_by_its_names_and_addresses() {
        let check = |url: &str| is_loopback(&Url::parse(url).unwrap());
        for here in ["http://localhost:5000/", "http://127.0.0.9/", "http://[::1]/", "http://a.localhost/"] {
            assert!(check(here), "{here}");
        }
        for there in ["http://registry/", "http://0.0.0.0/", "http://localhost.example/", "http://10.0.0.1/"]
        {
            assert!(!check(there), "{there}");
        }
    }

    #[tokio::test]
    async fn dns_name_of_a_private_address_is_refused() {
        let allowed = Arc::new(Allowed(vec![AddressKind::Public]));
        let resolver = VettingResolver { allowed, targets: Arc::default() };
        let resolve = || resolver.resolve("localhost".parse().unwrap());
        assert!(resolve().await.is_ok(), "nobody sent us there: it is the proxy");
        resolver.targets.add(&Url::parse("https://LOCALHOST:5000/x").unwrap());
        let Err(error) = resolve().await else { panic!("localhost was resolved") };
        assert!(forbidden_in(&*error).is_some(), "{error}");
    }

    #[test]
    fn a_name_with_addresses_of_several_kinds_has_none() {
        let check = |texts: &[&str], expected: Option<AddressKind>| {
            assert_eq!(kind_of_all(texts.iter().map(|text| text.parse().unwrap())), expected, "{texts:?}");
        };
        check(&["10.0.0.1", "fd00::1"], Some(AddressKind::Private));
        check(&["127.0.0.1", "::1"], Some(AddressKind::Loopback));
        check(&["140.82.112.3", "10.0.0.1"], None);
        check(&["127.0.0.1", "10.0.0.1"], None);
        check(&["169.254.169.254"], None);
        check(&[], None);
    }

    #[tokio::test]
    async fn a_registry_may_send_us_to_its_own_kind_only() {
        let allowed = Allowed::for_registry(&Url::parse("http://127.0.0.1:5000/").unwrap()).await;
        let check = |url: &str| allowed.check_literal(&Url::parse(url).unwrap()).is_ok();
        assert!(check("http://127.0.0.1:9000/x") && check("https://140.82.112.3/"));
        assert!(!check("http://10.0.0.1/") && !check("http://169.254.169.254/latest"));
        assert!(!check("http://[::ffff:169.254.169.254]/") && !check("http://0x7f.1.1.1:1@10.1.1.1/"));
    }
}
