//! One entry of the journal, as `journalctl -o json` writes it.
//!
//! A field can be text, a list of bytes (where it is no UTF-8), a list of
//! values (where it was given more than once) or null (where it is too long).
//! Fields with an underscore are journald's own word; a list there, which
//! journald never writes, counts as no word at all.

use std::fmt;

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use crate::identity::Pid;

use super::{
    Parsed, dropbear,
    event::{Event, Sender},
    message::{Meaning, Program, understand},
    trust::{Refusal, check, is_daemon},
};

/// What became of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// journald's `__CURSOR`: the entry's place in the journal.
    pub cursor: Option<String>,
    /// When it was written, or else received.
    pub time: Option<Timestamp>,
    /// What it means.
    pub parsed: Parsed,
}

/// The text is no journal entry: not one JSON object, or one with a field twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no entry of `journalctl -o json`")]
pub struct NotAnEntry;

/// Reads one entry.
///
/// # Errors
/// [`NotAnEntry`], where the text is something else.
pub fn parse_journal(entry: &[u8]) -> Result<JournalEntry, NotAnEntry> {
    // A list of values would be taken for the fields in their order.
    if !entry.trim_ascii_start().starts_with(b"{") {
        return Err(NotAnEntry);
    }
    let fields: Fields = serde_json::from_slice(entry).map_err(|_| NotAnEntry)?;
    Ok(JournalEntry {
        time: fields.time(),
        parsed: fields.parse(),
        cursor: fields.cursor.into_text(),
    })
}

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "__CURSOR", default)]
    cursor: Field,
    #[serde(rename = "__REALTIME_TIMESTAMP", default)]
    received: Field,
    #[serde(rename = "_SOURCE_REALTIME_TIMESTAMP", default)]
    written: Field,
    #[serde(rename = "_TRANSPORT", default)]
    transport: Field,
    #[serde(rename = "_PID", default)]
    pid: Field,
    #[serde(rename = "_UID", default)]
    uid: Field,
    #[serde(rename = "_EXE", default)]
    exe: Field,
    #[serde(rename = "SYSLOG_IDENTIFIER", default)]
    identifier: Field,
    #[serde(rename = "MESSAGE", default)]
    message: Field,
}

impl Fields {
    fn parse(&self) -> Parsed {
        let tag = self.identifier.bytes().unwrap_or_default();
        let Some(program) = Program::of_tag(tag) else {
            return Parsed::NotSshd;
        };
        if let Field::Several = self.message {
            return Parsed::Refused(Refusal::Ambiguous);
        }
        let Some(message) = self.message.bytes() else {
            return Parsed::Unrecognised;
        };
        match understand(program, message) {
            None => Parsed::Unrecognised,
            Some(Meaning {
                pattern,
                what: None,
            }) => Parsed::Known(pattern),
            Some(Meaning {
                what: Some(what),
                pattern,
            }) => match self.sender(program, message).and_then(|sender| {
                check(&sender, &what)?;
                Ok(sender)
            }) {
                // The user's own child, or a dropbear, gone before journald saw what
                // it ran: that is everyday life, and only a reason is lost.
                Err(Refusal::Uid { .. }) if what.is_end_of_a_session() => Parsed::Known(pattern),
                Err(Refusal::Transport { .. })
                    if what.is_end_of_a_session()
                        && self.is_by_its_own_process(message)
                        && matches!(self.exe, Field::Absent) =>
                {
                    Parsed::Known(pattern)
                }
                Err(refusal) => Parsed::Refused(refusal),
                Ok(sender) => Parsed::Event(Event {
                    time: self.time(),
                    pid: self.pid.number().map(Pid),
                    sender,
                    what,
                }),
            },
        }
    }

    fn sender(&self, program: Program, message: &[u8]) -> Result<Sender, Refusal> {
        match self.transport.text() {
            Some("syslog") => {}
            Some("stdout") if self.is_dropbear_on_stderr(program, message) => {}
            transport => {
                let transport = transport.map(str::to_owned);
                return Err(Refusal::Transport { transport });
            }
        }
        let uid = self.uid.number().ok_or(Refusal::NoSender)?;
        let exe = match &self.exe {
            Field::Absent => None,
            field => Some(field.text().ok_or(Refusal::NoSender)?.to_owned()),
        };
        Ok(Sender::Kernel { uid, exe })
    }

    /// Dropbear's stderr is as good as its syslog, where the kernel says that
    /// dropbear wrote the line, and by the same process that the line names: no
    /// sentence of its has a line's end in it, unless it was built with
    /// `LOG_COMMANDS`, which no distribution does.
    fn is_dropbear_on_stderr(&self, program: Program, message: &[u8]) -> bool {
        program == Program::Dropbear
            && self.exe.text().is_some_and(is_daemon)
            && self.is_by_its_own_process(message)
    }

    /// Whether a line of a stderr names the process that the kernel says it is from.
    fn is_by_its_own_process(&self, message: &[u8]) -> bool {
        let writer = self.pid.number().map(Pid);
        dropbear::on_stderr(message).is_some_and(|(process, _)| Some(process) == writer)
    }

    fn time(&self) -> Option<Timestamp> {
        let microseconds = self.written.number().or_else(|| self.received.number())?;
        Timestamp::from_microsecond(microseconds).ok()
    }
}

/// A field's value in any of its forms.
#[derive(Debug, Default)]
enum Field {
    #[default]
    Absent,
    Text(String),
    Bytes(Vec<u8>),
    Several,
    TooLong,
}

impl Field {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::Bytes(_) | Self::Several | Self::TooLong => None,
        }
    }

    fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::Bytes(_) | Self::Several | Self::TooLong => None,
        }
    }

    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text.as_bytes()),
            Self::Bytes(bytes) => Some(bytes),
            Self::Absent | Self::Several | Self::TooLong => None,
        }
    }

    fn number<N: std::str::FromStr>(&self) -> Option<N> {
        self.text()?.parse().ok()
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("text, a list or null")
    }

    fn visit_str<E>(self, text: &str) -> Result<Field, E> {
        Ok(Field::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Field, E> {
        Ok(Field::Text(text))
    }

    fn visit_unit<E>(self) -> Result<Field, E> {
        Ok(Field::TooLong)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Field, A::Error> {
        let mut bytes = Vec::new();
        while let Some(element) = list.next_element::<Element>()? {
            let Element::Byte(byte) = element else {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Field::Several);
            };
            bytes.push(byte);
        }
        Ok(Field::Bytes(bytes))
    }
}

/// An element of a list: one byte of a value, or a whole value among several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Element {
    Byte(u8),
    Other(IgnoredAny),
}
