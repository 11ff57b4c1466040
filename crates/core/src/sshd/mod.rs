//! What sshd's log says: from bytes to [`Event`].
//!
//! `envelope` takes a line's wrapping off (syslog's many forms), `journal` reads
//! a journal entry, `message` knows sshd's own sentences, `dropbear` dropbear's.
//! Log text is data: everything is matched from the message's first byte by
//! grammar, and what does not fit is left unparsed, never guessed.

mod event;

pub use event::{Event, Sender, What};
