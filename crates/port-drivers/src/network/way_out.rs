//! The way out of the host: a workload's connections leave with the host's address, where the host forwards at all.
//!
//! ```text
//! socket of the supervisor ─ owns ─► table port-ADDRESS ─► chain (nat, postrouting) ─► source is the workload's, not to port0: masquerade
//! ```
//!
//! Invariant: the table belongs to the socket (`NFT_TABLE_F_OWNER`, Linux 5.12), so that the kernel removes it with the supervisor,
//! killed or not. Written by hand, since the program `nft` need not be there, and could not outlive its own table.
//!
//! Whether the host forwards (`net.ipv4.ip_forward`) is its administrator's: nothing is set here.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// linux/netfilter/nfnetlink.h: the subsystem of tables, and the marks around what is done at once.
const TABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// linux/netfilter/nf_tables.h: what is made.
const NEW_TABLE: u16 = TABLES << 8;
const NEW_CHAIN: u16 = (TABLES << 8) | 3;
const NEW_RULE: u16 = (TABLES << 8) | 6;
/// linux/netlink.h: a request; answered; made, where it is not there.
const REQUEST: u16 = 0x1;
const ANSWERED: u16 = 0x4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
/// linux/netlink.h: the message type of an answer.
const ERROR: u16 = 2;
const NESTED: u16 = 0x8000;
/// The table goes with the socket.
const OWNED: u32 = 2;
const VERSION_FOUR: u8 = 2;
/// linux/netfilter_ipv4.h: after routing; the priority of source addresses.
const POST_ROUTING: u32 = 4;
const SOURCE_PRIORITY: u32 = 100;
/// linux/netfilter/nf_tables.h: the register, the header, the comparisons, and the name of the interface that it leaves by.
const REGISTER: u32 = 1;
const NETWORK_HEADER: u32 = 1;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const LEAVES_BY: u32 = 7;
/// Where the source address is in an IPv4 header, and how long it is.
const SOURCE_OFFSET: u32 = 12;
const SOURCE_LENGTH: u32 = 4;
/// The kernel answers at once; without an answer there is no way out, and no wait either.
const PATIENCE: Duration = Duration::from_secs(2);
/// IFNAMSIZ.
const NAME_LENGTH: usize = 16;
/// No two workloads of the bridge have one address.
const PREFIX: &str = "port-";

/// A workload's way out; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct WayOut {
    _owner: OwnedFd,
}

/// Lets what comes from `address` leave with the host's address. The kernel's answer where it does not take it.
pub(super) fn open(address: Ipv4Addr, bridge: &str) -> Result<WayOut, Errno> {
    let kind = SocketFlags::CLOEXEC;
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, kind, Some(netlink::NETFILTER))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &batch(address, bridge), SendFlags::empty(), &kernel)?;
    let mut answer = vec![0; 16 << 10];
    // One answer for each thing that is made, or for the first that is refused.
    for _ in 0..3 {
        let (length, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
        refusal(answer.get(..length).unwrap_or_default())?;
    }
    Ok(WayOut { _owner: socket })
}

/// `nlmsghdr` (16 bytes, the type at 4), then the error as a negative number.
fn refusal(answer: &[u8]) -> Result<(), Errno> {
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let code = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(ERROR), Some(0)) => Ok(()),
        (Some(ERROR), Some(code)) => Err(Errno::from_raw_os_error(code.saturating_neg())),
        _ => Err(Errno::PROTO),
    }
}

fn batch(address: Ipv4Addr, bridge: &str) -> Vec<u8> {
    let table = format!("{PREFIX}{address}");
    let hook = [number(1, POST_ROUTING), number(2, SOURCE_PRIORITY)].concat();
    let chain = [text(1, &table), text(3, "out"), nested(4, &hook), text(7, "nat")].concat();
    let rule = [text(1, &table), text(2, "out"), nested(4, &expressions(address, bridge))].concat();
    [
        message(BATCH_BEGIN, REQUEST, 0, TABLES, &[]),
        message(
            NEW_TABLE,
            REQUEST | ANSWERED | CREATE,
            VERSION_FOUR,
            0,
            &[text(1, &table), number(2, OWNED)].concat(),
        ),
        message(NEW_CHAIN, REQUEST | ANSWERED | CREATE, VERSION_FOUR, 0, &chain),
        message(NEW_RULE, REQUEST | ANSWERED | CREATE | APPEND, VERSION_FOUR, 0, &rule),
        message(BATCH_END, REQUEST, 0, TABLES, &[]),
    ]
    .concat()
}

/// The source is the workload's, it does not stay on the bridge: the host's address instead.
fn expressions(address: Ipv4Addr, bridge: &str) -> Vec<u8> {
    let mut interface = bridge.as_bytes().to_vec();
    interface.resize(NAME_LENGTH, 0);
    let source =
        [number(1, REGISTER), number(2, NETWORK_HEADER), number(3, SOURCE_OFFSET), number(4, SOURCE_LENGTH)];
    let compare = |how: u32, value: &[u8]| {
        [number(1, REGISTER), number(2, how), nested(3, &attribute(1, value))].concat()
    };
    [
        expression("payload", &source.concat()),
        expression("cmp", &compare(EQUAL, &address.octets())),
        expression("meta", &[number(1, REGISTER), number(2, LEAVES_BY)].concat()),
        expression("cmp", &compare(NOT_EQUAL, &interface)),
        expression("masq", &[]),
    ]
    .concat()
}

fn expression(name: &str, data: &[u8]) -> Vec<u8> {
    nested(1, &[text(1, name), nested(2, data)].concat())
}

/// `nlmsghdr` and `nfgenmsg`; the sequence number says nothing here.
fn message(kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
    const HEADERS: usize = 20;
    let length = u32::try_from(HEADERS + attributes.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(attributes);
    bytes
}

/// `nlattr`: length and type, then the bytes, up to a multiple of four.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn nested(kind: u16, attributes: &[u8]) -> Vec<u8> {
    attribute(kind | NESTED, attributes)
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), &[0]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_their_own_length_and_attributes_are_aligned() {
        assert_eq!(attribute(7, b"nat\0x"), [9, 0, 7, 0, b'n', b'a', b't', 0, b'x', 0, 0, 0]);
        let batch = batch(Ipv4Addr::new(10, 209, 0, 7), "port0");
        let (mut rest, mut kinds) = (&batch[..], Vec::new());
        while !rest.is_empty() {
            let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
            assert_eq!(length % 4, 0);
            kinds.push(u16::from_ne_bytes(rest[4..6].try_into().unwrap()));
            rest = &rest[length..];
        }
        assert_eq!(kinds, [BATCH_BEGIN, NEW_TABLE, NEW_CHAIN, NEW_RULE, BATCH_END]);
    }

    #[test]
    fn a_refusal_is_told_from_a_yes_and_from_rubbish() {
        let answer = |code: i32| {
            let mut bytes = vec![0; 36];
            bytes[4..6].copy_from_slice(&ERROR.to_ne_bytes());
            bytes[16..20].copy_from_slice(&code.to_ne_bytes());
            bytes
        };
        assert_eq!(refusal(&answer(0)), Ok(()));
        assert_eq!(refusal(&answer(-1)), Err(Errno::PERM));
        assert_eq!(refusal(&answer(0)[..10]), Err(Errno::PROTO));
        assert_eq!(refusal(&[]), Err(Errno::PROTO));
    }
}
