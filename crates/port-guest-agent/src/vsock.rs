//! AF_VSOCK, as far as a listener needs it: the address, and whose it is.
//!
//! Only the host (CID 2) is served. Every process of the guest can reach vsock, over its loopback too; serving
//! them would make any of them as mighty as the agent.
#![expect(unsafe_code, reason = "rustix knows the address family and not its address")]

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{AddressFamily, SocketAddrAny, SocketFlags, SocketType};

/// `VMADDR_CID_ANY`.
const ANY_CID: u32 = u32::MAX;
/// `VMADDR_CID_HOST`.
const HOST_CID: u32 = 2;

/// `struct sockaddr_vm`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct VsockAddress {
    family: u16,
    reserved: u16,
    port: u32,
    cid: u32,
    flags: u8,
    zero: [u8; 3],
}

const LENGTH: SocketAddrLen = 16;
const _: () = assert!(size_of::<VsockAddress>() == 16);

// SAFETY: the pointer and the length are those of a live value of the kernel's own layout, checked above.
unsafe impl SocketAddrArg for VsockAddress {
    unsafe fn with_sockaddr<R>(&self, call: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        call(std::ptr::from_ref(self).cast(), LENGTH)
    }
}

/// Listens on a port of every local CID.
pub(crate) fn listen(port: u32) -> Result<OwnedFd, Errno> {
    listen_on(ANY_CID, port)
}

fn listen_on(cid: u32, port: u32) -> Result<OwnedFd, Errno> {
    let socket = socket()?;
    rustix::net::bind(&socket, &address(cid, port))?;
    rustix::net::listen(&socket, 16)?;
    Ok(socket)
}

/// The next connection; none for one that is not the host's, which is closed.
pub(crate) fn accept(listener: &impl AsFd) -> Result<Option<OwnedFd>, Errno> {
    let (connection, peer) = rustix::net::acceptfrom_with(listener, SocketFlags::CLOEXEC)?;
    let cid = peer.as_ref().and_then(cid_of);
    Ok((cid == Some(HOST_CID)).then_some(connection))
}

fn socket() -> Result<OwnedFd, Errno> {
    rustix::net::socket_with(AddressFamily::VSOCK, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

fn address(cid: u32, port: u32) -> VsockAddress {
    VsockAddress { family: AddressFamily::VSOCK.as_raw(), reserved: 0, port, cid, flags: 0, zero: [0; 3] }
}

fn cid_of(peer: &SocketAddrAny) -> Option<u32> {
    if peer.address_family() != AddressFamily::VSOCK || peer.addr_len() < LENGTH {
        return None;
    }
    // SAFETY: at least LENGTH bytes behind the pointer are initialised, and any bytes make a valid VsockAddress.
    let address = unsafe { peer.as_ptr().cast::<VsockAddress>().read_unaligned() };
    Some(address.cid)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `VMADDR_CID_LOCAL`: never leaves the machine.
    const LOCAL_CID: u32 = 1;
    const PORT: u32 = 48_207;

    #[test]
    fn a_peer_that_is_not_the_host_is_turned_away() {
        let client = || {
            let socket = socket()?;
            rustix::net::connect(&socket, &address(LOCAL_CID, PORT))?;
            Ok::<_, Errno>(socket)
        };
        let (listener, client) =
            match listen_on(LOCAL_CID, PORT).and_then(|listener| Ok((listener, client()?))) {
                Ok(both) => both,
                Err(error) => {
                    println!("skipped: this kernel has no vsock loopback ({error})");
                    return;
                }
            };
        assert!(accept(&listener).unwrap().is_none());
        assert_eq!(rustix::io::read(&client, &mut [0; 1]), Ok(0));
    }

    #[test]
    fn an_address_is_read_as_it_was_written() {
        let any = address(3, 7000).as_any();
        assert_eq!(cid_of(&any), Some(3));
        assert_eq!(cid_of(&rustix::net::SocketAddrV4::new([127, 0, 0, 1].into(), 1).as_any()), None);
    }
}
