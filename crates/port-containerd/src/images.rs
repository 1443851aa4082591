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

/// How often a name is set that somebody makes or removes at the same time.
const TRIES: u32 = 3;

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
    /// [`ContainerdError`], also where others make and remove the name all the time.
    pub fn set_image(&self, image: &Image, stale: &[&str]) -> Result<(), ContainerdError> {
        let mut tries = 1;
        loop {
            let set = match self.image(&image.name)? {
                Some(before) => self.update_image(image, before.labels, stale),
                None => self.create_image(image),
            };
            match set {
                // Somebody was quicker, in one way or the other.
                Err(error)
                    if tries < TRIES && matches!(error.kind(), Kind::AlreadyExists | Kind::NotFound) =>
                {
                    tries += 1;
                }
                set => return set,
            }
        }
    }

    fn create_image(&self, image: &Image) -> Result<(), ContainerdError> {
        let call = Call::new(CREATE, "create", subject(&image.name));
        let request = OneImage { image: Some(message(image, image.labels.clone())) };
        self.ask::<_, OneImage>(&call, request).map(|_| ())
    }

    fn update_image(&self, image: &Image, before: Labels, stale: &[&str]) -> Result<(), ContainerdError> {
        let is_stale = |key: &String| stale.iter().any(|prefix| key.starts_with(prefix));
        let mut labels = before;
        labels.retain(|key, _| !is_stale(key));
        labels.extend(image.labels.clone());
        let update_mask = FieldMask { paths: vec!["target".to_owned(), "labels".to_owned()] };
        let call = Call::new(UPDATE, "change", subject(&image.name));
        let request =
            UpdateImageRequest { image: Some(message(image, labels)), update_mask: Some(update_mask) };
        self.ask::<_, OneImage>(&call, request).map(|_| ())
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

fn message(image: &Image, labels: Labels) -> ImageMessage {
    ImageMessage {
        name: image.name.clone(),
        labels,
        target: Some(Descriptor {
            media_type: image.target.media_type.clone(),
            digest: image.target.digest.to_string(),
            size: i64::try_from(image.target.size).unwrap_or(i64::MAX),
            annotations: Labels::new(),
        }),
    }
}

fn subject(name: &str) -> String {
    format!("the image `{name}`")
}
