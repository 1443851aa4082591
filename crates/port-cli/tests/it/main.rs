//! The real `port`, run as a user runs it. One binary for all, so that it is linked once.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests: a panic is the report")]
#![expect(unreachable_pub, reason = "a program has no outside")]

mod arm64;
mod bad_input;
mod base_images;
mod base_images_boot;
mod base_images_registry;
mod boot;
mod build;
mod command_line;
mod control_plane;
mod control_plane_gc;
mod control_plane_tokens;
mod copy;
mod copy_attachments;
mod copy_failures;
mod copy_hostile;
mod copy_peers;
mod crash;
mod demo;
mod file_system_blocks;
mod fixture;
mod hostile_shop;
mod inspect_packed;
mod login;
mod mirrors;
mod packages;
mod packages_change;
mod packages_containerd;
mod packages_credentials;
mod packages_kraft;
mod packages_pack;
mod packages_peers;
mod packages_read;
mod packages_registry;
mod packages_trust;
mod packed;
mod packed_damage;
mod packed_kills;
mod packed_lies;
mod packed_links;
mod packed_parents;
mod protection_mode;
mod publishers;
mod pull_by_index;
mod push_large;
mod race;
mod referrers;
mod registry;
mod registry_advice;
mod registry_faults;
mod registry_kills;
mod registry_limits;
mod registry_peers;
mod remote;
mod report;
mod run_package;
mod store_repair;
mod store_space;
mod transfer;
mod trust;
mod trust_attest;
mod trust_peers;
mod trust_run;
mod update;
mod update_agent;
mod update_attacks;
mod update_check;
mod update_fetch;
mod update_kill;
mod update_machine;
mod update_media;
mod update_promote;
mod update_publishers;
mod update_root;
mod update_units;
mod update_waits;
mod update_web;
mod workload;
mod workload_bases;
mod workload_hybrid;
mod workload_network;
mod workload_roots;
mod workload_run;

/// A file that nobody declared would be a test that nobody runs.
#[test]
fn no_test_file_is_forgotten() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let main = include_str!("main.rs");
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "rs") && name != "main" {
            assert!(main.contains(&format!("mod {name};")), "tests/it/{name}.rs is not declared in main.rs");
        }
    }
}
