//! A server without the command line around it, for looking at this crate alone:
//! `cargo run -p port-server --example serve DIRECTORY ADDRESS TOKEN`. Records go to standard error.
#![expect(clippy::print_stderr, reason = "a program of its own, for development")]

use std::path::Path;
use std::sync::Arc;

use port_server::catalog::Sparse;
use port_server::gate::{AnonymousPull, OneToken};
use port_server::observe::{Event, Observer, RequestRecord};
use port_server::storage::Folder;
use port_server::{Limits, Server, Settings};

struct Print;

impl Observer for Print {
    fn request(&self, record: &RequestRecord) {
        eprintln!("{}", serde_json::to_string(record).unwrap_or_default());
    }

    fn event(&self, event: &Event) {
        eprintln!("{}", serde_json::to_string(event).unwrap_or_default());
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, directory, address, token] = arguments.as_slice() else {
        return Err("expected DIRECTORY ADDRESS TOKEN".into());
    };
    let settings = Settings {
        storage: Arc::new(Folder::open(Path::new(directory))?),
        gate: Arc::new(OneToken::new(token, "port-demo", "authorization", AnonymousPull::Refused)),
        sparse: Sparse::Accepted,
        control_plane: "demo".to_owned(),
        observer: Arc::new(Print),
        clock: Arc::new(jiff::Timestamp::now),
        ticks: Arc::new(std::time::Instant::now),
        limits: Limits::default(),
        tls: None,
        audit: None,
        public_url: None,
    };
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    Server::bind(settings, address.parse()?).await?.run(stop).await;
    Ok(())
}
