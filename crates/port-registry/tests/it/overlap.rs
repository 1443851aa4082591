//! A registry that answers one connection with the whole blob and another one with a range of it: what arrives last in the
//! file is what is checked, whatever was read of it before.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use port_content::hashing::digest_of;
use port_content::{Told, fs};
use port_registry::{Anonymous, Options, Partial, Repository};
use port_testkit::registry::{Abilities, Action, BlobEtags, Registry, Reply, Request};

use crate::support::{noise, options, pull, repository_with};

const SIZE: usize = 2_000_000;
/// No test may take longer, lest one that fails never ends.
const LONGEST: Duration = Duration::from_secs(20);

/// A gate that is opened once.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        let waited = self.1.wait_timeout_while(self.0.lock().unwrap(), LONGEST, |open| !*open);
        assert!(!waited.unwrap().1.timed_out(), "nobody opened the gate");
    }
}

/// Answers the first range of `bytes` with all of them. The other one waits at the gate, then brings what `late` says.
fn two_faced(bytes: &[u8], late: &'static [u8], gate: &Arc<Gate>) -> Registry {
    let (hex, whole, gate) = (digest_of(bytes).hex().to_owned(), bytes.to_vec(), Arc::clone(gate));
    let hook = move |request: &Request| {
        let range = request.header("range").strip_prefix("bytes=").and_then(|range| range.split_once('-'));
        let Some((first, last)) = range.filter(|_| request.target.contains(&hex)) else {
            return Action::Pass;
        };
        if first == "0" {
            return Action::Answer(Reply::new(200, &whole));
        }
        gate.pass();
        // The bytes that came before it are to be hashed when it begins to write.
        std::thread::sleep(Duration::from_millis(300));
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let mut body = whole[first..=last].to_vec();
        body[..late.len()].copy_from_slice(late);
        let place = format!("bytes {first}-{last}/{}", whole.len());
        Action::Answer(Reply::new(206, &body).header("content-range", place))
    };
    let abilities = Abilities { blob_etags: BlobEtags::Absent, ..Abilities::default() };
    let registry = Registry::with(abilities, Box::new(hook));
    registry.add_blob(bytes);
    registry
}

/// Two connections, and a registry that is known to answer ranges.
async fn two_connections(registry: &Registry, directory: &std::path::Path) -> Repository {
    let mut options: Options = options();
    options.transfer.connections = 2;
    let repository = repository_with(registry.host(), options, Arc::new(Anonymous));
    let small = noise(200_000);
    registry.add_blob(&small);
    assert_eq!(pull(&repository, &small, &directory.join("small")).await.unwrap(), small);
    repository
}

/// Opens the gate when all bytes of the first try have arrived; counts who asks for whom to tell, and keeps what each was told at last.
fn watching(gate: &Arc<Gate>, told: &Arc<Mutex<Vec<u64>>>) -> impl Fn() -> Told + Send + Sync + use<> {
    let (gate, told) = (Arc::clone(gate), Arc::clone(told));
    move || {
        let number = told.lock().unwrap().len();
        told.lock().unwrap().push(0);
        let (gate, told) = (Arc::clone(&gate), Arc::clone(&told));
        Box::new(move |frontier| {
            told.lock().unwrap()[number] = frontier;
            if frontier == SIZE as u64 {
                gate.open();
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_over_what_was_hashed_is_hashed_again() {
    let bytes = noise(SIZE);
    // Bytes that are right come late as well; whoever follows cannot know which of them he saw.
    for late in [&b"no such bytes"[..], b""] {
        let (gate, told) = (Arc::<Gate>::default(), Arc::<Mutex<Vec<u64>>>::default());
        let (registry, directory) = (two_faced(&bytes, late, &gate), tempfile::tempdir().unwrap());
        let repository = two_connections(&registry, directory.path()).await;
        let path = directory.path().join("p");
        let partial = Partial::wait(&path).await.unwrap().telling(Arc::new(watching(&gate, &told)));
        repository.blob_to_file(&digest_of(&bytes), SIZE as u64, &partial).await.unwrap();
        assert!(fs::read(&path, 1 << 30).unwrap() == bytes, "unhashed bytes were taken");
        let told = told.lock().unwrap().clone();
        assert!(told.len() == 2 && told.last() == Some(&(SIZE as u64)), "{told:?}");
    }
}
