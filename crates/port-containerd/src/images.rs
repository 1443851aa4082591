//! Images: names that lead to a descriptor.

use port_model::Digest;

use crate::Labels;
use crate::client::{Call, Containerd};
use crate::error::{ContainerdError, Kind};
use crate::messages::{
    DeleteRequest, Descriptor, Empty, FieldMask, GetImageRequest, Image as ImageMessage, ListImagesRequest,
    ListImagesResponse, OneImage, UpdateImageRequest,
};

const GET: &str = "/containerd.services.images.v1.Images/Get";
const LIST: &str = "/containerd.services.images.v1.Images/List";
const CREATE: &str = "/containerd.services.images.v1.Images/Create";
const UPDATE: &str = "/containerd.services.images.v1.Images/Update";
const DELETE: &str = "/containerd.services.images.v1.Images/Delete";

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The kind of document.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
}

/// A name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The name.
    pub name: String,
    /// Where it leads.
    pub target: Target,
    /// Its labels.
    pub labels: Labels,
}

impl Containerd {
    /// The image of this name.
    ///
    /// # Errors
    /// [`ContainerdError`].
    pub fn image(&self, name: &str) -> Result<Option<Image>, ContainerdError> {
        let call = Call::new(GET, "find", subject(name));
        match self.ask::<_, OneImage>(&call, GetImageRequest { name: name.to_owned() }) {
            Ok(found) => found.image.map(|image| self.read_image(image)).transpose(),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All images, in containerd's order.
    ///
    /// # Errors
    /// [`ContainerdError`].
    pub fn images(&self) -> Result<Vec<Image>, ContainerdError> {
        let call = Call::new(LIST, "list", "its images");
        let all: ListImagesResponse = self.ask(&call, ListImagesRequest { filters: Vec::new() })?;
        all.images.into_iter().map(|image| self.read_image(image)).collect()
    }

    /// Makes a name lead there. Labels in `labels` are set, those of the image that begin with one of `stale` go, others stay.
    ///
    /// # Errors
    /// [`ContainerdError`].
    pub fn set_image(&self, image: &Image, stale: &[&str]) -> Result<(), ContainerdError> {
        let message = |labels| ImageMessage {
            name: image.name.clone(),
            labels,
            target: Some(Descriptor {
                media_type: image.target.media_type.clone(),
                digest: image.target.digest.to_string(),
                size: i64::try_from(image.target.size).unwrap_or(i64::MAX),
                annotations: Labels::new(),
            }),
        };
        let Some(before) = self.image(&image.name)? else {
            let call = Call::new(CREATE, "create", subject(&image.name));
            let made: Result<OneImage, _> =
                self.ask(&call, OneImage { image: Some(message(image.labels.clone())) });
            return match made {
                // Somebody was quicker.
                Err(error) if error.kind() == Kind::AlreadyExists => self.set_image(image, stale),
                other => other.map(|_| ()),
            };
        };
        let is_stale = |key: &String| stale.iter().any(|prefix| key.starts_with(prefix));
        let mut labels = before.labels;
        labels.retain(|key, _| !is_stale(key));
        labels.extend(image.labels.clone());
        let update_mask = FieldMask { paths: vec!["target".to_owned(), "labels".to_owned()] };
        let call = Call::new(UPDATE, "change", subject(&image.name));
        let request = UpdateImageRequest { image: Some(message(labels)), update_mask: Some(update_mask) };
        self.ask::<_, OneImage>(&call, request)?;
        Ok(())
    }

    /// Takes a name away. One that is gone already is no error.
    ///
    /// # Errors
    /// [`ContainerdError`].
    pub fn remove_image(&self, name: &str) -> Result<(), ContainerdError> {
        let call = Call::new(DELETE, "remove", subject(name));
        match self.ask::<_, Empty>(&call, DeleteRequest { name: name.to_owned(), sync: false }) {
            Err(error) if error.kind() != Kind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn read_image(&self, image: ImageMessage) -> Result<Image, ContainerdError> {
        let ImageMessage { name, labels, target } = image;
        let wrong = |found: String| self.session.senseless(&subject(&name), "a descriptor", found);
        let target = target.ok_or_else(|| wrong("none".to_owned()))?;
        let digest = target.digest.parse().map_err(|_| wrong(format!("the digest `{}`", target.digest)))?;
        let size = u64::try_from(target.size).map_err(|_| wrong(format!("the size {}", target.size)))?;
        Ok(Image { target: Target { media_type: target.media_type, digest, size }, name, labels })
    }
}

fn subject(name: &str) -> String {
    format!("the image `{name}`")
}
