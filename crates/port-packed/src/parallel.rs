//! Work spread over threads, results taken in order, a bounded number of them in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use crate::{Control, PackedError};

/// How many jobs may be under way or waiting to be taken: their results are what takes memory.
fn ahead(threads: usize) -> usize {
    threads + threads.div_ceil(2) + 1
}

/// Buffers that go from the threads that fill them to the one that takes them, and back: allocated and freed by
/// different threads, each allocator's arena would keep some.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    pub(crate) fn take(&self) -> Vec<u8> {
        self.buffers.lock().ok().and_then(|mut buffers| buffers.pop()).unwrap_or_default()
    }

    pub(crate) fn give(&self, buffer: Vec<u8>) {
        if let Ok(mut buffers) = self.buffers.lock() {
            buffers.push(buffer);
        }
    }
}

enum Done<R> {
    Result(usize, Result<R, PackedError>),
    /// A thread ended by a panic: its result will never come.
    Lost,
}

/// Runs `work` on every job with as many threads and hands the results to `take` in the order of the jobs.
///
/// Each thread makes one `state` and keeps it. The first error stops everything.
pub(crate) fn ordered<J: Send, S, R: Send>(
    threads: usize,
    control: &Control,
    jobs: impl Iterator<Item = J>,
    state: impl Fn() -> Result<S, PackedError> + Sync,
    work: impl Fn(&mut S, J) -> Result<R, PackedError> + Sync,
    mut take: impl FnMut(R) -> Result<(), PackedError>,
) -> Result<(), PackedError> {
    let (job_sender, job_receiver) = mpsc::channel::<(usize, J)>();
    let job_receiver = Mutex::new(job_receiver);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let sender = Report { sender: sender.clone() };
            scope.spawn(|| run(sender, &job_receiver, &state, &work));
        }
        drop(sender);
        // Moved in here so that it is dropped, and the threads end, before the scope waits for them.
        let job_sender = job_sender;
        let mut jobs = jobs.enumerate();
        let mut waiting = BTreeMap::new();
        let (mut sent, mut taken) = (0, 0);
        loop {
            control.check()?;
            while sent < taken + ahead(threads) {
                let Some(job) = jobs.next() else { break };
                if job_sender.send(job).is_err() {
                    return Err(lost());
                }
                sent += 1;
            }
            if taken == sent {
                return Ok(());
            }
            match receiver.recv() {
                Ok(Done::Result(index, result)) => waiting.insert(index, result?),
                Ok(Done::Lost) | Err(_) => return Err(lost()),
            };
            while let Some(result) = waiting.remove(&taken) {
                taken += 1;
                take(result)?;
            }
        }
    })
}

/// Runs `work` on every item, in about their order, with as many threads; each makes one `state` and keeps it.
///
/// The first error stops everything.
pub(crate) fn each<T: Sync, S>(
    threads: usize,
    control: &Control,
    items: &[T],
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &T) -> Result<(), PackedError> + Sync,
) -> Result<(), PackedError> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut own = state();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            control.check()?;
            // Where one fails, the others need not go on.
            work(&mut own, item).inspect_err(|_| next.store(items.len(), Ordering::Relaxed))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let helpers = threads.min(items.len()).saturating_sub(1);
        let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(run)).collect();
        let own = run();
        helpers.into_iter().map(|helper| helper.join().unwrap_or_else(|_| Err(lost()))).fold(own, Result::and)
    })
}

fn lost() -> PackedError {
    PackedError::Compress("a working thread was lost".to_owned())
}

/// Sends results, and says so when its thread panics.
struct Report<R> {
    sender: Sender<Done<R>>,
}

impl<R> Drop for Report<R> {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.sender.send(Done::Lost);
        }
    }
}

fn run<J, S, R>(
    report: Report<R>,
    jobs: &Mutex<Receiver<(usize, J)>>,
    state: &impl Fn() -> Result<S, PackedError>,
    work: &impl Fn(&mut S, J) -> Result<R, PackedError>,
) {
    let mut kept: Option<S> = None;
    loop {
        let job = jobs.lock().ok().and_then(|jobs| jobs.recv().ok());
        let Some((index, job)) = job else { return };
        let result = match kept.take().map_or_else(state, Ok) {
            Ok(mut own) => {
                let result = work(&mut own, job);
                kept = Some(own);
                result
            }
            Err(error) => Err(error),
        };
        if report.sender.send(Done::Result(index, result)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(threads: usize, fail_at: Option<u32>) -> Result<Vec<u32>, PackedError> {
        let mut taken = Vec::new();
        let work = |_: &mut (), job: u32| {
            if Some(job) == fail_at { Err(PackedError::Changed) } else { Ok(job * 2) }
        };
        let control = Control::default();
        ordered(
            threads,
            &control,
            0..200,
            || Ok(()),
            work,
            |result| {
                taken.push(result);
                Ok(())
            },
        )?;
        Ok(taken)
    }

    #[test]
    fn results_come_in_order_and_errors_end_it() {
        for threads in [1, 2, 7] {
            assert_eq!(sum(threads, None).unwrap(), (0..200).map(|n| n * 2).collect::<Vec<_>>());
            assert!(matches!(sum(threads, Some(150)), Err(PackedError::Changed)));
        }
    }
}
