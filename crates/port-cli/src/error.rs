//! The edge: the one place where a library's failure becomes advice and an exit code.

mod base_images;
mod build;
mod control_plane;
mod copy;
mod disk;
mod login;
mod machine;
mod packages;
mod registry;
mod release;
mod run;
mod store;
mod trust;
mod update;
mod workload;

use machine::runtime;
use port_ops::OpsError;
use port_ops::copy::CopyError;
use serde::Serialize;

use crate::args::Format;
use crate::ui::Ui;

/// Exit codes (docs/cli.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// It was tried and failed.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// Signatures are missing that somebody asks for.
    NotTrusted = 3,
    /// A place cannot be reached.
    Unreachable = 4,
    /// A thing is not there.
    NotFound = 5,
    /// A bug in Port.
    Bug = 70,
}

/// A failed command, ready to be said.
#[derive(Debug, Serialize)]
pub struct CommandError {
    /// What happened.
    pub message: String,
    /// Why, from the outside in.
    pub causes: Vec<String>,
    /// What may help.
    pub hints: Vec<String>,
    /// The exit code.
    pub exit: Exit,
    /// A code that is published for this failure, where there is one (base images).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
}

impl CommandError {
    /// An error with one sentence.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), causes: Vec::new(), hints: Vec::new(), exit, code: None }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// What a library's error says, with the advice for its kind, and for what the operating system said below it.
    fn of(error: &(dyn std::error::Error + 'static), exit: Exit, mut hints: Vec<String>) -> Self {
        hints.extend(disk::hint(error).map(str::to_owned));
        match registry::nothing_published(error) {
            Some(message) => Self { hints, ..Self::new(exit, message) },
            None => Self { message: error.to_string(), causes: causes(error), hints, exit, code: None },
        }
    }

    /// All that was said of why, in one piece, for those who go on without.
    pub fn reason(&self) -> String {
        [std::slice::from_ref(&self.message), &self.causes].concat().join(": ")
    }

    /// Says it.
    pub fn print(&self, ui: Ui) {
        match ui.format {
            Format::Text => match self.code {
                Some(code) => ui.error(&format!("{} [{code}]", self.message), &self.causes, &self.hints),
                None => ui.error(&self.message, &self.causes, &self.hints),
            },
            Format::Json => ui.error_json(&serde_json::json!({ "error": self })),
        }
    }
}

impl From<OpsError> for CommandError {
    fn from(error: OpsError) -> Self {
        let (exit, hints) = advice(&error);
        match &error {
            // It says where and what as the registry's own error does, which is behind it.
            OpsError::Backend(backend) => match registry::behind(backend) {
                Some(behind) => Self::of(behind, exit, hints),
                None => Self::of(backend, exit, hints),
            },
            OpsError::Copy(copy) => match &**copy {
                CopyError::Registry(error) => Self::of(&**error, exit, hints),
                _ => Self::of(&error, exit, hints),
            },
            OpsError::Trust(_) => {
                let said = Self::of(&error, exit, hints);
                let causes = said.causes.iter().cloned().chain(trust::why(&error)).collect();
                Self { causes, ..said }
            }
            _ => Self::of(&error, exit, hints),
        }
    }
}

/// What a failure that is part of a report means for the exit code.
pub fn exit_of(error: &OpsError) -> Exit {
    advice(error).0
}

const NOTHING_CHANGED: &str = "nothing was changed";

/// Every cause below an error, without the ones that repeat what was said already.
fn causes(error: &dyn std::error::Error) -> Vec<String> {
    let mut said = error.to_string();
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.contains(&text) {
            said = text.clone();
            causes.push(text);
        }
        next = cause.source();
    }
    causes
}

/// Exit code and hints for each kind of failure. In one piece, so that the compiler asks for each new kind here.
fn advice(error: &OpsError) -> (Exit, Vec<String>) {
    let one = |exit, hint: String| (exit, vec![hint]);
    match error {
        OpsError::ProjectFile(_) => {
            one(Exit::Usage, "name the configuration file with `--config FILE`".to_owned())
        }
        OpsError::Config(_)
        | OpsError::Taken { .. }
        | OpsError::WrongClass { .. }
        | OpsError::Machine { .. } => (Exit::Usage, vec![]),
        OpsError::Trust(error) => trust::advice(error),
        OpsError::UnknownName(_) => (Exit::NotFound, vec![]),
        OpsError::NoSuchVariant(_) => {
            let hint = "variants never fall back; ask for one that exists, or add it to `port.toml`";
            one(Exit::NotFound, hint.to_owned())
        }
        OpsError::ForeignArchitecture { artifact, .. } => one(
            Exit::Usage,
            format!(
                "push and pull work for every architecture: `port artifacts pull --artifact {artifact} --architecture …`"
            ),
        ),
        OpsError::ResearchOnly { .. } | OpsError::NoReferrers { .. } => (Exit::Usage, vec![]),
        OpsError::StandardInPvm { .. } => one(
            Exit::Failed,
            "build the PVM kernel from `PORT_PVM_BUILD_FLAKE_REF` or a configured path".to_owned(),
        ),
        OpsError::NoLocalFile { artifact, .. } => one(
            Exit::NotFound,
            format!(
                "build it with `port artifacts build --artifact {artifact}`, or fetch it with `port artifacts pull --artifact {artifact}`"
            ),
        ),
        OpsError::NoBackend { artifact, direction } => one(
            Exit::Usage,
            format!(
                "add `distribution.{direction} = {{ backend = \"file-system\", root = \"…\" }}` to `{artifact}`"
            ),
        ),
        OpsError::NoToken { .. } | OpsError::BasicEnv(_) => (Exit::Usage, vec![]),
        OpsError::AlreadyPublished { .. } => {
            one(Exit::Failed, "publish a new version, or replace this one with `--overwrite`".to_owned())
        }
        OpsError::ForeignDocuments { .. } => (Exit::Failed, vec![]),
        OpsError::Backend(error) => registry::backend(error),
        OpsError::WrongContent { .. } | OpsError::Documents { .. } => {
            one(Exit::Failed, "nothing was changed; push the artifact again to repair it".to_owned())
        }
        OpsError::Incomplete { .. } => one(
            Exit::NotFound,
            "nothing was changed; push the same content again with `--overwrite`: the registry lost a part of it"
                .to_owned(),
        ),
        OpsError::NotPacked { .. } => one(
            Exit::NotFound,
            "name a version that was pushed with the encoding `packed`, or `--parent none`".to_owned(),
        ),
        OpsError::WrongMap { .. } | OpsError::WrongDelta { .. } | OpsError::Delta(_) => {
            one(Exit::Failed, "nothing was changed; push the artifact again to repair it".to_owned())
        }
        OpsError::PackedElsewhere { .. }
        | OpsError::Layers(_)
        | OpsError::NoOrigin { .. }
        | OpsError::OtherPublished { .. } => (Exit::Failed, vec![]),
        OpsError::Packed(error) => store::packed(error),
        OpsError::Copy(error) => copy::advice(error),
        OpsError::Store(error) => store::advice(error),
        OpsError::Build(error) => build::advice(error),
        OpsError::KernelMismatch { guest_image, .. } => one(
            Exit::Failed,
            format!(
                "build both from the same kernel: `port artifacts build --artifact {guest_image}`, or pull both"
            ),
        ),
        OpsError::Runtime(error) => runtime(error),
        OpsError::Agent(_) => (Exit::Failed, vec![]),
        OpsError::CannotRun { .. } => {
            one(Exit::Failed, "`port doctor` says what this host can do".to_owned())
        }
        OpsError::Files(error) if error.is_not_found() => (Exit::NotFound, vec![]),
        OpsError::ChangedMeanwhile { .. } => {
            one(Exit::Failed, "another process builds into the same path; build again".to_owned())
        }
        OpsError::ChangedOnItsWay { .. } => {
            one(Exit::Failed, "wait until whoever writes it is done, and try again".to_owned())
        }
        OpsError::Kernel(_) | OpsError::Image(_) | OpsError::Files(_) => (Exit::Failed, vec![]),
    }
}
