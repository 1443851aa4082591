//! The counts in Prometheus' text form (version 0.0.4): a help line, a type line, samples.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{BOUNDS, Class, Meters, Series};

/// The media type of the text.
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A text under construction. Labels are words of our own, so nothing needs escaping.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// Microseconds as seconds.
fn seconds(microseconds: u64) -> String {
    let text = format!("{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Meters {
    /// Everything.
    pub(crate) fn text(&self) -> String {
        let mut text = Text::default();
        self.requests_text(&mut text);
        self.connections_text(&mut text);
        self.stock_text(&mut text);
        self.maintenance_text(&mut text);
        text.0
    }

    fn requests_text(&self, text: &mut Text) {
        let series = self.series();
        text.family("port_requests_total", "counter", "Requests that were answered.");
        for ((class, method, status), counts) in &series {
            let status = status.to_string();
            let labels = [("class", class.word()), ("method", *method), ("status", &status)];
            text.sample("port_requests_total", &labels, counts.requests);
        }
        let classes = by_class(&series);
        let name = "port_request_duration_seconds";
        text.family(name, "histogram", "How long until an answer began.");
        for (class, counts) in &classes {
            let mut below = 0;
            for (bound, count) in BOUNDS.iter().zip(&counts.buckets) {
                below += count;
                let labels = [("class", class.word()), ("le", &seconds(*bound))];
                text.sample(&format!("{name}_bucket"), &labels, below);
            }
            let labels = [("class", class.word()), ("le", "+Inf")];
            text.sample(&format!("{name}_bucket"), &labels, counts.requests);
            let labels = [("class", class.word())];
            text.sample(&format!("{name}_sum"), &labels, seconds(counts.microseconds));
            text.sample(&format!("{name}_count"), &labels, counts.requests);
        }
        text.family("port_request_bytes_total", "counter", "Bytes of bodies, as announced.");
        for (class, counts) in &classes {
            for (direction, bytes) in [("received", counts.received), ("sent", counts.sent)] {
                let labels = [("class", class.word()), ("direction", direction)];
                text.sample("port_request_bytes_total", &labels, bytes);
            }
        }
    }

    fn connections_text(&self, text: &mut Text) {
        let open = self.connections.load(Ordering::Relaxed);
        text.single("port_connections", "gauge", "Connections that are open.", open);
        let taken = self.connections_taken.load(Ordering::Relaxed);
        text.single("port_connections_total", "counter", "Connections that were taken.", taken);
    }

    /// What is stored, as the last round of collection counted it; nothing before the first.
    fn stock_text(&self, text: &mut Text) {
        let Some((counted, stock)) = self.stock() else { return };
        let help = "When the storage was counted, in seconds since 1970.";
        text.single("port_storage_counted_timestamp_seconds", "gauge", help, counted.as_second());
        for (name, help, value) in [
            ("port_storage_blobs", "Blobs that are stored.", stock.blobs),
            ("port_storage_blob_bytes", "Their bytes.", stock.blob_bytes),
            ("port_storage_manifests", "Manifests that are stored.", stock.manifests),
            ("port_storage_repositories", "Repositories.", stock.repositories),
            ("port_storage_uploads", "Uploads that have not ended.", stock.uploads),
            ("port_storage_upload_bytes", "Their bytes.", stock.upload_bytes),
            ("port_storage_quarantined_blobs", "Blobs in quarantine.", stock.quarantined),
        ] {
            text.single(name, "gauge", help, value);
        }
    }

    fn maintenance_text(&self, text: &mut Text) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (name, help, value) in [
            ("port_collection_rounds_total", "Rounds of collection.", read(&self.rounds)),
            ("port_collection_blobs_total", "Blobs that were swept.", read(&self.swept_blobs)),
            ("port_collection_bytes_total", "Bytes that were swept.", read(&self.swept_bytes)),
            ("port_collection_manifests_total", "Manifests that were swept.", read(&self.swept_manifests)),
            ("port_collection_uploads_total", "Uploads that were dropped.", read(&self.swept_uploads)),
            (
                "port_scrub_blobs_total",
                "Blobs that were read again and are sound.",
                read(&self.scrubbed_blobs),
            ),
            ("port_scrub_bytes_total", "Their bytes.", read(&self.scrubbed_bytes)),
            ("port_scrub_quarantined_total", "Blobs that were put aside.", read(&self.quarantined)),
        ] {
            text.single(name, "counter", help, value);
        }
    }
}

fn by_class(series: &BTreeMap<(Class, &'static str, u16), Series>) -> BTreeMap<Class, Series> {
    let mut classes: BTreeMap<Class, Series> = BTreeMap::new();
    for ((class, _, _), counts) in series {
        let sum = classes.entry(*class).or_default();
        sum.requests += counts.requests;
        sum.microseconds = sum.microseconds.saturating_add(counts.microseconds);
        sum.received = sum.received.saturating_add(counts.received);
        sum.sent = sum.sent.saturating_add(counts.sent);
        for (sum, count) in sum.buckets.iter_mut().zip(&counts.buckets) {
            *sum += count;
        }
    }
    classes
}
