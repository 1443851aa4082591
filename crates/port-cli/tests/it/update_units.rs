//! The units of `contrib/systemd`: systemd reads them, and what they start are verbs that there are.

use std::path::{Path, PathBuf};
use std::process::Command;

use port_testkit::project::Project;

const BINARY: &str = "/usr/bin/port";

fn units() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contrib/systemd");
    port_content::fs::read_dir(&directory).unwrap()
}

/// The units in a directory of their own, starting the `port` of these tests.
fn here(project: &Project) -> Vec<PathBuf> {
    let copy = |unit: &PathBuf| {
        let text = port_content::fs::read_to_string(unit, 10_000).unwrap();
        let text = text.replace(BINARY, env!("CARGO_BIN_EXE_port"));
        project.write(unit.file_name().unwrap().to_str().unwrap(), text)
    };
    units().iter().map(copy).collect()
}

#[test]
fn systemd_reads_the_units() {
    let project = Project::new(env!("CARGO_BIN_EXE_port"));
    let units = here(&project);
    assert_eq!(units.len(), 4);
    let verified = match Command::new("systemd-analyze").arg("verify").args(&units).output() {
        Ok(verified) => verified,
        Err(error) => return eprintln!("skipped: systemd-analyze: {error}"),
    };
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("port-update")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn ou_1_what_the_units_start_are_verbs() {
    let project = Project::new(env!("CARGO_BIN_EXE_port"));
    let mut started = 0;
    for unit in units() {
        let text = port_content::fs::read_to_string(&unit, 10_000).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("ExecStart=/usr/bin/port ")) {
            started += 1;
            let words: Vec<&str> = line.split(' ').chain(["--help"]).collect();
            let ran = project.port(&words);
            assert_eq!(ran.code, 0, "{line}\n{ran}");
        }
    }
    assert_eq!(started, 3);
}
