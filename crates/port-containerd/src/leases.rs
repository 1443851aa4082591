//! Leases: what belongs to one is not collected while it is there.

use crate::Labels;
use crate::client::{Call, Containerd};
use crate::error::ContainerdError;
use crate::messages::{
    AddResourceRequest, CreateLeaseRequest, CreateLeaseResponse, DeleteRequest, Empty, Resource,
};

const CREATE: &str = "/containerd.services.leases.v1.Leases/Create";
const DELETE: &str = "/containerd.services.leases.v1.Leases/Delete";
const ADD: &str = "/containerd.services.leases.v1.Leases/AddResource";

/// A lease, by containerd's identifier. It is there until it is ended, or until the time in its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease(pub(crate) String);

/// Whether the end of a lease waits for a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collection {
    /// What nothing leads to is gone afterwards.
    Now,
    /// When containerd sees fit.
    Later,
}

impl Containerd {
    /// A new lease. The label `containerd.io/gc.expire` gives it an end that outlives whoever made it.
    ///
    /// # Errors
    /// [`ContainerdError`].
    pub fn create_lease(&self, labels: Labels) -> Result<Lease, ContainerdError> {
        let call = Call::new(CREATE, "create", "a lease");
        let created: CreateLeaseResponse =
            self.ask(&call, CreateLeaseRequest { id: String::new(), labels })?;
        match created.lease {
            Some(lease) if !lease.id.is_empty() => Ok(Lease(lease.id)),
            _ => Err(self.session.senseless("a lease", "its identifier", "none")),
        }
    }

    /// Makes content belong to a lease that was there before it.
    ///
    /// # Errors
    /// [`ContainerdError`].
    pub fn keep(&self, lease: &Lease, digest: &port_model::Digest) -> Result<(), ContainerdError> {
        let call = Call::new(ADD, "keep", digest.to_string());
        let resource = Resource { id: digest.to_string(), kind: "content".to_owned() };
        self.ask::<_, Empty>(&call, AddResourceRequest { id: lease.0.clone(), resource: Some(resource) })?;
        Ok(())
    }

    /// Ends a lease.
    ///
    /// # Errors
    /// [`ContainerdError`].
    pub fn end_lease(&self, lease: Lease, collection: Collection) -> Result<(), ContainerdError> {
        let call = Call::new(DELETE, "end", format!("the lease `{}`", lease.0));
        let sync = collection == Collection::Now;
        self.ask::<_, Empty>(&call, DeleteRequest { name: lease.0, sync })?;
        Ok(())
    }
}
