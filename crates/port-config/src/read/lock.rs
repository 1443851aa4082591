//! Reads a `port.lock`.

use port_model::{Architecture, Digest, FileName, KernelFacts, ProtectionMode, Substrate, Variant};

use crate::lock::{LOCK_VERSION, Lock, LockEntry, LockedInput, LockedOutput};
use port_document::{Findings, Node, Table};

/// TOML's integers have 64 bits and a sign; other readers of the file take no larger ones.
const LARGEST_SIZE: u64 = i64::MAX.unsigned_abs();

/// Reads the lock. Of another version nothing is read but the number.
pub(super) fn read(findings: &Findings, root: &Table<'_>) -> Option<Lock> {
    let version = root.decisive("version")?;
    let found = version.integer(0..=LARGEST_SIZE)?;
    if found != LOCK_VERSION {
        let message = format!("expected lock version {LOCK_VERSION}, found version {found}");
        let hint = "use the Port that wrote the file, or remove it and build again";
        findings.add_with_hint(&version.place, message, hint);
        return None;
    }
    let mut lock = Lock::default();
    let complete = root.maybe("variants", |node| {
        node.each(|node| {
            let place = node.place.clone();
            let entry = entry(node)?;
            match lock.set(entry) {
                None => Some(()),
                Some(earlier) => {
                    let message = format!("`{}` of `{}` is locked twice", earlier.variant, earlier.artifact);
                    findings.add(&place, message);
                    None
                }
            }
        })
    });
    root.finish();
    complete.map(|_| lock)
}

fn entry(node: Node<'_>) -> Option<LockEntry> {
    let table = node.table()?;
    let artifact = table.required("artifact").and_then(|node| node.text().map(str::to_owned));
    let variant = table.required("selector").and_then(variant);
    let kernel = table.maybe("kernel", kernel);
    let inputs = table.maybe("inputs", |node| node.each(input));
    let outputs = table.maybe("outputs", |node| node.each(output));
    table.finish();
    Some(LockEntry {
        artifact: artifact?,
        variant: variant?,
        inputs: inputs?.unwrap_or_default(),
        outputs: outputs?.unwrap_or_default(),
        kernel: kernel?,
    })
}

/// Concrete words only: no lock holds `native` (acceptance P-24).
fn variant(node: Node<'_>) -> Option<Variant> {
    let table = node.table()?;
    let architecture = table.required("architecture").and_then(|node| node.parsed::<Architecture>());
    let substrate = table.required("substrate").and_then(|node| node.parsed::<Substrate>());
    let mode = table.required("protection_mode").and_then(|node| node.parsed::<ProtectionMode>());
    table.finish();
    Some(Variant::new(architecture?, substrate?, mode?))
}

fn kernel(node: Node<'_>) -> Option<KernelFacts> {
    let table = node.table()?;
    let text = |node: Node<'_>| node.string().map(str::to_owned);
    let release = table.maybe("release", text);
    let modules = table.maybe("modules", |node| node.each(text));
    table.finish();
    Some(KernelFacts { release: release?, modules: modules?.unwrap_or_default() })
}

fn input(node: Node<'_>) -> Option<LockedInput> {
    let table = node.table()?;
    let text = |key| table.required(key).and_then(|node| node.string().map(str::to_owned));
    let source = text("source");
    let resolved = text("resolved");
    let digest = table.required("digest").and_then(|node| node.parsed::<Digest>());
    let size = table.required("size").and_then(|node| node.integer(0..=LARGEST_SIZE));
    table.finish();
    Some(LockedInput { source: source?, resolved: resolved?, digest: digest?, size: size? })
}

fn output(node: Node<'_>) -> Option<LockedOutput> {
    let table = node.table()?;
    let file = table.required("file").and_then(|node| node.parsed::<FileName>());
    let digest = table.required("digest").and_then(|node| node.parsed::<Digest>());
    let size = table.required("size").and_then(|node| node.integer(0..=LARGEST_SIZE));
    table.finish();
    Some(LockedOutput { file: file?, digest: digest?, size: size? })
}
