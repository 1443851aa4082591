//! Real Debian kernel packages, fetched once with `apt-get download`; skipped with words where that is not
//! possible. The versions follow the distribution, so only what holds for all of them is asserted.

#[cfg(test)]
mod debian;
