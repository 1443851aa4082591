//! `port workload validate`, `resolve` and `schema` on files, as a user runs them.

use port_testkit::project::{Project, Ran};
use serde_json::Value;

const LEAST: &str = "[workload]\nname = \"web\"\nmode = \"container\"\n";

fn project(files: &[(&str, &str)]) -> Project {
    let project = Project::new(env!("CARGO_BIN_EXE_port"));
    for (path, text) in files {
        project.write(path, text);
    }
    project
}

fn validate(project: &Project, more: &[&str]) -> Ran {
    project.port(&[&["workload", "validate", "web.toml"], more].concat())
}

#[test]
fn vu_9_every_finding_is_said_at_once_with_its_place() {
    let text = "[workload]\nname = \"a b\"\nmode = \"conatiner\"\ncolour = 1\n[network]\nports = [\"80\", \"80:81\"]\n";
    let project = project(&[("web.toml", text)]);
    let ran = validate(&project, &[]);
    assert_eq!(ran.code, 1, "{ran}");
    for part in [
        "error: web.toml:2:8: `workload.name`",
        "error: web.toml:3:8: `workload.mode`",
        "did you mean `container`?",
        "warning: web.toml:4:1: `workload.colour`: unknown key",
        "error: web.toml:6:16: `network.ports[1]`",
        "ports = [\"80\", \"80:81\"]",
    ] {
        assert!(ran.stdout.contains(part), "{part}\n{ran}");
    }
    assert!(ran.stderr.contains("`web.toml` is not valid: 3 errors and 1 warning"), "{ran}");

    let ran = validate(&project, &["--format", "json"]);
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&said["valid"], &said["errors"], &said["warnings"]), (&false.into(), &3.into(), &1.into()));
    let first = &said["findings"][0];
    assert_eq!((&first["file"], &first["severity"]), (&"web.toml".into(), &"error".into()));
    assert_eq!(
        (&first["line"], &first["column"], &first["key"]),
        (&2.into(), &8.into(), &"workload.name".into())
    );
}

#[test]
fn c_45_warnings_fail_only_where_that_is_asked_for() {
    let warned = project(&[("web.toml", &format!("{LEAST}colour = 1\n"))]);
    let ran = validate(&warned, &[]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.stdout.contains("valid web.toml, with 1 warning"), "{ran}");
    let ran = validate(&warned, &["--strict"]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("not strictly valid: 1 warning"), "{ran}");
    let sound = project(&[("web.toml", LEAST)]);
    let ran = validate(&sound, &["--strict"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "valid web.toml\n"), "{ran}");
}

#[test]
fn v_45_a_missing_file_and_a_broken_one_are_told_apart() {
    let project = project(&[("web.toml", "[workload\n")]);
    for verb in ["validate", "resolve"] {
        let ran = project.port(&["workload", verb, "gone.toml"]);
        assert_eq!(ran.code, 5, "{ran}");
        assert!(ran.stderr.contains("the manifest `gone.toml` cannot be read"), "{ran}");
    }
    let ran = validate(&project, &[]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stdout.contains("error: web.toml:1:") && ran.stdout.contains("not TOML"), "{ran}");
    let ran = project.port(&["workload", "resolve", "web.toml"]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.stdout.is_empty() && ran.stderr.contains("cannot use `web.toml`: 1 problem"), "{ran}");
}

#[test]
fn v_1_v_12_vu_1_vu_3_vu_21_vu_22_a_chain_of_three_becomes_one_manifest() {
    let project = project(&[
        (
            "web.toml",
            "extends = \"base/team.toml\"\n[workload]\nname = \"${NAME}\"\n[storage]\nrootfs = \"root\"\n",
        ),
        ("base/team.toml", "extends = \"company.json\"\n[network]\ndns = [\"${DNS.FIRST}\"]\n"),
        (
            "base/company.json",
            "{\"workload\": {\"mode\": \"hybrid-kvm\", \"description\": \"${VOLT_CAS_DIR} on ${HOSTNAME}\"}, \"kernel\": {\"path\": \"vmlinux\"}}",
        ),
    ]);
    let words = ["workload", "resolve", "web.toml", "--set", "NAME=web", "--set", "DNS.FIRST=1.1.1.1"];
    let said = resolved(&project, &words);
    let here = project.path().canonicalize().unwrap();
    for part in [
        "name = \"web\"\nmode = \"hybrid-kvm\"\n".to_owned(),
        "description = \"/var/lib/volt/cas on ".to_owned(),
        format!("path = \"{}\"", here.join("base/vmlinux").display()),
        format!("rootfs = \"{}\"", here.join("root").display()),
        "dns = [\"1.1.1.1\"]".to_owned(),
        "memory_limit = \"512M\"".to_owned(),
    ] {
        assert!(said.contains(&part), "{part}\n{said}");
    }
    assert_eq!(resolved(&project, &[&words[..], &["--format", "toml"]].concat()), said);
    // What came out stands alone: it resolves to itself, from TOML and from JSON.
    project.write("again.toml", &said);
    assert_eq!(resolved(&project, &["workload", "resolve", "again.toml"]), said);
    let json = resolved(&project, &[&words[..], &["--format", "json"]].concat());
    serde_json::from_str::<Value>(&json).unwrap();
    project.write("again.json", &json);
    assert_eq!(resolved(&project, &["workload", "resolve", "again.json"]), said);
}

/// What a command prints, to the byte: other helpers mask the project's path.
fn resolved(project: &Project, words: &[&str]) -> String {
    let output = project.command(words).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", project.ran(output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn vu_21_chains_without_an_end_and_missing_bases_are_findings() {
    let mut files: Vec<(String, String)> =
        (0..12).map(|n| (format!("{n}.toml"), format!("extends = \"{}.toml\"\n{LEAST}", n + 1))).collect();
    files.push(("12.toml".to_owned(), LEAST.to_owned()));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let deep = project(&files);
    assert_eq!(deep.port(&["workload", "validate", "2.toml"]).code, 0, "ten bases are allowed");
    let ran = deep.port(&["workload", "validate", "1.toml"]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stdout.contains("error: 11.toml:1:11: `extends`: expected at most 10 bases"), "{ran}");

    let looped = project(&[
        ("web.toml", "extends = \"sub/b.toml\"\n"),
        ("sub/b.toml", "extends = \"../sub/../web.toml\"\n"),
    ]);
    let ran = validate(&looped, &[]);
    assert_eq!(ran.code, 1, "{ran}");
    let circle = "error: sub/b.toml:1:11: `extends`: the manifests extend each other in a circle: web.toml → sub/b.toml → web.toml";
    assert!(ran.stdout.contains(circle), "{ran}");

    let missing = project(&[("web.toml", &format!("extends = \"gone.toml\"\n{LEAST}colour = 1\n"))]);
    let ran = validate(&missing, &[]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(
        ran.stdout.contains("error: web.toml:1:11: `extends`: the base `gone.toml` is not there"),
        "{ran}"
    );
    assert!(ran.stdout.contains("`workload.colour`: unknown key"), "all findings at once\n{ran}");
    assert_eq!(missing.port(&["workload", "resolve", "web.toml"]).code, 2);
}

#[test]
fn vu_23_an_unresolved_variable_fails_with_its_name_and_field() {
    let project = project(&[("web.toml", &format!("{LEAST}description = \"${{NOPE}}\"\n"))]);
    let ran = project.port(&["workload", "resolve", "web.toml"]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(
        ran.stderr.contains("web.toml:4:15: `workload.description`: the variable `NOPE` has no value"),
        "{ran}"
    );
    let ran = project.port(&["workload", "resolve", "web.toml", "--set", "NOPE=yes"]);
    assert!(ran.code == 0 && ran.stdout.contains("description = \"yes\""), "{ran}");
    let ran = project.port(&["workload", "resolve", "web.toml", "--set", "1=x"]);
    assert!(ran.code == 2 && ran.stderr.contains("`1` cannot name a variable"), "{ran}");
}

#[test]
fn v_10_the_schema_is_the_committed_one() {
    let ran = project(&[]).port(&["workload", "schema"]);
    assert_eq!(ran.stdout, include_str!("../../../../docs/formats/workload-manifest.schema.json"));
}

#[test]
fn toml_is_a_format_of_resolve_alone() {
    let ran = project(&[]).port(&["store", "list", "--format", "toml"]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.stderr.contains("`--format toml` is for `port workload resolve`"), "{ran}");
}
