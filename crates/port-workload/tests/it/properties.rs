//! What holds for every manifest: reading never fails where it may not, writing loses nothing, resolving is once and
//! for all.

use std::path::PathBuf;

use port_workload::{
    Document, Kernel, Manifest, Network, Resources, Security, Storage, Volume, Workload, check, plan,
};
use proptest::prelude::*;

use crate::{manifest, resolved};

/// Texts with everything that quoting, variables and lines could trip over; never empty, which says nothing.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9./:$\\\\\"'{}\\[\\]#\n\t é=-]{1,12}", "\\$\\$?\\{[A-Z]{0,2}\\}?", "[a-z]{1,8}"]
}

fn maybe() -> impl Strategy<Value = Option<String>> {
    prop::option::of(text())
}

fn list() -> impl Strategy<Value = Option<Vec<String>>> {
    prop::option::of(prop::collection::vec(text(), 0..3))
}

fn number() -> impl Strategy<Value = Option<i64>> {
    prop::option::of(
        prop_oneof![any::<i64>(), 1..=100i64].prop_filter("0 says nothing", |number| *number != 0),
    )
}

prop_compose! {
    fn first_half()(
        (name, mode, image, description) in (text(), text(), maybe(), maybe()),
        (version, path, modules, cmdline) in (maybe(), maybe(), list(), maybe()),
        (landlock_profile, seccomp_profile, capabilities, read_only_rootfs) in
            (maybe(), maybe(), list(), any::<Option<bool>>()),
    ) -> Manifest {
        Manifest {
            workload: Workload { name, mode, image, description },
            kernel: Kernel { version, path, modules, cmdline },
            security: Security { landlock_profile, seccomp_profile, capabilities, read_only_rootfs },
            ..Manifest::default()
        }
    }
}

prop_compose! {
    fn any_manifest()(
        first in first_half(),
        (memory_limit, memory_soft, cpu_set) in (maybe(), maybe(), maybe()),
        (cpu_weight, io_weight, pids_max) in (number(), number(), number()),
        (network_mode, address, dns, ports) in (maybe(), maybe(), list(), list()),
        (rootfs, writable_layer) in (maybe(), maybe()),
        volumes in prop::option::of(prop::collection::vec((text(), text(), any::<Option<bool>>()), 0..3)),
    ) -> Manifest {
        let volume = |(host, container, readonly)| Volume { host, container, readonly };
        Manifest {
            resources: Resources { memory_limit, memory_soft, cpu_weight, cpu_set, io_weight, pids_max },
            network: Network { mode: network_mode, address, dns, ports },
            storage: Storage {
                rootfs,
                writable_layer,
                volumes: volumes.map(|volumes| volumes.into_iter().map(volume).collect()),
            },
            ..first
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn v_1_v_50_writing_loses_nothing(any in any_manifest()) {
        prop_assert_eq!(&manifest(&any.to_toml().unwrap()), &any);
        prop_assert_eq!(&manifest(&any.to_json().unwrap()), &any);
    }

    #[test]
    fn a_resolved_manifest_resolves_to_itself(any in any_manifest()) {
        let once = resolved(&[("/dir/web.toml", &any.to_toml().unwrap())]);
        prop_assume!(once.problems.is_empty());
        let twice = resolved(&[("/dir/web.toml", &once.written().to_toml().unwrap())]);
        prop_assert_eq!(&twice.problems, &vec![]);
        prop_assert_eq!(twice.manifest, once.manifest);
    }

    #[test]
    fn checking_and_planning_take_everything(any in any_manifest()) {
        let _ = check(&any);
        let _ = plan(&any);
    }

    #[test]
    fn reading_takes_every_text(text in "[a-z=\"\\[\\]{}.,:\n#0-9 ]{0,80}") {
        let _ = Document::parse("web.toml", PathBuf::new(), text.as_bytes());
        let json = format!("{{{text}");
        let _ = Document::parse("web.json", PathBuf::new(), json.as_bytes());
    }
}
