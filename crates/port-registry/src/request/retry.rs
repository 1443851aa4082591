//! How long to wait before the next try: longer each time, never for all at the same moment, and as the server says.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

use crate::options::Patience;

/// What registries answer to an upload whose connection half closed: that it broke, said by them and not found by us.
const CLIENT_CLOSED: u16 = 499;

/// Whether a status may pass.
pub(crate) fn may_pass(status: StatusCode) -> bool {
    status == StatusCode::REQUEST_TIMEOUT
        || status == StatusCode::TOO_MANY_REQUESTS
        || status.as_u16() == CLIENT_CLOSED
        || (status.is_server_error()
            && status != StatusCode::NOT_IMPLEMENTED
            && status != StatusCode::HTTP_VERSION_NOT_SUPPORTED)
}

/// What `Retry-After` says, in seconds or as a date. A date counts from the `Date` of the same answer, so that no
/// clock of ours is compared with theirs.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let (then, now) = (date(headers.get(RETRY_AFTER)?)?, date(headers.get(DATE)?)?);
    u64::try_from(then - now).ok().map(Duration::from_secs)
}

/// Seconds since 1970 of an HTTP date.
fn date(value: &HeaderValue) -> Option<i64> {
    let text = value.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp().as_second())
}

/// The pause before try number `tries + 1`.
pub(crate) fn pause(patience: &Patience, tries: u32, asked: Option<Duration>) -> Duration {
    let random = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
    match asked {
        // A little later than asked, so that not all come back at once.
        Some(asked) => asked.min(patience.longest_pause).mul_f64(1.0 + random / 10.0),
        None => {
            let longest = patience.pause.saturating_mul(1 << tries.saturating_sub(1).min(16));
            longest.min(patience.longest_pause).mul_f64(0.5 + random / 2.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let check = |retry: &str, date: &str, expected: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, retry.parse().unwrap());
            headers.insert(DATE, date.parse().unwrap());
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{retry}");
        };
        let now = "Fri, 20 Nov 2026 08:00:00 GMT";
        check("7", now, Some(7));
        check("Fri, 20 Nov 2026 08:01:30 GMT", now, Some(90));
        check("Fri, 20 Nov 2026 07:00:00 GMT", now, None);
        check("Fri, 20 Nov 2026 08:01:30 GMT", "yesterday", None);
        check("soon", now, None);
        check("-5", now, None);
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let patience = Patience::default();
        for tries in 1..40 {
            let pause = pause(&patience, tries, None);
            assert!(pause >= patience.pause / 2 && pause <= patience.longest_pause, "{tries}: {pause:?}");
        }
        let hour = pause(&patience, 1, Some(Duration::from_secs(3600)));
        assert!(hour <= patience.longest_pause.mul_f64(1.1));
        assert!(pause(&patience, 1, Some(Duration::from_secs(2))) >= Duration::from_secs(2));
    }
}
