//! Netlink messages of nftables as bytes: written, and read.
//!
//! Pure functions over slices; no socket is opened here, and no attribute has a
//! meaning. Formats: include/uapi/linux/netlink.h and netfilter/nfnetlink.h.
//! What is cut short yields nothing rather than something guessed.

/// `NFPROTO_INET` (linux/netfilter.h): tables for both families.
pub(super) const NFPROTO_INET: u8 = 1;
const NFPROTO_UNSPEC: u8 = 0;

// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
pub(super) const NLM_F_REQUEST: u16 = 0x1;
pub(super) const NLM_F_ACK: u16 = 0x4;
pub(super) const NLM_F_ECHO: u16 = 0x8;
pub(super) const NLM_F_DUMP: u16 = 0x300;
pub(super) const NLM_F_EXCL: u16 = 0x200;
pub(super) const NLM_F_CREATE: u16 = 0x400;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;

// linux/netfilter/nfnetlink.h
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;

const HEADER_LENGTH: usize = 16;
/// `struct nfgenmsg`, behind each header.
const FAMILY_LENGTH: usize = 4;
const ATTRIBUTE_HEADER_LENGTH: usize = 4;

/// Messages that are being written, numbered from 1.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    last: u32,
}

impl Writer {
    /// A question, which is one message.
    pub(super) fn question(kind: u16, flags: u16, fill: impl FnOnce(&mut Self)) -> Self {
        let mut writer = Self::default();
        writer.message(kind, flags, fill);
        writer
    }

    /// A batch: all that `fill` writes is done at once, or nothing is.
    pub(super) fn batch(fill: impl FnOnce(&mut Self)) -> Self {
        let mut writer = Self::default();
        writer.edge(NFNL_MSG_BATCH_BEGIN);
        fill(&mut writer);
        writer.edge(NFNL_MSG_BATCH_END);
        writer
    }

    /// One message for the tables of both families.
    pub(super) fn message(&mut self, kind: u16, flags: u16, fill: impl FnOnce(&mut Self)) {
        let kind = NFNL_SUBSYS_NFTABLES << 8 | kind;
        self.framed(kind, flags, [NFPROTO_INET, 0, 0, 0], fill);
    }

    fn edge(&mut self, kind: u16) {
        let [high, low] = NFNL_SUBSYS_NFTABLES.to_be_bytes();
        self.framed(kind, 0, [NFPROTO_UNSPEC, 0, high, low], |_| ());
    }

    fn framed(&mut self, kind: u16, flags: u16, family: [u8; 4], fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.last += 1;
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        self.bytes.extend(self.last.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend(family);
        fill(self);
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// An attribute with this value.
    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.sized(kind, |writer| writer.bytes.extend(value));
    }

    /// An attribute that is a text.
    pub(super) fn text(&mut self, kind: u16, text: &str) {
        self.sized(kind, |writer| {
            writer.bytes.extend(text.as_bytes());
            writer.bytes.push(0);
        });
    }

    /// An attribute that is made of attributes.
    pub(super) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        self.sized(kind | NLA_F_NESTED, fill);
    }

    fn sized(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// The number of a batch's last message before its end.
    pub(super) fn last_inside(&self) -> u32 {
        self.last.saturating_sub(1)
    }

    /// All that was written.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A message of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'datagram> {
    /// Something that stands, or that was done.
    Told(Attributes<'datagram>),
    /// The list is over.
    Done,
    /// What the message of this number came to: 0, or an errno.
    Outcome { number: u32, errno: i32 },
}

/// One datagram's messages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Datagram<'datagram> {
    pub(super) messages: Vec<Message<'datagram>>,
    /// The rules changed while they were listed: ask again.
    pub(super) is_interrupted: bool,
}

impl<'datagram> Datagram<'datagram> {
    /// `None` where a message is cut short.
    pub(super) fn parse(mut bytes: &'datagram [u8]) -> Option<Self> {
        let mut datagram = Self::default();
        while !bytes.is_empty() {
            let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
            let kind = u16_at(bytes, 4)?;
            let number = u32_at(bytes, 8)?;
            datagram.is_interrupted |= u16_at(bytes, 6)? & NLM_F_DUMP_INTR != 0;
            let body = bytes.get(HEADER_LENGTH..length)?;
            datagram.messages.push(match kind {
                // A list that failed on its way says so where it ends.
                NLMSG_DONE if errno(body).unwrap_or(0) == 0 => Message::Done,
                NLMSG_ERROR | NLMSG_DONE => Message::Outcome {
                    number,
                    errno: errno(body)?,
                },
                _ => Message::Told(Attributes(body.get(FAMILY_LENGTH..)?)),
            });
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Some(datagram)
    }
}

fn errno(body: &[u8]) -> Option<i32> {
    let bytes = body.get(..4)?.try_into().ok()?;
    Some(i32::from_ne_bytes(bytes).saturating_neg())
}

/// Attributes, one behind the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes<'datagram>(&'datagram [u8]);

impl<'datagram> Attributes<'datagram> {
    /// Kinds and values.
    pub(super) fn iter(self) -> impl Iterator<Item = (u16, &'datagram [u8])> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let length = usize::from(u16_at(left, 0)?);
            let kind = u16_at(left, 2)? & NLA_TYPE_MASK;
            let value = left.get(ATTRIBUTE_HEADER_LENGTH..length)?;
            left = left.get(length.next_multiple_of(4)..).unwrap_or_default();
            Some((kind, value))
        })
    }

    /// The first value of this kind.
    pub(super) fn value(self, wanted: u16) -> Option<&'datagram [u8]> {
        self.iter()
            .find_map(|(kind, value)| (kind == wanted).then_some(value))
    }

    /// The attributes that the one of this kind is made of; none where it is not there.
    pub(super) fn nested(self, wanted: u16) -> Self {
        Self(self.value(wanted).unwrap_or_default())
    }

    /// The lists of attributes inside this one, whatever their kind.
    pub(super) fn each(self) -> impl Iterator<Item = Self> {
        self.iter().map(|(_, value)| Self(value))
    }

    /// A text, as far as it is one.
    pub(super) fn text(self, wanted: u16) -> Option<&'datagram str> {
        let bytes = self.value(wanted)?;
        let end = bytes.iter().position(|byte| *byte == 0);
        std::str::from_utf8(&bytes[..end.unwrap_or(bytes.len())]).ok()
    }

    /// A number of 32 bits; nf_tables tells them with the highest byte first.
    pub(super) fn number(self, wanted: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.value(wanted)?.try_into().ok()?))
    }

    /// A number of 64 bits.
    pub(super) fn long_number(self, wanted: u16) -> Option<u64> {
        Some(u64::from_be_bytes(self.value(wanted)?.try_into().ok()?))
    }
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let bytes = bytes.get(offset..offset + 2)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..offset + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let written = Writer::question(1, 0, |writer| {
            writer.text(1, "sshmeter");
            writer.nest(2, |list| {
                list.attribute(1, &[0, 0, 0, 7]);
                list.attribute(2, &[1, 2, 3]);
            });
        });
        let datagram = Datagram::parse(written.bytes()).unwrap();
        let [Message::Told(attributes)] = datagram.messages[..] else {
            panic!("{datagram:?}");
        };
        assert_eq!(attributes.text(1), Some("sshmeter"));
        assert_eq!(attributes.nested(2).number(1), Some(7));
        assert_eq!(attributes.nested(2).value(2), Some(&[1, 2, 3][..]));
        assert_eq!(attributes.nested(3).number(1), None);
    }

    #[test]
    fn what_is_cut_short_is_nothing() {
        let written = Writer::batch(|batch| batch.message(14, 0, |message| message.text(1, "x")));
        let whole = Datagram::parse(written.bytes()).unwrap();
        assert_eq!(whole.messages.len(), 3);
        assert_eq!(Datagram::parse(&written.bytes()[..50]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let _datagram = Datagram::parse(&bytes);
            let lengths: usize = Attributes(&bytes).iter().map(|(_, value)| value.len()).sum();
            prop_assert!(lengths <= bytes.len());
        }
    }
}
