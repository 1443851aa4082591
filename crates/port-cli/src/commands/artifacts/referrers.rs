//! `port artifacts referrers`: of any manifest, or of a variant of `port.toml`.

use clap::Args;
use port_ops::copy::Place;
use port_ops::{Referrer, ReferrersReport, Target};

use super::copy::surroundings;
use crate::args::{Global, RegistryFlags, Selectors};
use crate::commands::workspace;
use crate::error::{CommandError, Exit};
use crate::ui::{self, Ui};

/// Arguments of referrers.
#[derive(Debug, Args)]
pub struct Arguments {
    /// To what: `registry/repository:tag[@digest]`, or `oci:DIRECTORY:NAME`.
    #[arg(value_name = "REF", required_unless_present = "artifact", conflicts_with = "artifact")]
    place: Option<Place>,
    /// To the published variant of this artifact, which the selectors choose.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["plain_http", "ca_file"])]
    artifact: Option<String>,
    /// Only those of this type.
    #[arg(long, value_name = "T")]
    artifact_type: Option<String>,
    #[command(flatten)]
    selectors: Selectors,
    #[command(flatten)]
    registry: RegistryFlags,
}

pub(super) async fn run(arguments: &Arguments, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let artifact_type = arguments.artifact_type.as_deref();
    let report = match (&arguments.place, &arguments.artifact) {
        (Some(place), _) => {
            let surroundings = surroundings(&arguments.registry, global, ui)?;
            port_ops::referrers(&surroundings, place, artifact_type).await?
        }
        (None, Some(name)) => {
            let workspace = workspace(global, ui)?;
            let target = Target::resolve(&workspace, name, arguments.selectors.into())?;
            port_ops::referrers_of(&workspace, target, artifact_type).await?
        }
        (None, None) => return Err(CommandError::new(Exit::Usage, "name a manifest, or `--artifact NAME`")),
    };
    ui.report(&report, || text(&report))
}

fn text(report: &ReferrersReport) -> String {
    if report.referrers.is_empty() {
        return format!("nothing refers to {} ({})\n", report.place, report.subject);
    }
    let heading = ["ARTIFACT TYPE", "SIZE", "DIGEST", "ANNOTATIONS"].map(str::to_owned).to_vec();
    let rows = report.referrers.iter().map(row);
    let table = ui::table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>());
    format!("referrers of {} ({})\n{table}", report.place, report.subject)
}

fn row(referrer: &Referrer) -> Vec<String> {
    let annotations: Vec<String> =
        referrer.annotations.iter().map(|(key, value)| format!("{key}={value}")).collect();
    // Others wrote these: they are kept from driving the terminal.
    let plain = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    vec![
        plain(referrer.artifact_type.as_deref().unwrap_or("-")),
        ui::size(referrer.bytes),
        referrer.digest.to_string(),
        plain(&annotations.join(" ")),
    ]
}
