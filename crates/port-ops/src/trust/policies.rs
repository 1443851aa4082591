//! The policies that hold for one invocation: the machine's and the project's. All of them must be satisfied.
//!
//! ```text
//! PORT_TRUST_POLICY, else /etc/port/trust.toml ─┐
//! trust.toml beside port.toml ──────────────────┴─► every rule that means the name ─► verdicts; one "no" is enough
//! ```

use std::path::{Path, PathBuf};

use port_content::fs;
use port_model::Digest;
use port_trust::policy::LARGEST_POLICY;
use port_trust::{
    About, Asks, Candidate, Identities, Judgement, Policy, Question, Requirement, SignedName, Verdict, verify,
};

use crate::trust::error::TrustError;
use crate::workspace::Workspace;

/// The project's policy, beside its `port.toml`.
const PROJECT_POLICY: &str = "trust.toml";

/// Policies, in the order in which they are asked.
#[derive(Debug, Clone, Default)]
pub struct Policies(Vec<Policy>);

impl Policies {
    /// Reads these policies. Each must be there.
    ///
    /// # Errors
    /// [`TrustError`] where one cannot be read or used: then nothing is trusted.
    pub fn load(paths: &[PathBuf]) -> Result<Self, TrustError> {
        paths.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>().map(Self)
    }

    /// The policies that hold in a workspace.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn of(workspace: &Workspace) -> Result<Self, TrustError> {
        Self::beside(workspace.environment.trust_policy.clone(), &workspace.project_path)
    }

    /// The machine's policy, and the one beside this configuration, which need not be there itself.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn beside(machine: Option<PathBuf>, configuration: &Path) -> Result<Self, TrustError> {
        let mut paths: Vec<PathBuf> = machine.into_iter().collect();
        let own = configuration.with_file_name(PROJECT_POLICY);
        if fs::try_metadata(&own)?.is_some() && !paths.contains(&own) {
            paths.push(own);
        }
        Self::load(&paths)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether anybody asks for a signature of this name; else nothing needs to be fetched to decide.
    pub(crate) fn ask_for_signatures(&self, name: &SignedName) -> bool {
        self.0.iter().any(|policy| matches!(policy.answer(name).asks, Asks::Signatures { .. }))
    }

    /// Whether every policy takes this name unsigned, or there is none.
    pub(crate) fn ask_nothing(&self, name: &SignedName) -> bool {
        self.0.iter().all(|policy| matches!(policy.answer(name).asks, Asks::Nothing))
    }

    /// The predicates that are asked for besides.
    pub(crate) fn predicates(&self, name: &SignedName) -> Vec<String> {
        let asked = self.0.iter().flat_map(|policy| match policy.answer(name).asks {
            Asks::Signatures { attestations, .. } => attestations,
            _ => &[],
        });
        asked.cloned().collect()
    }

    /// What each policy that asks for signatures makes of a question that its caller asks, by the keys of the rule that means the
    /// name. A rule that takes nothing of the name counts no key.
    pub(crate) fn statements(
        &self,
        name: &SignedName,
        judge: &dyn Fn(&Requirement, &str) -> Judgement,
    ) -> Vec<Judgement> {
        let none =
            Requirement { keys: Vec::new(), others: Vec::new(), threshold: 1, identities: Identities::Own };
        let asked = self.0.iter().filter_map(|policy| {
            let answer = policy.answer(name);
            match answer.asks {
                Asks::Signatures { requirement, .. } => Some(judge(requirement, &answer.rule)),
                Asks::Absence => Some(judge(&none, &answer.rule)),
                Asks::Nothing => None,
            }
        });
        asked.collect()
    }

    /// Every verdict on a manifest, by what was found.
    pub(crate) fn judge(&self, name: &SignedName, subject: &Digest, found: &[Candidate]) -> Vec<Verdict> {
        self.0.iter().flat_map(|policy| verdicts(policy, name, subject, found)).collect()
    }
}

fn verdicts(policy: &Policy, name: &SignedName, subject: &Digest, found: &[Candidate]) -> Vec<Verdict> {
    let answer = policy.answer(name);
    if let Some(verdict) = answer.without_signatures(subject, name) {
        return vec![verdict];
    }
    let Asks::Signatures { requirement, attestations } = answer.asks else { return Vec::new() };
    let statements = attestations.iter().map(|kind| About::Statement(kind));
    let about = std::iter::once(About::Signature).chain(statements);
    let judge = |about| {
        let question = Question { subject, name: Some(name), policy: &answer.rule, about };
        verify(&question, requirement, found).verdict
    };
    about.map(judge).collect()
}

fn read(path: &Path) -> Result<Policy, TrustError> {
    let text = fs::read_to_string(path, LARGEST_POLICY as u64)?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let load = |key: &str| {
        let key = directory.join(key);
        fs::read_to_string(&key, port_trust::LARGEST_KEY as u64).map_err(|error| crate::error::chain(&error))
    };
    Ok(Policy::read(&path.display().to_string(), &text, load)?)
}
