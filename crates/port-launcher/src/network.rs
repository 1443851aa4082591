//! Waiting for a network that somebody outside still configures: a workload is connected when its first process is there, and its
//! command must not start before.

use std::time::Duration;

use crate::confine::ConfineError;

/// The kernel's table of IPv4 routes, of the namespace that this process is in.
const ROUTES: &str = "/proc/self/net/route";
const INTERVAL: Duration = Duration::from_millis(2);
/// Ten seconds.
const ATTEMPTS: u32 = 5000;

/// Waits until there is a way out, which is configured last.
pub(crate) fn await_way() -> Result<(), ConfineError> {
    for _ in 0..ATTEMPTS {
        if has_way(&std::fs::read_to_string(ROUTES).unwrap_or_default()) {
            return Ok(());
        }
        std::thread::sleep(INTERVAL);
    }
    Err(ConfineError::NoNetwork)
}

/// Whether one of the lines is the default route: its destination, the second word, is 0.
fn has_way(routes: &str) -> bool {
    routes.lines().any(|line| line.split_whitespace().nth(1) == Some("00000000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_default_route_is_a_way_out() {
        let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\n";
        let local = "host0\t0000D10A\t00000000\t0001\t0\n";
        let default = "host0\t00000000\t0100D10A\t0003\t0\n";
        assert!(!has_way("") && !has_way(&format!("{head}{local}")));
        assert!(has_way(&format!("{head}{local}{default}")));
    }
}
