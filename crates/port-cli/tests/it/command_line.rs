//! Flags, help and completions.

use crate::fixture::*;

#[test]
fn p_12_the_configuration_can_be_anywhere_and_paths_start_here() {
    let project = project();
    std::fs::create_dir(project.path().join("conf")).unwrap();
    std::fs::rename(project.path().join("port.toml"), project.path().join("conf/p.toml")).unwrap();
    project.write(LOCAL_KERNEL, b"kernel");
    let ran = project
        .port(&[&["--config", "conf/p.toml", "artifacts", "push", "--artifact", "tiny"][..], &X86].concat());
    assert_eq!(ran.code, 0, "{ran}");
    assert!(project.exists(SHOP_KERNEL) && project.exists(".port/store/index.json"));
}

#[test]
fn p_21_p_24_the_default_selection_is_this_host_firecracker_standard() {
    let project = project();
    let host = std::env::consts::ARCH;
    project.write(&format!("k/{host}/standard/vmlinux"), b"kernel");
    let ran = project.port(&["artifacts", "push", "--artifact", "tiny"]);
    assert!(ran.stdout.contains(&format!("for {host}/firecracker/standard")), "{ran}");
    assert!(!ran.stdout.contains("native"), "{ran}");
}

#[test]
fn p_18_p_23_both_spellings_of_the_architecture_mean_the_same() {
    let project = project();
    project.write(LOCAL_KERNEL, b"kernel");
    for spelling in ["x86-64", "x86_64"] {
        let ran = project.port(&["artifacts", "push", "--artifact", "tiny", "--architecture", spelling]);
        assert!(ran.stdout.contains("x86_64/firecracker/standard"), "{ran}");
    }
}

#[test]
fn usage_errors_exit_with_2() {
    let project = project();
    for arguments in
        [&["artifacts"][..], &["artifacts", "push"], &["artifacts", "push", "--artifact"], &["fly"]]
    {
        assert_eq!(project.port(arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn completions_are_made_for_every_shell() {
    let project = port_testkit::project::Project::new(env!("CARGO_BIN_EXE_port"));
    for shell in ["bash", "zsh", "fish"] {
        let ran = project.port(&["completions", shell]);
        assert!(
            ran.code == 0 && ran.stdout.contains("control") | ran.stdout.contains("artifacts"),
            "{shell}"
        );
    }
}

#[test]
fn an_unknown_failpoint_is_refused() {
    let project = project();
    let mut command = project.command(&["artifacts", "list"]);
    command.env("PORT_FAILPOINT", "nowhere=kill");
    assert_eq!(command.output().unwrap().status.code(), Some(2));
}

#[test]
fn progress_can_be_read_by_machines() {
    let project = project();
    project.write(LOCAL_KERNEL, b"kernel");
    let ran = project
        .port(&[&["--progress", "json", "artifacts", "push", "--artifact", "tiny"][..], &X86].concat());
    let events: Vec<serde_json::Value> =
        ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event["event"] == "started" && event["total"] == 6), "{ran}");
}

#[test]
fn p_38_p_41_p_65_p_71_the_sample_has_its_published_names_and_paths() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/port.toml");
    let project = with_configuration(&std::fs::read_to_string(sample).unwrap());
    let ran = project.port(&["artifacts", "list", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let rows: Vec<String> = report["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            format!("{} {} {}", text("reference"), text("local_path"), text("cache_path"))
        })
        .collect();
    for published in [
        "demo-fs/port/demo-kernel:v1 artifacts/kernel/demo/x86_64/firecracker/standard/vmlinux .port/cache/demo-fs/port/demo-kernel/v1/x86_64/firecracker/standard/vmlinux",
        "demo-fs/port/demo-kernel:v1 artifacts/kernel/demo/x86_64/firecracker/pvm/vmlinux .port/cache/demo-fs/port/demo-kernel/v1/x86_64/firecracker/pvm/vmlinux",
        "demo-fs/port/demo-guest:v1 artifacts/guest/demo/aarch64/firecracker/standard/rootfs.ext4 .port/cache/demo-fs/port/demo-guest/v1/aarch64/firecracker/standard/rootfs.ext4",
    ] {
        assert!(rows.iter().any(|row| row == published), "{published}\n{rows:#?}");
    }
}

#[test]
fn p_19_p_20_p_22_the_selectors_are_the_same_on_every_verb() {
    let project = project();
    for verb in ["build", "validate", "push", "pull", "inspect"] {
        let help = project.port(&["artifacts", verb, "--help"]).stdout;
        for words in [
            "[possible values: native, x86-64, aarch64]",
            "[possible values: firecracker, cloud-hypervisor, qemu, avf]",
            "[possible values: standard, pvm]",
        ] {
            assert!(help.contains(words), "{verb}: {words}\n{help}");
        }
        let all = ["--architecture", "x86-64", "--substrate", "avf", "--protection-mode", "standard"];
        let ran = project.port(&[&["artifacts", verb, "--artifact", "tiny"][..], &all].concat());
        assert!(ran.code == 5 && ran.stderr.contains("`x86_64/avf/standard`"), "{verb}\n{ran}");
    }
}

#[test]
fn p_49_push_and_pull_are_the_only_verbs_that_move() {
    let help = project().port(&["artifacts", "--help"]).stdout;
    let verbs: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // A description may go on in a further line, which is indented more.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    // The last but help work on places that anybody named, or say something about what is published: no file moves.
    let ours = ["build", "validate", "push", "pull", "list", "inspect"];
    let others = ["copy", "referrers", "sign", "verify", "attest", "help"];
    let expected = [&ours[..], &others].concat();
    assert_eq!(verbs, expected);
    let ran = project().port(&["artifacts", "copy", "--artifact", "tiny"]);
    assert_eq!(ran.code, 2, "copy is a verb of no artifact and of no backend\n{ran}");
}
