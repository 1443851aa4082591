//! What a cache does that takes no writing.

use std::io::{Error, ErrorKind};
use std::rc::Rc;
use std::sync::Mutex;
use std::time::SystemTime;

use port_content::witness::{Step, Witness, seen_by};
use port_model::Reporter;

use super::*;
use crate::record::tests::sample;

/// Refuses what makes a file.
struct Refusing(ErrorKind);

impl Witness for Refusing {
    fn sees(&self, step: &Step<'_>) -> std::io::Result<Option<usize>> {
        if matches!(step, Step::Create(_)) { Err(Error::from(self.0)) } else { Ok(None) }
    }
}

/// Remembers what was said.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Reporter for Heard {
    fn event(&self, event: Event) {
        if let Event::Note { message } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

#[test]
fn s_13_where_nothing_can_be_written_a_hit_is_a_hit() {
    let root = tempfile::tempdir().unwrap();
    let heard = Arc::<Heard>::default();
    let reporter = Arc::clone(&heard) as Arc<dyn Reporter>;
    let options = Options { reporter, ..Options::new(root.path(), || SystemTime::UNIX_EPOCH) };
    let manager = BaseImageManager::new(options).unwrap();
    let bundle = sample(&manager.cache_directory().join("latest-a"));
    bundle.write(&bundle.bundle_dir).unwrap();
    for kind in [ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied, ErrorKind::StorageFull] {
        let touched = seen_by(Rc::new(Refusing(kind)), || manager.touched(bundle.clone())).unwrap();
        assert_eq!(touched.last_accessed_at, "1970-01-01T00:00:00.000Z");
        let said = heard.0.lock().unwrap().pop().unwrap();
        assert!(
            said.starts_with("warning: the last use of the base image `latest-a` is not written down: "),
            "{said}"
        );
    }
    assert_eq!(manager.list(), std::slice::from_ref(&bundle));
    let broken = seen_by(Rc::new(Refusing(ErrorKind::Other)), || manager.touched(bundle));
    assert!(broken.is_err(), "other failures are failures");
}
