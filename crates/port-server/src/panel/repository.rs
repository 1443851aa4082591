//! The page of one repository: its versions, their variants, and the words that pull them.

use port_model::Variant;

use super::html::{Html, count, size};
use super::survey::{self, Entry, File, Survey, Version};
use super::{Call, document};
use crate::name::RepositoryName;
use crate::storage::StorageError;

/// What stands for our address where the request names none that could be one.
const NO_HOST: &str = "HOST";

pub(super) async fn page(call: &Call<'_>, name: &RepositoryName) -> Result<Html, StorageError> {
    let survey = survey::of(call.catalog, name, call.head.query("after")).await?;
    let page = Page { name, host: host(call) };
    let mut body = Html::default();
    body.raw("<nav aria-label=\"Where you are\"><a href=\"/\">Repositories</a></nav><h1>")
        .text(name)
        .raw("</h1>");
    saved(&mut body, &survey);
    if survey.versions.is_empty() && survey.others.is_empty() {
        body.raw("<p class=\"empty\">It has no tags.</p>");
    }
    for (std::cmp::Reverse(version), found) in &survey.versions {
        page.version(&mut body, version, found);
    }
    if !survey.others.is_empty() {
        body.raw("<section aria-labelledby=\"others\"><h2 id=\"others\">Other tags</h2>");
        for entry in &survey.others {
            page.entry(&mut body, entry, None);
        }
        body.raw("</section>");
    }
    if let Some(next) = &survey.next {
        body.raw("<p><a rel=\"next\" href=\"?after=").query(next).raw("\">More tags</a></p>");
    }
    Ok(document(name.as_str(), call.control_plane, &body))
}

/// The address that the reader came by, where it is one: it is repeated in commands.
fn host<'a>(call: &'a Call<'_>) -> &'a str {
    let fits = |host: &&str| {
        let inside =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
        !host.is_empty() && host.len() <= 255 && host.bytes().all(inside)
    };
    call.head.header("host").filter(fits).unwrap_or(NO_HOST)
}

/// What the files would take, and what they take: packs that versions share are stored once.
fn saved(body: &mut Html, survey: &Survey) {
    let stored = survey.stored.values().fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
    if survey.raw == 0 {
        return;
    }
    body.raw("<dl class=\"figures\"><div><dt>Files</dt><dd>").text(size(survey.raw));
    body.raw("</dd></div><div><dt>Stored for them</dt><dd>").text(size(stored)).raw("</dd></div>");
    let saved = survey.raw.saturating_sub(stored);
    let percent = saved.saturating_mul(100) / survey.raw;
    if percent > 0 {
        body.raw("<div><dt>Saved by packing and sharing</dt><dd>").text(size(saved));
        body.raw(" (").text(percent).raw(" %)</dd></div>");
    }
    body.raw("</dl>");
}

struct Page<'a> {
    name: &'a RepositoryName,
    host: &'a str,
}

impl Page<'_> {
    fn version(&self, body: &mut Html, version: &str, found: &Version) {
        body.raw("<section aria-labelledby=\"version-")
            .text(version)
            .raw("\"><h2 id=\"version-")
            .text(version);
        body.raw("\">").text(version).raw(" <small>");
        body.text(count(found.variants.len() as u64, "variant", "variants")).raw("</small></h2>");
        if let Some(index) = &found.index {
            body.raw("<p class=\"index\">Index <code class=\"digest\">").text(index).raw("</code></p>");
        }
        for (variant, entry) in &found.variants {
            self.entry(body, entry, Some((*variant, version)));
        }
        body.raw("</section>");
    }

    fn entry(&self, body: &mut Html, entry: &Entry, variant: Option<(Variant, &str)>) {
        body.raw("<article><h3>");
        match variant {
            Some((variant, _)) => {
                body.raw("<span class=\"badge\">")
                    .text(variant.architecture)
                    .raw("</span> <span class=\"badge\">");
                body.text(variant.substrate)
                    .raw("</span> <span class=\"badge\">")
                    .text(variant.protection_mode);
                body.raw("</span>");
            }
            None => {
                body.text(&entry.tag);
            }
        }
        body.raw("</h3>");
        if entry.files.is_empty() {
            body.raw("<p class=\"type\">").text(&entry.media_type).raw("</p>");
        } else {
            files(body, entry);
        }
        signatures(body, entry);
        self.commands(body, entry, variant);
        body.raw("</article>");
    }

    fn commands(&self, body: &mut Html, entry: &Entry, variant: Option<(Variant, &str)>) {
        let (host, name, Entry { tag, digest, .. }) = (self.host, self.name, entry);
        body.raw("<dl class=\"facts\"><div><dt>Manifest</dt><dd><code class=\"digest\">").text(digest);
        body.raw("</code></dd></div>");
        if let Some((variant, version)) = variant {
            let reference = format_args!(
                r#"reference = {{ registry = "{host}", repository = "{name}", version = "{version}" }}"#
            );
            copyable(body, "In port.toml", reference);
            // The command line writes its words with dashes.
            let architecture = variant.architecture.as_str().replace('_', "-");
            let (substrate, mode) = (variant.substrate, variant.protection_mode);
            let artifact = name.as_str().rsplit('/').next().unwrap_or_default();
            let command = format_args!(
                "port artifacts pull --artifact {artifact} --architecture {architecture} --substrate {substrate} --protection-mode {mode}"
            );
            copyable(body, "Pull with Port", command);
        }
        // Of a packed file other tools get the packs alone, without names.
        if entry.is_plain() {
            copyable(body, "Pull", format_args!("oras pull {host}/{name}:{tag}"));
            copyable(body, "Pull exactly this", format_args!("oras pull {host}/{name}@{digest}"));
        }
        body.raw("</dl>");
    }
}

/// Text that one click selects.
fn copyable(body: &mut Html, what: &'static str, text: std::fmt::Arguments<'_>) {
    body.raw("<div><dt>").raw(what).raw("</dt><dd><code class=\"copy\" tabindex=\"0\">").text(text);
    body.raw("</code></dd></div>");
}

fn files(body: &mut Html, entry: &Entry) {
    body.raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Files of ").text(&entry.tag);
    body.raw("\"><table><thead><tr><th scope=\"col\">File</th><th scope=\"col\">What it is</th>");
    body.raw("<th scope=\"col\" class=\"number\">Size</th><th scope=\"col\">Stored</th><th scope=\"col\">Digest</th></tr></thead><tbody>");
    for file in &entry.files {
        body.raw("<tr><th scope=\"row\">").text(&file.name).raw("</th><td>").text(&file.kind);
        body.raw("</td><td class=\"number\">").text(size(file.size)).raw("</td><td>");
        body.text(how(file))
            .raw("</td><td><code class=\"digest\">")
            .text(&file.digest)
            .raw("</code></td></tr>");
    }
    body.raw("</tbody></table></div>");
}

fn how(file: &File) -> String {
    match file.stored {
        None => "as it is".to_owned(),
        Some(("raw", _, 1)) => "as it is".to_owned(),
        Some((encoding, bytes, 1)) => format!("{encoding}, {}", size(bytes)),
        Some((encoding, bytes, blobs)) => format!("{encoding}, {} in {blobs} blobs", size(bytes)),
    }
}

fn signatures(body: &mut Html, entry: &Entry) {
    if entry.referrers.is_empty() && entry.signature_tag.is_none() {
        body.raw("<p class=\"unsigned\">No signatures or other referrers.</p>");
        return;
    }
    let number = entry.referrers.len() + usize::from(entry.signature_tag.is_some());
    body.raw("<details><summary>Signatures and referrers: ").text(number).raw("</summary><ul>");
    if let Some(tag) = &entry.signature_tag {
        body.raw("<li>signature, under the tag <code class=\"digest\">").text(tag).raw("</code></li>");
    }
    for referrer in &entry.referrers {
        body.raw("<li>").text(&referrer.what).raw(", ").text(size(referrer.size));
        body.raw(" <code class=\"digest\">").text(&referrer.digest).raw("</code></li>");
    }
    body.raw("</ul><p class=\"note\">Who signed, and whether that is enough, is for <code>port artifacts verify</code> to say.</p></details>");
}
