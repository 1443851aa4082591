//! What Port adds to a boot: `port run demo -- true` beside the bare QEMU command line that it would have run, with the
//! same kernel, initrd and image. The bare guest powers off where its agent would have started, so it does the same
//! work up to there; what Port does beyond (reach the agent, run `true`, power off) counts against Port.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::build::timed;
use super::pairs::{self, summary};
use super::report::Report;
use crate::agent::Agents;
use crate::failure::{Failure, Outcome};
use crate::{agent, demo, generate, process};

/// Understood by the guest's init: power off instead of starting the agent.
const POWER_OFF: &str = "port.init_exec=poweroff";

const ALLOWED_MILLISECONDS: f64 = 50.0;
const ALLOWED_SHARE: f64 = 0.05;

/// A guest that hangs must not hang the benchmark; both sides run under it.
const PATIENCE: [&str; 4] = ["timeout", "--foreground", "--kill-after=5", "180"];

/// The bare side, from `port run --dry-run`.
pub(super) struct Bare {
    words: Vec<String>,
    /// Where sockets of the command line would lie; made for a run, gone after it.
    run_directory: Option<PathBuf>,
}

pub(super) fn run(count: usize) -> Outcome {
    let agents = agent::build_for_host()?;
    let port = generate::port("release")?;
    let bare = Bare::of(&port, &agents)?;
    println!("bare: {}", bare.words.join(" "));

    let pairs = pairs::measure(
        count,
        &mut || {
            let mut command = patient();
            command.arg(&port).args(["--config", demo::CONFIGURATION, "run", "demo", "--", "true"]);
            timed(command.envs(agents.variables()))
        },
        &mut || bare.time(),
    )?;
    let with_port = summary(pairs.iter().map(|pair| pair.a));
    let without = summary(pairs.iter().map(|pair| pair.b));
    let difference = summary(pairs.iter().map(|pair| pair.a - pair.b));
    let ratio = summary(pairs.iter().map(|pair| pair.a / pair.b)).median;
    let allowed = ALLOWED_MILLISECONDS + ALLOWED_SHARE * without.median;
    let found = format!("{:.1} ms more (allowed here: {allowed:.1} ms), ratio {ratio:.3}", difference.median);
    Report {
        name: "boot",
        title: "Boot, beside the bare virtual machine monitor",
        method: format!(
            "`port run demo -- true` and the bare QEMU command line of the same machine (same kernel, initrd and image; \
             `{POWER_OFF}` ends it where the agent would start), {count} interleaved pairs, each from the start of the \
             process to its end. Accelerator: {}.",
            bare.accelerator()
        ),
        met: difference.median <= allowed,
        rows: vec![
            ("`port run demo -- true`".to_owned(), with_port),
            ("bare QEMU".to_owned(), without),
            ("difference within a pair".to_owned(), difference),
        ],
        goal: "the median difference is at most 50 ms plus 5 % of the bare boot".to_owned(),
        found,
    }
    .publish()
}

fn port_command(port: &Path, agents: &Agents) -> Command {
    let mut command = process::program(port);
    command.args(["--config", demo::CONFIGURATION]).envs(agents.variables());
    command
}

fn patient() -> Command {
    let [program, arguments @ ..] = PATIENCE;
    let mut command = process::program(program);
    command.args(arguments);
    command
}

impl Bare {
    /// Of the demo's machine, which is built where it is not there.
    pub(super) fn of(port: &Path, agents: &Agents) -> Outcome<Self> {
        for artifact in ["demo-kernel", "demo-guest"] {
            process::run(port_command(port, agents).args(["artifacts", "build", "--artifact", artifact]))?;
        }
        let words = ["--format", "json", "run", "demo", "--dry-run", "--", "true"];
        Self::parse(&process::read(port_command(port, agents).args(words))?)
    }

    /// `{"command": ["qemu-system-…", …]}`, and `"run_directory"` where the command line names files in one.
    fn parse(json: &str) -> Outcome<Self> {
        let wrong = |what: &str| {
            Failure::new(format!("`port run --dry-run --format json`: expected {what}, found `{json}`"))
        };
        let value: serde_json::Value = serde_json::from_str(json).map_err(|_| wrong("JSON"))?;
        let words =
            value.get("command").and_then(serde_json::Value::as_array).ok_or_else(|| wrong("`command`"))?;
        let words = words.iter().map(|word| word.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
        let mut words = words.filter(|words| !words.is_empty()).ok_or_else(|| wrong("words in `command`"))?;
        let append =
            words.iter().position(|word| word == "-append").and_then(|index| words.get_mut(index + 1));
        let append = append.ok_or_else(|| wrong("`-append` with the kernel's arguments"))?;
        append.push(' ');
        append.push_str(POWER_OFF);
        let run_directory = value.get("run_directory").and_then(serde_json::Value::as_str).map(PathBuf::from);
        Ok(Self { words, run_directory })
    }

    pub(super) fn time(&self) -> Outcome<f64> {
        if let Some(directory) = &self.run_directory {
            std::fs::create_dir_all(directory).map_err(|error| Failure::io("create", directory, &error))?;
        }
        let milliseconds = timed(patient().args(&self.words));
        if let Some(directory) = &self.run_directory {
            std::fs::remove_dir_all(directory).map_err(|error| Failure::io("remove", directory, &error))?;
        }
        milliseconds
    }

    fn accelerator(&self) -> &'static str {
        let named =
            |name: &str| self.words.iter().any(|word| word.split(['=', ',', ':']).any(|part| part == name));
        if named("kvm") { "KVM" } else { "TCG" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bare_command_powers_off_by_itself() {
        let bare = Bare::parse(
            r#"{"command": ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-append", "root=/dev/vda ro", "-nodefaults"]}"#,
        )
        .unwrap();
        assert_eq!(bare.words.get(4).unwrap(), "root=/dev/vda ro port.init_exec=poweroff");
        assert_eq!(bare.words.len(), 6);
        assert_eq!(bare.accelerator(), "TCG");
    }

    #[test]
    fn an_answer_without_a_command_is_refused() {
        for wrong in
            ["", "{}", r#"{"command": []}"#, r#"{"command": [1]}"#, r#"{"command": ["qemu", "-append"]}"#]
        {
            assert!(Bare::parse(wrong).is_err(), "{wrong}");
        }
    }
}
