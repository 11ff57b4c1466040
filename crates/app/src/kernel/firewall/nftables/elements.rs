//! The elements of the sets: one a session and direction, which holds the
//! client's end, a comment for people, and the counter.
//!
//! Elements are read, added and removed here; which ones is said elsewhere.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use rustix::io::Errno;
use sshmeter_core::{identity::Endpoint, units::Flow};

use super::{
    super::rules::Standing,
    bytes::{Attributes, NLM_F_ACK, NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL, Writer},
    kernel::Kernel,
    layout::{Direction, SessionSet, TABLE},
    numbers::{
        COMMENT, NFT_MSG_DELSETELEM, NFT_MSG_GETSETELEM, NFT_MSG_NEWSETELEM, NFTA_COUNTER_BYTES,
        NFTA_DATA_VALUE, NFTA_EXPR_DATA, NFTA_LIST_ELEM, NFTA_SET_ELEM_EXPR, NFTA_SET_ELEM_KEY,
        NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_USERDATA, NFTA_TABLE,
    },
};

/// nft shows comments of at most 127 bytes.
pub(super) const COMMENT_BYTES: usize = 120;
/// Elements in one message: the list of them has to fit into 64 KiB.
const ELEMENTS_A_MESSAGE: usize = 128;

/// What an element counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Counter {
    pub(super) direction: Direction,
    pub(super) peer: Endpoint,
}

impl Counter {
    /// Both counters of a client.
    pub(super) fn both(peer: Endpoint) -> [Self; 2] {
        Direction::ALL.map(|direction| Self { direction, peer })
    }

    fn set(self) -> SessionSet {
        SessionSet {
            direction: self.direction,
            is_v6: self.peer.ip().is_ipv6(),
        }
    }
}

/// An element as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Element {
    comment: String,
    bytes: Option<u64>,
}

/// Elements by what they count.
pub(super) type Elements = HashMap<Counter, Element>;

/// All that stand in our sets; none in a set that is not there.
pub(super) fn read(kernel: &Kernel) -> Result<Elements, Errno> {
    let mut elements = Elements::new();
    for set in SessionSet::ALL {
        let list = kernel.list(
            NFT_MSG_GETSETELEM,
            |question| address(question, set.name()),
            |attributes, list| list.extend(told(attributes)),
        );
        match list {
            Ok(list) => elements.extend(list),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(elements)
}

/// What is changed at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) remove: Vec<Counter>,
    pub(super) add: Vec<(Counter, String)>,
}

impl Plan {
    /// Does it, or nothing; gives what was removed, as it last stood.
    ///
    /// The kernel reads a counter for its echo when the element has left the
    /// set, so nothing is counted behind the last figure.
    pub(super) fn carry_out(&self, kernel: &Kernel) -> Result<Elements, Errno> {
        let mut removed = Elements::new();
        if self.remove.is_empty() && self.add.is_empty() {
            return Ok(removed);
        }
        kernel.commit(&self.written(), self.remove.len(), |attributes| {
            removed.extend(told(attributes));
        })?;
        Ok(removed)
    }

    fn written(&self) -> Writer {
        Writer::batch(|batch| {
            for set in SessionSet::ALL {
                let remove = self.remove.iter().filter(|counter| counter.set() == set);
                let remove: Vec<_> = remove.map(|counter| (counter.peer, None)).collect();
                let flags = NLM_F_ACK | NLM_F_ECHO;
                write(batch, NFT_MSG_DELSETELEM, flags, set, &remove);
            }
            for set in SessionSet::ALL {
                let add = self.add.iter().filter(|(counter, _)| counter.set() == set);
                let add = add.map(|(counter, comment)| (counter.peer, Some(comment.as_str())));
                let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
                write(
                    batch,
                    NFT_MSG_NEWSETELEM,
                    flags,
                    set,
                    &add.collect::<Vec<_>>(),
                );
            }
        })
    }
}

/// Clients with what stands for them.
pub(super) fn by_client(elements: Elements) -> HashMap<Endpoint, Standing> {
    let mut clients: HashMap<Endpoint, [Option<Element>; 2]> = HashMap::new();
    for (counter, element) in elements {
        let [inbound, outbound] = clients.entry(counter.peer).or_default();
        let place = match counter.direction {
            Direction::In => inbound,
            Direction::Out => outbound,
        };
        *place = Some(element);
    }
    clients
        .into_iter()
        .map(|(peer, of_it)| (peer, standing(of_it)))
        .collect()
}

fn standing([inbound, outbound]: [Option<Element>; 2]) -> Standing {
    let bytes = |element: &Option<Element>| element.as_ref()?.bytes;
    Standing {
        bytes: bytes(&inbound)
            .zip(bytes(&outbound))
            .map(|(inbound, outbound)| Flow { inbound, outbound }),
        label: inbound
            .or(outbound)
            .map_or_else(String::new, |element| element.comment),
    }
}

fn address(message: &mut Writer, set: &str) {
    message.text(NFTA_TABLE, TABLE);
    message.text(NFTA_SET_ELEM_LIST_SET, set);
}

fn write(
    batch: &mut Writer,
    kind: u16,
    flags: u16,
    set: SessionSet,
    elements: &[(Endpoint, Option<&str>)],
) {
    for elements in elements.chunks(ELEMENTS_A_MESSAGE) {
        batch.message(kind, flags, |message| {
            address(message, set.name());
            message.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
                for (peer, comment) in elements {
                    list.nest(NFTA_LIST_ELEM, |element| describe(element, *peer, *comment));
                }
            });
        });
    }
}

fn describe(element: &mut Writer, peer: Endpoint, comment: Option<&str>) {
    element.nest(NFTA_SET_ELEM_KEY, |key| {
        key.attribute(NFTA_DATA_VALUE, &key_bytes(peer));
    });
    if let Some(comment) = comment {
        element.attribute(NFTA_SET_ELEM_USERDATA, &comment_bytes(comment));
    }
}

/// `address . port`, each filled up to 4 bytes.
fn key_bytes(peer: Endpoint) -> Vec<u8> {
    let mut key = match peer.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    key.extend(peer.port().to_be_bytes());
    key.extend([0; 2]);
    key
}

fn peer(key: &[u8]) -> Option<Endpoint> {
    let (ip, port) = key.split_at_checked(key.len().checked_sub(4)?)?;
    let ip = match ip.len() {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?)),
        16 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?)),
        _ => return None,
    };
    let peer = Endpoint::new(ip, u16::from_be_bytes([port[0], port[1]]));
    // A mapped address would be mistaken for a client of the other family.
    (peer.ip() == ip).then_some(peer)
}

fn comment_bytes(comment: &str) -> Vec<u8> {
    // One byte tells the length; a comment is made to fit.
    let end = comment.floor_char_boundary(COMMENT_BYTES);
    let comment = &comment.as_bytes()[..end];
    let length = u8::try_from(comment.len() + 1).unwrap_or(u8::MAX);
    [&[COMMENT, length], comment, &[0]].concat()
}

/// The comment in what userland has attached to something.
pub(super) fn comment(mut userdata: &[u8]) -> Option<String> {
    loop {
        let [kind, length, rest @ ..] = userdata else {
            return None;
        };
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        if *kind == COMMENT {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        userdata = rest;
    }
}

/// The elements in a message about our sets.
fn told(attributes: Attributes<'_>) -> Vec<(Counter, Element)> {
    let set = attributes
        .text(NFTA_SET_ELEM_LIST_SET)
        .and_then(SessionSet::named);
    // The end of a batch is told too, and is about no set.
    let Some(set) = set.filter(|_| attributes.text(NFTA_TABLE) == Some(TABLE)) else {
        return Vec::new();
    };
    let elements = attributes.nested(NFTA_SET_ELEM_LIST_ELEMENTS).each();
    let read = |element| {
        let (peer, element) = read_element(element)?;
        let counter = Counter {
            direction: set.direction,
            peer,
        };
        Some((counter, element))
    };
    elements.filter_map(read).collect()
}

fn read_element(element: Attributes<'_>) -> Option<(Endpoint, Element)> {
    let peer = peer(element.nested(NFTA_SET_ELEM_KEY).value(NFTA_DATA_VALUE)?)?;
    let counter = element.nested(NFTA_SET_ELEM_EXPR).nested(NFTA_EXPR_DATA);
    let userdata = element.value(NFTA_SET_ELEM_USERDATA);
    let element = Element {
        comment: userdata.and_then(comment).unwrap_or_default(),
        bytes: counter.long_number(NFTA_COUNTER_BYTES),
    };
    Some((peer, element))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::bytes::{Datagram, Message},
        *,
    };

    fn client(text: &str) -> Endpoint {
        Endpoint::from(text.parse::<std::net::SocketAddr>().unwrap())
    }

    #[test]
    fn a_key_is_laid_out_as_nft_does() {
        assert_eq!(key_bytes(client("1.2.3.4:55")), [1, 2, 3, 4, 0, 55, 0, 0]);
        assert_eq!(key_bytes(client("[2001:db8::1]:22")).len(), 20);
        let mapped = [&[0; 10][..], &[0xff, 0xff, 1, 2, 3, 4, 0, 55, 0, 0]].concat();
        assert_eq!(peer(&mapped), None);
        assert_eq!(peer(&[0; 3]), None);
    }

    #[test]
    fn a_batch_removes_before_it_adds_and_reads_as_it_was_written() {
        let [one, other] = Counter::both(client("1.2.3.4:55"));
        let plan = Plan {
            remove: vec![one, other],
            add: vec![(one, "pid:1 user:alice".to_owned())],
        };
        let written = plan.written();
        let datagram = Datagram::parse(written.bytes()).unwrap();
        let told = datagram.messages.iter().flat_map(|message| match message {
            Message::Told(attributes) => told(*attributes),
            _ => Vec::new(),
        });
        let told: Vec<_> = told
            .map(|(counter, element)| (counter, element.comment))
            .collect();
        let comment = "pid:1 user:alice".to_owned();
        assert_eq!(
            told,
            [(one, String::new()), (other, String::new()), (one, comment)]
        );
    }

    #[test]
    fn what_counts_one_direction_only_is_a_half() {
        let [inbound, outbound] = Counter::both(client("1.2.3.4:55"));
        let element = |bytes| Element {
            comment: "x".to_owned(),
            bytes,
        };
        let half = by_client(Elements::from([(outbound, element(Some(1)))]));
        assert_eq!(
            half[&inbound.peer],
            Standing {
                label: "x".to_owned(),
                bytes: None
            }
        );
        let whole = [(inbound, element(Some(1))), (outbound, element(Some(2)))];
        let whole = by_client(Elements::from(whole));
        assert_eq!(
            whole[&inbound.peer].bytes,
            Some(Flow {
                inbound: 1,
                outbound: 2
            })
        );
    }

    proptest! {
        #[test]
        fn keys_and_comments_come_back(bits: u128, port: u16, is_v6: bool, text in "[^\0]{0,120}") {
            let ip = if is_v6 {
                IpAddr::from(Ipv6Addr::from_bits(bits))
            } else {
                IpAddr::from(Ipv4Addr::from_bits(u32::try_from(bits >> 96).unwrap()))
            };
            let end = Endpoint::new(ip, port);
            prop_assert_eq!(peer(&key_bytes(end)), Some(end));
            let kept = comment(&comment_bytes(&text)).unwrap();
            prop_assert!(text.starts_with(&kept) && kept.len() <= COMMENT_BYTES);
            prop_assert!(text.len() > COMMENT_BYTES || text == kept);
        }

        #[test]
        fn any_userdata_is_read_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..99),
        ) {
            let _comment = comment(&bytes);
            let _peer = peer(&bytes);
        }
    }
}
