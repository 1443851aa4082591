//! The first page: what is stored, every repository that the caller may read, and what changed lately.

use jiff::Timestamp;

use super::html::{Html, count, size};
use super::{Call, document};
use crate::catalog::collect::Stock;
use crate::gate::Action;
use crate::name::RepositoryName;
use crate::storage::StorageError;

/// How many repositories are on a page.
const MOST_REPOSITORIES: usize = 200;
/// The longest text that is searched for.
const LONGEST_QUERY: usize = 255;
/// More tags than this are not counted.
const MOST_TAGS: usize = 1000;

pub(super) async fn page(call: &Call<'_>) -> Result<Option<Html>, StorageError> {
    let wanted: String = call.head.query("q").unwrap_or("").replace('+', " ");
    let wanted: String = wanted.trim().chars().take(LONGEST_QUERY).collect();
    let after = call.head.query("after").unwrap_or("");
    let needle = wanted.to_lowercase();
    let all = call.catalog.repositories().await?;
    let mut found = all.into_iter().filter(|name| {
        name.as_str() > after && name.as_str().contains(&needle) && call.principal.may_see(name)
    });
    let shown: Vec<RepositoryName> = found.by_ref().take(MOST_REPOSITORIES).collect();
    let more = found.next().is_some();
    let mut body = Html::default();
    body.raw("<h1>Repositories</h1>");
    search(&mut body, &wanted);
    repositories(call, &mut body, &shown, &wanted).await?;
    if let (true, Some(last)) = (more, shown.last()) {
        body.raw("<p><a rel=\"next\" href=\"/?q=").query(&wanted).raw("&amp;after=").query(last.as_str());
        body.raw("\">More repositories</a></p>");
    }
    if call.principal.may_everywhere(Action::Pull) {
        storage(&mut body, call.meters.stock());
    }
    activity(call, &mut body);
    Ok(Some(document("Repositories", call.control_plane, &body)))
}

fn search(body: &mut Html, wanted: &str) {
    body.raw("<form role=\"search\" method=\"get\" action=\"/\"><label for=\"q\">Find by name</label><div class=\"field\">");
    body.raw("<input id=\"q\" name=\"q\" type=\"search\" autocomplete=\"off\" spellcheck=\"false\" value=\"");
    body.text(wanted).raw("\"><button type=\"submit\">Search</button></div></form>");
}

async fn repositories(
    call: &Call<'_>,
    body: &mut Html,
    shown: &[RepositoryName],
    wanted: &str,
) -> Result<(), StorageError> {
    if shown.is_empty() {
        body.raw("<p class=\"empty\">");
        if wanted.is_empty() {
            body.raw("Nothing is published here yet.");
        } else {
            body.raw("No repository has “").text(wanted).raw("” in its name. <a href=\"/\">Show all</a>");
        }
        body.raw("</p>");
        return Ok(());
    }
    body.raw("<table><caption>").text(count(shown.len() as u64, "repository", "repositories"));
    body.raw("</caption><thead><tr><th scope=\"col\">Name</th><th scope=\"col\" class=\"number\">Tags</th></tr></thead><tbody>");
    for name in shown {
        let tags = call.catalog.tags(name, None, MOST_TAGS + 1).await?.len();
        body.raw("<tr><th scope=\"row\"><a href=\"/repositories/").text(name).raw("\">").text(name);
        body.raw("</a></th><td class=\"number\">").text(tags.min(MOST_TAGS));
        body.raw(if tags > MOST_TAGS { "+</td></tr>" } else { "</td></tr>" });
    }
    body.raw("</tbody></table>");
    Ok(())
}

fn storage(body: &mut Html, stock: Option<(Timestamp, Stock)>) {
    body.raw("<section aria-labelledby=\"storage\"><h2 id=\"storage\">Storage</h2>");
    let Some((counted, stock)) = stock else {
        body.raw("<p class=\"empty\">It is being counted.</p></section>");
        return;
    };
    body.raw("<dl class=\"figures\">");
    let figures = [
        ("Stored", size(stock.blob_bytes)),
        ("Blobs", stock.blobs.to_string()),
        ("Manifests", stock.manifests.to_string()),
        ("Uploads under way", format!("{} ({})", stock.uploads, size(stock.upload_bytes))),
    ];
    for (name, value) in figures {
        body.raw("<div><dt>").text(name).raw("</dt><dd>").text(value).raw("</dd></div>");
    }
    body.raw("</dl><p class=\"note\">Counted at <time>")
        .text(counted)
        .raw("</time> and with every round of garbage collection.</p>");
    if stock.quarantined > 0 {
        body.raw("<p class=\"warning\" role=\"status\"><strong>").text(stock.quarantined);
        body.raw(if stock.quarantined == 1 { " blob is" } else { " blobs are" });
        body.raw(" in quarantine:</strong> the bytes were not their own any more. Push them anew.</p>");
    }
    body.raw("</section>");
}

fn activity(call: &Call<'_>, body: &mut Html) {
    let changes = call.meters.changes();
    let readable = changes.iter().filter(|change| call.principal.may_see(&change.repository));
    let mut rows = Html::default();
    let mut some = false;
    for change in readable {
        some = true;
        rows.raw("<tr><td><time>").text(change.at).raw("</time></td><td>").text(&change.principal);
        rows.raw("</td><td>").text(change.verb).raw(" <a href=\"/repositories/").text(&change.repository);
        rows.raw("\">").text(&change.repository).raw("</a> <code>").text(&change.what);
        rows.raw("</code></td></tr>");
    }
    body.raw("<section aria-labelledby=\"activity\"><h2 id=\"activity\">Recent activity</h2>");
    if some {
        body.raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"activity\"><table><thead><tr>");
        body.raw("<th scope=\"col\">When (UTC)</th><th scope=\"col\">Who</th><th scope=\"col\">What</th></tr></thead><tbody>");
        body.append(&rows).raw("</tbody></table></div></section>");
    } else {
        body.raw("<p class=\"empty\">Nothing changed since this server began.</p></section>");
    }
}
