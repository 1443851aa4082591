//! The tags of a repository.

use reqwest::Method;
use serde::Deserialize;

use crate::auth::Scopes;
use crate::error::{Failure, quote};
use crate::host::Host;
use crate::list::page::{ListLimit, Pages};
use crate::name::RepositoryName;
use crate::request::Call;
use crate::tag::Tag;

/// How many tags are asked for at once.
const PAGE: &str = "1000";

#[derive(Deserialize)]
struct List {
    /// Some registries write `null` for none.
    tags: Option<Vec<String>>,
}

/// All tags, in the registry's order.
pub(crate) async fn all(host: &Host, repository: &RepositoryName) -> Result<Vec<Tag>, Failure> {
    let scopes = Scopes::pull(&host.endpoint.repository(repository));
    let mut url = host.endpoint.tags(repository);
    url.query_pairs_mut().append_pair("n", PAGE);
    let mut pages = Pages::from(&url, ListLimit::default());
    let mut tags = Vec::new();
    let mut next = Some(url);
    while let Some(url) = next {
        let call = Call::new(Method::GET, url, repository, scopes.clone());
        let reply = host.send(&call).await?.expect(host, &[200]).await?;
        next = pages.next(host, &reply)?;
        let bytes = pages.read(host, reply).await?;
        let list: List = serde_json::from_slice(&bytes)
            .map_err(|_| Failure::BadAnswer("the list of tags is not well-formed".to_owned()))?;
        for tag in list.tags.unwrap_or_default() {
            let tag = tag.parse().map_err(|_| Failure::Hostile(format!("`{}` as a tag", quote(&tag))))?;
            tags.push(tag);
        }
        pages.bound(tags.len())?;
    }
    Ok(tags)
}
