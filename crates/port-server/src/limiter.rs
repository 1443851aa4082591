//! What one client address may use: connections at the same time, requests per second, wrong tokens. A client is an IPv4 address or an
//! IPv6 network of 64 bits, since whoever has one address of those has them all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Says how much time has passed: never set back, unlike a clock.
pub type Ticks = Arc<dyn Fn() -> Instant + Send + Sync>;

/// From so many clients on, those that use nothing are forgotten.
const MANY: usize = 4096;
/// How many wrong tokens are forgiven per second.
const FORGIVEN: f64 = 1.0;

/// Limits per client; nothing is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PerClient {
    pub(crate) connections: usize,
    pub(crate) requests_per_second: Option<u32>,
    pub(crate) wrong_tokens: u32,
}

/// What is left of an allowance that refills with time.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(size: f64, now: Instant) -> Self {
        Self { left: size, at: now }
    }

    fn refill(&mut self, size: f64, rate: f64, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * rate).min(size);
        self.at = now;
    }

    /// Takes one, or says how long there will be none.
    fn take(&mut self, rate: f64) -> Result<(), Duration> {
        if self.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.left) / rate));
        }
        self.left -= 1.0;
        Ok(())
    }
}

#[derive(Debug)]
struct Client {
    connections: usize,
    requests: Bucket,
    wrong: Bucket,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Limiter {
    limits: PerClient,
    clients: Arc<Mutex<HashMap<IpAddr, Client>>>,
}

/// A connection that counts until it is dropped.
pub(crate) struct Counted {
    limiter: Limiter,
    client: IpAddr,
}

impl Limiter {
    pub(crate) fn new(limits: PerClient) -> Self {
        Self { limits, clients: Arc::default() }
    }

    /// One more connection; nothing where the client has enough.
    pub(crate) fn connect(&self, remote: IpAddr, now: Instant) -> Option<Counted> {
        let mut clients = self.lock();
        let client = self.client(&mut clients, remote, now);
        if client.connections >= self.limits.connections {
            return None;
        }
        client.connections += 1;
        Some(Counted { limiter: self.clone(), client: network(remote) })
    }

    /// One more request; else how long to wait.
    pub(crate) fn request(&self, remote: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut clients = self.lock();
        let client = self.client(&mut clients, remote, now);
        if client.wrong.left < 1.0 {
            return client.wrong.take(FORGIVEN);
        }
        match self.limits.requests_per_second {
            Some(rate) => client.requests.take(f64::from(rate)),
            None => Ok(()),
        }
    }

    /// A token was wrong.
    pub(crate) fn wrong(&self, remote: IpAddr, now: Instant) {
        let mut clients = self.lock();
        let client = self.client(&mut clients, remote, now);
        client.wrong.left = (client.wrong.left - 1.0).max(0.0);
    }

    fn client<'a>(
        &self,
        clients: &'a mut HashMap<IpAddr, Client>,
        remote: IpAddr,
        now: Instant,
    ) -> &'a mut Client {
        // One second's worth may come at once.
        let rate = f64::from(self.limits.requests_per_second.unwrap_or(0));
        let wrong = f64::from(self.limits.wrong_tokens);
        if clients.len() >= MANY && !clients.contains_key(&network(remote)) {
            clients.retain(|_, client| {
                client.requests.refill(rate, rate, now);
                client.wrong.refill(wrong, FORGIVEN, now);
                client.connections > 0 || client.requests.left < rate || client.wrong.left < wrong
            });
        }
        let client = clients.entry(network(remote)).or_insert_with(|| Client {
            connections: 0,
            requests: Bucket::full(rate, now),
            wrong: Bucket::full(wrong, now),
        });
        client.requests.refill(rate, rate, now);
        client.wrong.refill(wrong, FORGIVEN, now);
        client
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(client) = self.limiter.lock().get_mut(&self.client) {
            client.connections = client.connections.saturating_sub(1);
        }
    }
}

/// What counts as one client.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_has_its_allowance_and_others_have_theirs() {
        let limits = PerClient { connections: 2, requests_per_second: Some(2), wrong_tokens: 3 };
        let limiter = Limiter::new(limits);
        let (a, b) = (address("2001:db8::1"), address("2001:db8:0:1::1"));
        let now = Instant::now();
        let first = limiter.connect(a, now).unwrap();
        let _second = limiter.connect(address("2001:db8::2"), now).unwrap();
        assert!(limiter.connect(a, now).is_none() && limiter.connect(b, now).is_some());
        drop(first);
        assert!(limiter.connect(a, now).is_some());
        assert!(limiter.request(a, now).is_ok() && limiter.request(a, now).is_ok());
        let wait = limiter.request(a, now).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        assert!(limiter.request(b, now).is_ok());
        assert!(limiter.request(a, now + wait).is_ok());
    }

    #[test]
    fn who_guesses_tokens_waits() {
        let limiter = Limiter::new(PerClient { connections: 9, requests_per_second: None, wrong_tokens: 3 });
        let (guesser, other, now) = (address("192.0.2.1"), address("192.0.2.2"), Instant::now());
        for _ in 0..3 {
            assert!(limiter.request(guesser, now).is_ok());
            limiter.wrong(guesser, now);
        }
        assert!(
            limiter.request(address("::ffff:192.0.2.1"), now).is_err(),
            "the same client in other clothes"
        );
        assert!(limiter.request(other, now).is_ok());
        assert!(limiter.request(guesser, now + Duration::from_secs(2)).is_ok());
    }

    #[test]
    fn clients_that_use_nothing_are_forgotten() {
        let limiter =
            Limiter::new(PerClient { connections: 9, requests_per_second: Some(1), wrong_tokens: 3 });
        let now = Instant::now();
        for number in 0..3 * MANY as u128 {
            let remote = IpAddr::V6(Ipv6Addr::from_bits(number << 64));
            // A second apart: whoever came before has its whole allowance again.
            assert!(limiter.request(remote, now + Duration::from_secs(number as u64)).is_ok());
        }
        assert!(limiter.lock().len() <= MANY);
    }
}
