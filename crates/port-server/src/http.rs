//! The little of HTTP that the faces share: answers, bodies, ranges, queries. Nothing here knows what is served.

mod answer;
mod body;
mod head;
mod range;

pub(crate) use answer::{Answer, Set, empty, json, streamed, with};
pub(crate) use body::{RequestBody, incoming, read_small};
pub(crate) use head::{Head, decoded};
pub(crate) use range::{Asked, asked};
