//! Lists, which come in pages: tags and referrers. A registry decides neither how long they get nor where they lead.

pub(crate) mod page;
pub(crate) mod referrers;
pub(crate) mod tags;
