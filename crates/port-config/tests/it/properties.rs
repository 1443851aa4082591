//! Whatever the text is, reading it ends in a value or in findings that point into it.

use std::time::Duration;

use port_config::{ConfigError, Lock, LockEntry, LockedInput, LockedOutput, Project};
use port_model::{Architecture, Digest, KernelFacts, ProtectionMode, Substrate, Variant};
use proptest::prelude::*;

const SAMPLE: &str = include_str!("../../../../examples/port.toml");

/// What every error keeps: there are findings, in the order of the file, inside of it, safe to print.
fn is_sound(error: &ConfigError, text: &str) -> Result<(), TestCaseError> {
    prop_assert!(!error.findings.is_empty());
    let lines = text.lines().count() + 1;
    let mut last = (0, 0);
    for finding in &error.findings {
        prop_assert!((1..=lines).contains(&finding.line), "{finding:?}");
        prop_assert!(last <= (finding.line, finding.column), "{finding:?}");
        prop_assert!(finding.mark_length >= 1);
        // A mark may stand one past the end, where something is missing.
        prop_assert!(finding.mark_start <= finding.snippet.chars().count(), "{finding:?}");
        last = (finding.line, finding.column);
    }
    prop_assert!(!error.to_string().chars().any(|c| c.is_control() && c != '\n'));
    Ok(())
}

fn reads_soundly(text: &str) -> Result<(), TestCaseError> {
    for host in [Architecture::X86_64, Architecture::Aarch64] {
        if let Err(error) = Project::parse("port.toml", text, host) {
            is_sound(&error, text)?;
        }
    }
    if let Err(error) = Lock::parse("port.lock", text) {
        is_sound(&error, text)?;
    }
    Ok(())
}

/// How long the processor worked for this thread, which is the same however many others want it. `None` where the kernel does
/// not count that.
#[expect(clippy::disallowed_methods, reason = "what the kernel counts is in a file")]
fn worked() -> Option<Duration> {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    counted.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Large texts that make the most work. Each takes some seconds where nothing is optimised, and one that is read anew for each of
/// its lines would take minutes.
#[test]
fn hostile_texts_are_refused_in_bounded_time() {
    let full = |line: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        for number in 0.. {
            let line = line(number);
            if text.len() + line.len() > 300_000 {
                break;
            }
            text.push_str(&line);
        }
        text
    };
    let unknown_in_one_line = format!(
        "machines = {{ {} }}",
        &full(&|n| format!("token{n}=1,"))[..290_000].rsplit_once(',').unwrap().0
    );
    let names = full(&|n| format!("[artifacts.kernels.k{n}]\n[machines.m{n}]\nkernel = 'x{n}'\n"));
    let deep = format!("a = {}", "[".repeat(150_000));
    let wide = format!("[a{}]", ".b".repeat(150_000));
    for text in [unknown_in_one_line, names, deep, wide] {
        let before = worked();
        let error = Project::parse("port.toml", &text, Architecture::X86_64).expect_err("it is wrong");
        assert!(error.to_string().len() < 200_000);
        let Some((before, after)) = before.zip(worked()) else { continue };
        assert!(after - before < Duration::from_secs(20), "{:?}", after - before);
    }
}

fn entries() -> impl Strategy<Value = Vec<LockEntry>> {
    let variant = (0..2_usize, 0..4_usize, 0..2_usize)
        .prop_map(|(a, s, m)| Variant::new(Architecture::ALL[a], Substrate::ALL[s], ProtectionMode::ALL[m]));
    let digest = any::<[u8; 32]>().prop_map(|bytes| Digest::sha256(&bytes));
    let size = 0..=i64::MAX.unsigned_abs();
    let input = (any::<String>(), any::<String>(), digest.clone(), size.clone())
        .prop_map(|(source, resolved, digest, size)| LockedInput { source, resolved, digest, size });
    let output = ("[a-z0-9][a-z0-9._-]{0,20}", digest, size)
        .prop_filter_map("a plain name", |(file, digest, size)| {
            Some(LockedOutput { file: file.parse().ok()?, digest, size })
        });
    let kernel = (proptest::option::of(any::<String>()), proptest::collection::vec(any::<String>(), 0..3))
        .prop_map(|(release, modules)| KernelFacts { release, modules });
    let entry = (
        "[a-z][a-z0-9-]{0,10}",
        variant,
        proptest::collection::vec(input, 0..3),
        proptest::collection::vec(output, 0..3),
        proptest::option::of(kernel),
    )
        .prop_map(|(artifact, variant, inputs, outputs, kernel)| LockEntry {
            artifact,
            variant,
            inputs,
            outputs,
            kernel,
        });
    proptest::collection::vec(entry, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        reads_soundly(&text)?;
    }

    #[test]
    fn toml_like_text_is_read_or_refused(text in r#"([a-z_]{1,12}|artifacts|machines|kernels|variants|selector|version| ?= ?|\.|\[|\]|\[\[|\]\]|\{|\}|,|"[^"]{0,6}"|[0-9]|true|\n|\r\n|é| ){0,40}"#) {
        reads_soundly(&text)?;
    }

    #[test]
    fn a_damaged_sample_is_read_or_refused(at in 0..SAMPLE.len(), cut in 0..200_usize, put in "\\PC{0,12}") {
        let start = (0..=at).rev().find(|at| SAMPLE.is_char_boundary(*at)).unwrap_or(0);
        let end = (start + cut..).find(|at| *at >= SAMPLE.len() || SAMPLE.is_char_boundary(*at)).unwrap();
        let text = format!("{}{put}{}", &SAMPLE[..start], SAMPLE.get(end..).unwrap_or_default());
        reads_soundly(&text)?;
    }

    #[test]
    fn a_lock_reads_back_what_it_writes(entries in entries()) {
        let mut lock = Lock::default();
        for entry in entries.clone() {
            lock.set(entry);
        }
        let text = lock.to_string();
        let read = Lock::parse("port.lock", &text);
        prop_assert_eq!(read.as_ref(), Ok(&lock), "{}", text);
        // The order in which variants were built leaves no trace.
        let mut reversed = Lock::default();
        for entry in lock.entries().cloned().collect::<Vec<_>>().into_iter().rev() {
            reversed.set(entry);
        }
        prop_assert_eq!(reversed.to_string(), text);
    }
}
