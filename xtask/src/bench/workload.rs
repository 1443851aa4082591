//! What Port adds to the start of a workload: `port workload run` beside the bare systemd-nspawn that it would run, in pairs, on one
//! root; and what runc and QEMU take for the like.
//!
//! Each runs `true` in a BusyBox root with no network, from the start of the process to its end. QEMU boots the demo's machine,
//! which is more than a container is: it stands there for the size of the difference.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::boot::Bare;
use super::build::timed;
use super::client::{make, remove};
use super::pairs::{self, Summary, summary};
use super::report::Report;
use crate::agent::Agents;
use crate::failure::{Failure, Outcome};
use crate::{agent, generate, process, workspace};

const GOAL_MILLISECONDS: f64 = 50.0;
/// QEMU takes seconds where it emulates, and is no matter of milliseconds.
const BOOTS: usize = 3;

const MANIFEST: &str = "[workload]\nname = \"bench\"\nmode = \"container\"\n[network]\nmode = \"none\"\n[storage]\nrootfs = \"root\"\nwritable_layer = \"tmpfs\"\n";

/// As Port's own driver calls it, less what it protects: the least that runs a command in a root.
const NSPAWN: [&str; 11] = [
    "--directory=root",
    "--register=no",
    "--keep-unit",
    "--link-journal=no",
    "--quiet",
    "--pipe",
    "--as-pid2",
    "--timezone=off",
    "--resolv-conf=off",
    "--private-network",
    "true",
];

pub(super) fn run(count: usize) -> Outcome {
    let programs = [("busybox", "busybox-static"), ("systemd-nspawn", "systemd-container")];
    for (program, package) in programs {
        if process::find(program).is_none() {
            return Err(Failure::new(format!("`{program}` is not on PATH (Debian package `{package}`)")));
        }
    }
    let agents = agent::build_for_host()?;
    let port = generate::port("release")?;
    let directory = workspace::target_directory().join("bench-workload");
    remove(&directory)?;
    let measured = root(&directory).and_then(|()| measure(&port, &agents, &directory, count));
    remove(&directory)?;
    measured?.publish()
}

fn measure(port: &Path, agents: &Agents, directory: &Path, count: usize) -> Outcome<Report> {
    let in_directory = |program: &Path| {
        let mut command: Command = process::program(program);
        command.current_dir(directory);
        command
    };
    let pairs = pairs::measure(
        count,
        &mut || {
            let words = ["workload", "run", "web.toml", "--workloads", "rooms", "--", "true"];
            timed(in_directory(port).args(words).envs(agents.variables()))
        },
        &mut || timed(in_directory(Path::new("systemd-nspawn")).args(NSPAWN)),
    )?;
    let difference = summary(pairs.iter().map(|pair| pair.a - pair.b));
    let mut rows = vec![
        ("`port workload run`".to_owned(), summary(pairs.iter().map(|pair| pair.a))),
        ("bare systemd-nspawn".to_owned(), summary(pairs.iter().map(|pair| pair.b))),
    ];
    let found = format!("{:.1} ms more", difference.median);
    let met = difference.median <= GOAL_MILLISECONDS;
    rows.push(("difference within a pair".to_owned(), difference));
    rows.extend(runc(directory, count)?);
    let bare = Bare::of(port, agents)?;
    rows.push(("bare QEMU, the demo's machine".to_owned(), repeated(BOOTS, &mut || bare.time())?));
    Ok(Report {
        name: "workload",
        title: "Start of a workload, beside the bare container manager",
        method: format!(
            "`true` in a BusyBox root without a network, {count} interleaved pairs, each from the start of the process to its end. \
             Port's side has what the bare one has not: a supervisor, a log, an overlay on the root, limits, Landlock, seccomp and \
             capabilities of the manifest. runc ran as often, after them; QEMU booted the demo's machine {BOOTS} times."
        ),
        rows,
        goal: format!("the median difference to bare systemd-nspawn is at most {GOAL_MILLISECONDS:.0} ms"),
        found,
        met,
    })
}

/// runc with the configuration that it writes itself, where it is there.
fn runc(directory: &Path, count: usize) -> Outcome<Option<(String, Summary)>> {
    let Some(runc) = process::find("runc") else {
        println!("note: `runc` is not on PATH (Debian package `runc`), so its row is missing");
        return Ok(None);
    };
    let command = || {
        let mut command: Command = process::program(&runc);
        command.current_dir(directory);
        command
    };
    process::read(command().arg("spec"))?;
    let path = directory.join("config.json");
    let text = workspace::read_text(&path)?;
    let mut configuration: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| Failure::new(format!("`runc spec`: {error}")))?;
    for (pointer, value) in [
        ("/process/args", serde_json::json!(["true"])),
        ("/process/terminal", serde_json::json!(false)),
        ("/root/path", serde_json::json!("root")),
    ] {
        let place = configuration.pointer_mut(pointer);
        *place.ok_or_else(|| Failure::new(format!("`runc spec`: expected `{pointer}`, found none")))? = value;
    }
    workspace::write_text(&path, &configuration.to_string())?;
    let name = format!("port-bench-{}", std::process::id());
    let measured = repeated(count, &mut || timed(command().args(["run", &name])))?;
    Ok(Some(("runc".to_owned(), measured)))
}

/// Once unmeasured, then `count` times.
fn repeated(count: usize, subject: &mut dyn FnMut() -> Outcome<f64>) -> Outcome<Summary> {
    subject()?;
    Ok(summary((0..count).map(|_| subject()).collect::<Outcome<Vec<f64>>>()?))
}

/// A root with BusyBox, and the manifest beside it.
fn root(directory: &Path) -> Outcome {
    let busybox = process::find("busybox").unwrap_or_else(|| PathBuf::from("busybox"));
    for name in ["bin", "dev", "etc", "proc", "run", "sys", "tmp", "usr", "var"] {
        make(&directory.join("root").join(name))?;
    }
    let place = directory.join("root/bin/busybox");
    std::fs::copy(&busybox, &place).map_err(|error| Failure::io("create", &place, &error))?;
    for name in ["sh", "true"] {
        let link = directory.join("root/bin").join(name);
        std::os::unix::fs::symlink("busybox", &link).map_err(|error| Failure::io("create", &link, &error))?;
    }
    workspace::write_text(&directory.join("web.toml"), MANIFEST)
}
