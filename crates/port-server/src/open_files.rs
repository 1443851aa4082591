//! How many files and connections this process may have open. A server that spends all of them on idle connections cannot open a
//! blob for the client that asks for one, so connections get most of them and never all.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Of eight files that may be open, so many are connections; the others are what clients ask for, and the log.
const CONNECTIONS_OF_EIGHT: u64 = 6;

/// Asks for as many open files as the operating system lets this process have, since most begin with far fewer. Gives how many
/// that are; nothing where there is no limit.
pub fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // What cannot be raised stays: the number of connections follows it.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
    getrlimit(Resource::Nofile).current
}

/// How many of the connections that are wanted may be open at a time.
pub(crate) fn connections(wanted: usize) -> usize {
    bounded(wanted, getrlimit(Resource::Nofile).current)
}

fn bounded(wanted: usize, files: Option<u64>) -> usize {
    let Some(files) = files else { return wanted };
    let most = usize::try_from(files.saturating_mul(CONNECTIONS_OF_EIGHT) / 8).unwrap_or(usize::MAX);
    wanted.min(most.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_never_take_every_file() {
        assert_eq!(bounded(16_384, Some(1024)), 768);
        assert_eq!(bounded(100, Some(1024)), 100);
        assert_eq!(bounded(100, Some(u64::MAX)), 100);
        assert_eq!((bounded(100, None), bounded(100, Some(0))), (100, 1));
    }

    #[test]
    fn the_limit_is_as_high_as_it_may_be() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        assert_eq!(raise(), maximum);
    }
}
