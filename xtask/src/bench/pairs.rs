//! Interleaved pairs: A and B are measured in turns, and the order changes from pair to pair, so that a machine that
//! warms up, throttles or is busy with something else does it to both.

use crate::failure::Outcome;

/// Milliseconds of one pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    pub(super) a: f64,
    pub(super) b: f64,
}

/// Runs both once unmeasured, then `count` pairs. A subject returns its own milliseconds.
pub(super) fn measure(
    count: usize,
    a: &mut dyn FnMut() -> Outcome<f64>,
    b: &mut dyn FnMut() -> Outcome<f64>,
) -> Outcome<Vec<Pair>> {
    a()?;
    b()?;
    let mut pairs = Vec::new();
    for index in 0..count {
        let pair = if index.is_multiple_of(2) {
            let first = a()?;
            Pair { a: first, b: b()? }
        } else {
            let first = b()?;
            Pair { a: a()?, b: first }
        };
        println!("pair {:>2} of {count}: {:>9.1} ms {:>9.1} ms", index + 1, pair.a, pair.b);
        pairs.push(pair);
    }
    Ok(pairs)
}

/// What a row of a report needs.
#[derive(Debug, PartialEq)]
pub(super) struct Summary {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

pub(super) fn summary(values: impl IntoIterator<Item = f64>) -> Summary {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let middle = values.len() / 2;
    let median = if values.len().is_multiple_of(2) {
        f64::midpoint(at(middle.wrapping_sub(1)), at(middle))
    } else {
        at(middle)
    };
    Summary { median, least: at(0), most: at(values.len().wrapping_sub(1)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn medians_of_even_and_odd_counts() {
        assert_eq!(summary([3.0, 1.0, 2.0]), Summary { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(summary([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert!(summary([]).median.is_nan());
    }

    #[test]
    fn the_order_changes_and_the_first_round_is_not_measured() {
        let order = RefCell::new(String::new());
        let subject = |name: char| {
            order.borrow_mut().push(name);
            Ok(order.borrow().len() as f64)
        };
        let other = |name: char| {
            order.borrow_mut().push(name);
            Ok(order.borrow().len() as f64)
        };
        let pairs = measure(2, &mut || subject('a'), &mut || other('b')).unwrap();
        assert_eq!(order.into_inner(), "ababba");
        assert_eq!(pairs, [Pair { a: 3.0, b: 4.0 }, Pair { a: 6.0, b: 5.0 }]);
    }
}
