//! `port control-plane token`: tokens with scopes, kept in the storage. They need no server: every server on that storage knows them at
//! once, and knows no more what was revoked.

use clap::{Args, Subcommand};
use jiff::{SpanRelativeTo, Timestamp};
use port_server::gate::{Grant, TokenDraft, TokenId, TokenRecord, TokenStore};
use serde::Serialize;

use super::place::{Place, StorageFlags};
use crate::args::Global;
use crate::error::{CommandError, Exit};
use crate::ui::{self, Ui};

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a token; it is shown once and kept nowhere.
    Create(Create),
    /// List the tokens that there are.
    List(PlaceFlags),
    /// End a token at once, and those that clients got for it.
    Revoke(Revoke),
}

/// Which control plane.
#[derive(Debug, Args)]
pub struct PlaceFlags {
    /// Which control plane of `port.toml`.
    #[arg(long, value_name = "NAME")]
    control_plane: String,
    #[command(flatten)]
    storage: StorageFlags,
}

/// Arguments of create.
#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    place: PlaceFlags,
    /// What it is called, in lists and logs.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it may do and where: `pull,push:team/**`; actions are pull, push, delete and admin, which is all.
    #[arg(long = "scope", value_name = "ACTIONS:REPOSITORIES", required = true)]
    scopes: Vec<Grant>,
    /// How long it is good, as `30d` or `12h`, or until when, as `2027-01-01T00:00:00Z`; for ever unless said.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

/// Arguments of revoke.
#[derive(Debug, Args)]
pub struct Revoke {
    #[command(flatten)]
    place: PlaceFlags,
    /// Which one, as `list` shows it.
    #[arg(value_name = "ID")]
    id: TokenId,
}

#[derive(Serialize)]
struct Created {
    token: String,
    #[serde(flatten)]
    row: Row,
}

#[derive(Serialize)]
struct Listed {
    tokens: Vec<Row>,
}

#[derive(Serialize)]
struct Revoked {
    id: TokenId,
}

#[derive(Serialize)]
struct Row {
    id: TokenId,
    name: String,
    audience: String,
    scopes: Vec<String>,
    created: Timestamp,
    expires: Option<Timestamp>,
    expired: bool,
}

impl Row {
    fn of(record: TokenRecord, now: Timestamp) -> Self {
        let TokenRecord { id, name, audience, scopes, created, expires, .. } = record;
        Self { id, name, audience, scopes, created, expires, expired: expires.is_some_and(|at| at <= now) }
    }

    fn cells(&self) -> Vec<String> {
        let expires = match self.expires {
            Some(at) if self.expired => format!("{at} (expired)"),
            Some(at) => at.to_string(),
            None => "never".to_owned(),
        };
        vec![self.id.to_string(), self.name.clone(), self.scopes.join(" "), expires]
    }
}

/// Runs a verb.
pub async fn run(command: Command, global: &Global, ui: Ui) -> Result<(), CommandError> {
    match command {
        Command::Create(arguments) => create(arguments, global, ui).await,
        Command::List(flags) => list(flags, global, ui).await,
        Command::Revoke(arguments) => revoke(arguments, global, ui).await,
    }
}

async fn open(flags: PlaceFlags, global: &Global, ui: Ui) -> Result<(Place, TokenStore), CommandError> {
    let place = Place::find(&flags.control_plane, flags.storage, global, ui)?;
    let store = TokenStore::new(place.storage().await?);
    Ok((place, store))
}

async fn create(arguments: Create, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let now = Timestamp::now();
    let (place, store) = open(arguments.place, global, ui).await?;
    let expires = arguments.expires.map(|text| until(&text, now)).transpose()?;
    let audience = place.plane.audience.clone();
    let draft = TokenDraft { name: arguments.name, audience, grants: arguments.scopes, expires };
    let made = store.create(&draft, now).await?;
    let created = Created { token: made.token, row: Row::of(made.record, now) };
    ui.report(&created, || format!("{}\n", created.token))?;
    ui.note(&format!(
        "the token `{}` is shown this once; revoke it with its id {}",
        created.row.name, created.row.id
    ));
    Ok(())
}

async fn list(flags: PlaceFlags, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let now = Timestamp::now();
    let (place, store) = open(flags, global, ui).await?;
    let tokens = store.list().await?;
    // One storage may serve several control planes.
    let own = tokens.into_iter().filter(|record| record.audience == place.plane.audience);
    let listed = Listed { tokens: own.map(|record| Row::of(record, now)).collect() };
    ui.report(&listed, || {
        if listed.tokens.is_empty() {
            return format!("no tokens of `{}`\n", place.plane.name);
        }
        let heading = ["ID", "NAME", "SCOPES", "EXPIRES"].map(str::to_owned).to_vec();
        ui::table(&std::iter::once(heading).chain(listed.tokens.iter().map(Row::cells)).collect::<Vec<_>>())
    })
}

async fn revoke(arguments: Revoke, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let (place, store) = open(arguments.place, global, ui).await?;
    if !store.revoke(&arguments.id).await? {
        let message = format!("`{}` has no token {}", place.plane.name, arguments.id);
        return Err(
            CommandError::new(Exit::NotFound, message).hint("`port control-plane token list` shows all")
        );
    }
    let revoked = Revoked { id: arguments.id };
    ui.report(&revoked, || format!("revoked {}\n", revoked.id))
}

/// A time from now, or a time.
fn until(text: &str, now: Timestamp) -> Result<Timestamp, CommandError> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let span = text.parse::<jiff::Span>().ok();
    let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    duration.and_then(|duration| now.checked_add(duration).ok()).ok_or_else(|| {
        let message = format!("`{text}` is no time: expected `30d`, `12h` or `2027-01-01T00:00:00Z`");
        CommandError::new(Exit::Usage, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spans_or_times() {
        let now = Timestamp::UNIX_EPOCH;
        for (text, expected) in
            [("30d", 30 * 86400), ("12h", 12 * 3600), ("2w", 14 * 86400), ("1970-01-02T00:00:00Z", 86400)]
        {
            assert_eq!(until(text, now).unwrap().as_second(), expected, "{text}");
        }
        for bad in ["", "soon", "30", "1y"] {
            assert!(until(bad, now).is_err(), "{bad:?} was taken");
        }
    }
}
