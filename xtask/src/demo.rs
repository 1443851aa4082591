//! The main job, by the real binary, step by step: what a newcomer runs first. Nothing here knows how Port works; it
//! calls commands, hashes files with another program, and believes only what it sees.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::failure::{Failure, Outcome};
use crate::{agent, generate, process, system, workspace};

pub(crate) const CONFIGURATION: &str = "examples/port.toml";
const ARTIFACTS: [&str; 2] = ["demo-kernel", "demo-guest"];
const STEPS: usize = 13;

/// Digests by path relative to the root.
type Digests = BTreeMap<String, String>;

struct Demo {
    port: PathBuf,
    number: usize,
}

pub(crate) fn run() -> Outcome {
    let port = set_up()?;
    println!("\n== demo (`port` is {})", relative(&port));
    let start = Instant::now();
    let mut demo = Demo { port, number: 0 };
    for artifact in ARTIFACTS {
        demo.artifacts("build", artifact)?;
        show_files(&files_of(artifact)?)?;
    }
    for artifact in ARTIFACTS {
        demo.artifacts("validate", artifact)?;
    }
    let built = digests()?;
    for artifact in ARTIFACTS {
        demo.artifacts("push", artifact)?;
    }
    demo.delete()?;
    for artifact in ARTIFACTS {
        demo.artifacts("pull", artifact)?;
        show_files(&files_of(artifact)?)?;
    }
    demo.compare(&built)?;
    for artifact in ARTIFACTS {
        demo.artifacts("validate", artifact)?;
    }
    let said = demo.boot()?;
    println!("\nall {} steps in {:.1} s; the guest says:", demo.number, start.elapsed().as_secs_f64());
    print!("{said}");
    suggest_more(&demo.port);
    Ok(())
}

/// What the demo stands on, built and left there for what a reader tries next.
fn set_up() -> Outcome<PathBuf> {
    let start = Instant::now();
    println!("== set-up");
    system::ensure(system::Setup::Install, system::Purpose::Demo)?;
    println!(
        "building the guest agent and `port`, optimized: the first build takes minutes, later ones seconds"
    );
    agent::install()?;
    let port = generate::port("release")?;
    println!("port: {}", process::read(Command::new(&port).arg("--version"))?.trim());
    println!("set-up took {:.1} s", start.elapsed().as_secs_f64());
    Ok(port)
}

fn suggest_more(port: &Path) {
    println!("\nTry next, in this directory (more in README.md):");
    for arguments in
        ["run demo -- cat /proc/cpuinfo", "run demo     # its console; Ctrl-] leaves it", "artifacts list"]
    {
        println!("  {} --config {CONFIGURATION} {arguments}", relative(port));
    }
}

impl Demo {
    fn artifacts(&mut self, verb: &str, artifact: &str) -> Outcome {
        self.title(&format!("{verb} {artifact}"));
        let mut command = self.command(&["artifacts", verb, "--artifact", artifact]);
        let start = Instant::now();
        stream(&mut command)?;
        println!("     {:.2} s", start.elapsed().as_secs_f64());
        Ok(())
    }

    /// What was built, what push cached, and the local store: the pull must bring all back from what was published.
    fn delete(&mut self) -> Outcome {
        self.title("delete the built files, the cache copies and the local store");
        let root = workspace::root();
        let store = root.join(".port/store");
        println!("     $ rm -r .port/store");
        std::fs::remove_dir_all(&store).map_err(|error| Failure::io("remove", &store, &error))?;
        for artifact in ARTIFACTS {
            let directories = [directory(artifact), format!(".port/cache/demo-fs/port/{artifact}")];
            for directory in directories {
                println!("     $ rm -r {directory}");
                let path = root.join(&directory);
                std::fs::remove_dir_all(&path).map_err(|error| Failure::io("remove", &path, &error))?;
            }
        }
        Ok(())
    }

    fn compare(&mut self, built: &Digests) -> Outcome {
        self.title("compare with what was built");
        let pulled = digests()?;
        let paths = built.keys().chain(pulled.keys().filter(|path| !built.contains_key(*path)));
        let absent = "absent".to_owned();
        let mut findings = Vec::new();
        for path in paths {
            let (before, after) = (built.get(path).unwrap_or(&absent), pulled.get(path).unwrap_or(&absent));
            if before == after {
                println!("     equal: {path} sha256:{after}");
            } else {
                findings.push(format!("{path}: built as {before}, pulled as {after}"));
            }
        }
        Failure::from_findings(findings)
    }

    fn boot(&mut self) -> Outcome<String> {
        self.title("boot what was pulled, and ask the guest who it is");
        let mut command = self.command(&["run", "demo", "--", "uname", "-a"]);
        println!("     $ {}", shown(&command));
        let start = Instant::now();
        let output =
            command.stdin(Stdio::null()).output().map_err(|error| process::not_started(&command, &error))?;
        println!("     {:.2} s, {}", start.elapsed().as_secs_f64(), output.status);
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            println!("     {line}");
        }
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() || !said.starts_with("Linux ") {
            return Err(Failure::new(format!(
                "expected the guest's `uname -a` (`Linux …`) and exit status 0, found {} and `{}`",
                output.status,
                said.trim_end()
            )));
        }
        Ok(said)
    }

    fn title(&mut self, what: &str) {
        self.number += 1;
        println!("\n[{}/{STEPS}] {what}", self.number);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = process::program(&self.port);
        command.args(["--config", CONFIGURATION]).args(arguments);
        command
    }
}

/// Shows what the command says as it says it, set in.
fn stream(command: &mut Command) -> Outcome {
    println!("     $ {}", shown(command));
    let failed = |error: &std::io::Error| process::not_started(command, error);
    let (reader, writer) = std::io::pipe().map_err(|error| failed(&error))?;
    let second = writer.try_clone().map_err(|error| failed(&error))?;
    command.stdin(Stdio::null()).stdout(writer).stderr(second);
    let mut child = command.spawn().map_err(|error| process::not_started(command, &error))?;
    // Our copies of the pipe's end close here; else the reader would wait for ever.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    for line in BufReader::new(reader).lines() {
        let line = line.map_err(|error| process::not_started(command, &error))?;
        println!("     {line}");
    }
    let status = child.wait().map_err(|error| process::not_started(command, &error))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{}` failed: {status}; what it said stands above", process::shown(command))))
}

/// The command as a reader would type it here: `port` is not on the PATH, so it is shown where it is.
fn shown(command: &Command) -> String {
    let typed = process::shown(command);
    let (_, arguments) = typed.split_once(' ').unwrap_or((&typed, ""));
    format!("{} {arguments}", relative(Path::new(command.get_program())))
}

/// Where the sample configuration puts an artifact's files for this host, in the standard variant.
pub(crate) fn directory(artifact: &str) -> String {
    let class = artifact.strip_prefix("demo-").unwrap_or(artifact);
    format!("artifacts/{class}/demo/{}/firecracker/standard", std::env::consts::ARCH)
}

/// The components: what is shipped. Records that a build leaves beside them (`.json`, hidden files) are its own.
fn files_of(artifact: &str) -> Outcome<Vec<PathBuf>> {
    let files: Vec<_> = workspace::entries(&workspace::root().join(directory(artifact)))?
        .into_iter()
        .filter(|path| path.is_file() && path.extension().is_none_or(|extension| extension != "json"))
        .filter(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
        .collect();
    if files.is_empty() {
        return Err(Failure::new(format!(
            "expected files of `{artifact}` in `{}`, found none",
            directory(artifact)
        )));
    }
    Ok(files)
}

fn digests() -> Outcome<Digests> {
    let mut digests = Digests::new();
    for artifact in ARTIFACTS {
        for path in files_of(artifact)? {
            digests.insert(relative(&path), sha256(&path)?);
        }
    }
    Ok(digests)
}

pub(crate) fn sha256(path: &Path) -> Outcome<String> {
    let said = process::read(process::program("sha256sum").arg(path))?;
    let digest = said.split_whitespace().next().filter(|digest| digest.len() == 64);
    digest.map(str::to_owned).ok_or_else(|| {
        Failure::new(format!("sha256sum of `{}`: expected a digest, found `{said}`", path.display()))
    })
}

fn show_files(paths: &[PathBuf]) -> Outcome {
    for path in paths {
        let metadata = std::fs::metadata(path).map_err(|error| Failure::io("look at", path, &error))?;
        println!("     {}", relative(path));
        println!("       sha256:{}", sha256(path)?);
        println!("       {} bytes, {} on disk", grouped(metadata.len()), grouped(metadata.blocks() * 512));
    }
    Ok(())
}

fn relative(path: &Path) -> String {
    let root = workspace::root();
    path.strip_prefix(&root).unwrap_or(path).display().to_string()
}

/// `12,345,678`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let numbers = [0, 999, 1000, 12_345_678].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "12,345,678"]);
    }

    #[test]
    fn a_failing_step_is_told_and_its_output_read_to_the_end() {
        stream(process::program("sh").args(["-c", "echo out; echo err >&2"])).unwrap();
        let failure = stream(process::program("sh").args(["-c", "exit 4"])).unwrap_err();
        assert!(failure.to_string().contains("exit status: 4"), "{failure}");
    }

    #[test]
    fn directories_follow_the_published_layout() {
        assert!(directory("demo-kernel").starts_with("artifacts/kernel/demo/"));
        assert!(directory("demo-guest").ends_with("/firecracker/standard"));
    }
}
