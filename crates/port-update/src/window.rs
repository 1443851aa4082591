//! The maintenance window: `HH:MM-HH:MM`, in UTC, over midnight where the end is before the beginning.
//!
//! Invariant: no window is always open, and one of no length is never (acceptance Ou-7).

use std::str::FromStr;

const DAY: u64 = 24 * 60;

/// When updates may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Window {
    /// At any time.
    #[default]
    Always,
    /// From the first minute of the day until before the second.
    Daily {
        /// The first minute.
        from: u16,
        /// The minute at which it is over.
        until: u16,
    },
}

/// A text that is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no maintenance window: expected `HH:MM-HH:MM`, or nothing for always")]
pub struct WindowError(String);

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        if text.is_empty() {
            return Ok(Self::Always);
        }
        let window = || {
            let (from, until) = text.split_once('-')?;
            Some(Self::Daily { from: minute(from.trim())?, until: minute(until.trim())? })
        };
        window().ok_or_else(|| WindowError(text.chars().take(64).filter(|c| !c.is_control()).collect()))
    }
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

impl Window {
    /// Seconds until it is open, 0 where it is; `None` where it never is.
    pub fn opens_in(self, now: u64) -> Option<u64> {
        let Self::Daily { from, until } = self else { return Some(0) };
        let (from, until) = (u64::from(from), u64::from(until));
        if from == until {
            return None;
        }
        let minute = now / 60 % DAY;
        let since = (minute + DAY - from) % DAY;
        let length = (until + DAY - from) % DAY;
        Some(if since < length { 0 } else { (DAY - since) * 60 - now % 60 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: u64, minute: u64) -> u64 {
        // Some day; windows do not know which.
        20_000 * 86_400 + hour * 3600 + minute * 60 + 7
    }

    #[test]
    fn ou_7_x_5_a_window_may_go_over_midnight() {
        let cases = [
            ("", at(3, 0), Some(0)),
            ("02:00-04:00", at(3, 0), Some(0)),
            ("02:00-04:00", at(2, 0), Some(0)),
            ("02:00-04:00", at(4, 0), Some(22 * 3600 - 7)),
            ("02:00-04:00", at(1, 59), Some(53)),
            ("23:00-01:00", at(23, 59), Some(0)),
            ("23:00-01:00", at(0, 59), Some(0)),
            ("23:00-01:00", at(1, 0), Some(22 * 3600 - 7)),
            ("03:00-03:00", at(3, 0), None),
            // A clock that was never set is the first minute of 1970.
            ("00:00-00:01", 0, Some(0)),
        ];
        for (text, now, expected) in cases {
            assert_eq!(text.parse::<Window>().unwrap().opens_in(now), expected, "{text} {now}");
        }
    }

    #[test]
    fn ou_7_what_is_no_window_is_refused() {
        for bad in [
            "always",
            "2:00-04:00",
            "02:00",
            "02:00-24:00",
            "02:60-03:00",
            "02:00-04:00-05:00",
            "+2:00-04:00",
        ] {
            assert!(bad.parse::<Window>().is_err(), "{bad}");
        }
    }
}
