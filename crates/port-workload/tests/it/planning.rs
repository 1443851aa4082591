//! What a driver gets: golden plans, one per mode, and what is refused before a driver sees it.

use port_workload::{Launch, Manifest, plan};

use crate::{LEAST, WHOLE, golden, manifest, resolved};

fn planned(text: &str) -> String {
    let plan = plan(&resolved(&[("/m/web.toml", text)]).manifest).unwrap();
    serde_json::to_string_pretty(&plan).unwrap() + "\n"
}

fn refused(manifest: &Manifest) -> Vec<String> {
    plan(manifest).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn v_28_the_plan_of_a_machine() {
    golden::compare("machine.plan.json", &planned(&WHOLE.replace("extends = \"base.toml\"\n", "")));
}

#[test]
fn v_23_the_plan_of_a_container() {
    let text = format!(
        "{LEAST}image = \"ghcr.io/acme/web:v1\"\n[kernel]\npath = \"ignored\"\n[network]\nports = [\"8080:80\"]\n[[storage.volumes]]\nhost = \"/b\"\ncontainer = \"/data/inner/\"\n[[storage.volumes]]\nhost = \"/a\"\ncontainer = \"/data\"\nreadonly = true\n"
    );
    golden::compare("container.plan.json", &planned(&text));
}

#[test]
fn the_plans_of_the_other_modes() {
    let of = |mode: &str, more: &str| {
        planned(&format!("[workload]\nname = \"a\"\nmode = \"{mode}\"\n[storage]\nrootfs = \"root\"\n{more}"))
    };
    golden::compare(
        "native.plan.json",
        &of("hybrid-native", "[kernel]\nmodules = [\"overlay\"]\n[network]\nmode = \"host\"\n"),
    );
    golden::compare(
        "emulated.plan.json",
        &of("hybrid-emulated", "[network]\nmode = \"none\"\n[security]\ncapabilities = []\n"),
    );
}

#[test]
fn v_14_what_has_errors_is_not_planned() {
    assert_eq!(refused(&Manifest::default()).len(), 2);
    let found = refused(&manifest("[workload]\nname = \"a\"\nmode = \"hybrid-kvm\"\n"));
    assert!(found.len() == 1 && found[0].contains("needs a kernel"), "{found:?}");
}

#[test]
fn a_workload_that_runs_needs_a_root() {
    let found = refused(&manifest(LEAST));
    assert!(found.len() == 1 && found[0].starts_with("`storage.rootfs`: "), "{found:?}");
    let found = refused(&manifest(&format!("{LEAST}image = \"web\"\n")));
    assert!(found.len() == 1 && found[0].starts_with("`workload.image`: "), "{found:?}");
}

#[test]
fn c_42_every_mode_has_a_plan_and_only_a_machine_a_kernel_of_its_own() {
    for mode in ["container", "hybrid-native", "hybrid-kvm", "hybrid-emulated"] {
        let text = format!(
            "[workload]\nname = \"a\"\nmode = \"{mode}\"\n[kernel]\nversion = \"6.1\"\n[storage]\nrootfs = \"/r\"\n"
        );
        let plan = plan(&manifest(&text)).unwrap();
        assert_eq!(matches!(plan.launch, Launch::HybridKvm { .. }), mode == "hybrid-kvm");
        let said = serde_json::to_value(&plan.launch).unwrap();
        assert_eq!(said["mode"], mode);
    }
}
