//! The next page of a list: `Link: <…>; rel="next"` (RFC 8288), at the registry's own origin, each page once.

use std::collections::HashSet;

use reqwest::Url;

use crate::endpoint::shown;
use crate::error::Failure;
use crate::host::Host;
use crate::request::{Reply, redirect};

/// How much of a list is read. A longer one is an error: a part of it would be taken for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListLimit {
    /// The most pages.
    pub pages: usize,
    /// The most entries.
    pub entries: usize,
}

impl Default for ListLimit {
    fn default() -> Self {
        Self { pages: 1000, entries: 100_000 }
    }
}

/// The largest page that is read, in bytes.
const LARGEST_PAGE: u64 = 4 << 20;
/// The most that is read of all pages of one list, in bytes.
const MOST_BYTES: u64 = 32 << 20;
/// The longest `Link` that is read, in bytes.
const LONGEST: usize = 8 * 1024;

impl ListLimit {
    pub(crate) fn bound(self, entries: usize) -> Result<(), Failure> {
        match entries > self.entries {
            true => Err(Failure::LongList { most: self.entries, of: "entries" }),
            false => Ok(()),
        }
    }
}

/// The pages that were asked for.
#[derive(Debug)]
pub(crate) struct Pages {
    seen: HashSet<Url>,
    limit: ListLimit,
    /// How many bytes may still come.
    left: u64,
}

impl Pages {
    pub(crate) fn from(first: &Url, limit: ListLimit) -> Self {
        Self { seen: HashSet::from([first.clone()]), limit, left: MOST_BYTES }
    }

    /// Refuses a list that has so many entries by now, if they are too many.
    pub(crate) fn bound(&self, entries: usize) -> Result<(), Failure> {
        self.limit.bound(entries)
    }

    /// A page.
    pub(crate) async fn read(&mut self, host: &Host, reply: Reply) -> Result<Vec<u8>, Failure> {
        let bytes = reply.bytes(host, LARGEST_PAGE).await?;
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left =
            left.ok_or_else(|| Failure::Hostile(format!("a list of more than {MOST_BYTES} bytes")))?;
        Ok(bytes)
    }

    /// The page after this one, if there is one.
    pub(crate) fn next(&mut self, host: &Host, reply: &Reply) -> Result<Option<Url>, Failure> {
        let Some(link) = reply.header("link") else { return Ok(None) };
        let next = next_of(link, &reply.url).map_err(Failure::Hostile)?;
        let Some(url) = next else { return Ok(None) };
        if !host.is_home(&url) {
            let what = format!("a next page at {}, which is elsewhere than the registry", shown(&url));
            return Err(Failure::Hostile(what));
        }
        if !self.seen.insert(url.clone()) {
            return Err(Failure::Hostile("a list whose pages lead back to where they were".to_owned()));
        }
        if self.seen.len() > self.limit.pages {
            return Err(Failure::LongList { most: self.limit.pages, of: "pages" });
        }
        Ok(Some(url))
    }
}

fn next_of(link: &str, page: &Url) -> Result<Option<Url>, String> {
    if link.len() > LONGEST {
        return Err("an endless Link".to_owned());
    }
    for part in link.split(", <") {
        let part = part.trim_start_matches([' ', '<']);
        let Some((target, parameters)) = part.split_once('>') else { continue };
        let is_next = parameters.split(';').any(|parameter| {
            let parameter = parameter.trim().to_ascii_lowercase();
            parameter == "rel=\"next\"" || parameter == "rel=next"
        });
        if is_next {
            let url = page.join(target).map_err(|_| "a Link that is no URL".to_owned())?;
            redirect::vet(&url, page)?;
            return Ok(Some(url));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read() {
        let page = Url::parse("https://r/v2/a/tags/list?n=2").unwrap();
        let next = |link: &str| next_of(link, &page).map(|url| url.map(|url| url.to_string()));
        let expected = Ok(Some("https://r/v2/a/tags/list?last=b".to_owned()));
        assert_eq!(next("</v2/a/tags/list?last=b>; rel=\"next\""), expected);
        assert_eq!(next("<tags/x>; rel=prev, </v2/a/tags/list?last=b>; type=x; rel=next"), expected);
        assert_eq!(next("</x>; rel=\"prev\""), Ok(None));
        assert_eq!(next("nonsense"), Ok(None));
        assert!(next("<http://r/x>; rel=next").is_err());
        assert!(next(&format!("<{}>; rel=next", "x".repeat(LONGEST))).is_err());
    }
}
