//! Who works on a bundle, and who uses it (acceptance C-32).
//!
//! | lock | shared | alone |
//! | --- | --- | --- |
//! | `.locks/<id>.use` | whoever uses the bundle | whoever evicts it |
//! | `.locks/<id>.prepare` | | whoever makes it, or evicts it |
//!
//! Whoever uses or makes waits for its lock; whoever evicts never waits: a bundle that is locked stays. A bundle that is in use can
//! be made anew: its directory is swapped whole, and open files stay what they are.

use std::path::{Path, PathBuf};

use port_content::FsError;
use port_content::lock::{self, Lock, Mode};

/// A promise that a bundle is not evicted, by any process, while this lives.
#[derive(Debug)]
pub struct Lease(#[expect(dead_code, reason = "held for its lock")] Lock);

/// The right to make or evict a bundle.
#[derive(Debug)]
pub(crate) struct Work(#[expect(dead_code, reason = "held for their locks")] Vec<Lock>);

/// Waits until nobody evicts the bundle. Blocks.
pub(crate) fn lease(cache: &Path, id: &str) -> Result<Lease, FsError> {
    // A cache that may only be read serves, too: whoever can write there sees this lock.
    lock::lock_to_read(&path(cache, id, "use")).map(Lease)
}

/// Waits until nobody else makes the bundle. Blocks.
pub(crate) fn prepare(cache: &Path, id: &str) -> Result<Work, FsError> {
    lock::lock(&path(cache, id, "prepare"), Mode::Exclusive).map(|lock| Work(vec![lock]))
}

/// The right to evict, if nobody uses or makes the bundle.
pub(crate) fn evict(cache: &Path, id: &str) -> Result<Option<Work>, FsError> {
    let Some(using) = lock::try_lock(&path(cache, id, "use"), Mode::Exclusive)? else { return Ok(None) };
    let making = lock::try_lock(&path(cache, id, "prepare"), Mode::Exclusive)?;
    Ok(making.map(|making| Work(vec![using, making])))
}

fn path(cache: &Path, id: &str, what: &str) -> PathBuf {
    cache.join(".locks").join(format!("{id}.{what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_32_what_is_used_or_made_is_not_evicted() {
        let cache = tempfile::tempdir().unwrap();
        let can_evict = |id: &str| evict(cache.path(), id).unwrap().is_some();
        assert!(can_evict("a"));
        let (one, two) = (lease(cache.path(), "a").unwrap(), lease(cache.path(), "a").unwrap());
        assert!(!can_evict("a") && can_evict("b"));
        drop(one);
        assert!(!can_evict("a"));
        let making = prepare(cache.path(), "a").unwrap();
        drop(two);
        assert!(!can_evict("a"), "a bundle that is made is not evicted");
        drop(making);
        assert!(can_evict("a"));
    }
}
