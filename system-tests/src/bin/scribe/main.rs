//! Ledgers of very many users, for `cargo xtask bench ledger`. It is made of
//! sshmeter's own writer, tells what that took, and judges nothing.
//!
//! `scribe minutes LEDGER SESSIONS USERS PAST MEASURED` opens sessions, counts some
//! minutes into the ledger, and then measures as many more. `scribe years LEDGER
//! USERS DAYS HOURS MINUTES` keeps a ledger through years of sessions, retention
//! included.

mod minutes;
mod plain;
mod years;

use std::path::Path;

use anyhow::{Result, bail};
use sshmeter_core::{
    counter::Reading,
    identity::{BootId, Credential, Endpoint, Pid, SocketCookie, SocketId, UserName},
    ledger::{Login, SessionRecord},
    units::{Flow, Minute, Traffic},
};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["minutes", ledger, sessions, users, past, measured] => minutes::run(
            Path::new(ledger),
            sessions.parse()?,
            users.parse()?,
            past.parse()?,
            measured.parse()?,
        ),
        ["years", ledger, users, days, hours, minutes] => years::run(
            Path::new(ledger),
            years::Usage {
                users: users.parse()?,
                days: days.parse()?,
                hours: hours.parse()?,
                minutes: minutes.parse()?,
            },
        ),
        _ => bail!(
            "scribe minutes LEDGER SESSIONS USERS PAST MEASURED, or \
             scribe years LEDGER USERS DAYS HOURS MINUTES"
        ),
    }
}

/// A session that was just opened.
fn session(number: u64, user: u64, opened: Minute) -> SessionRecord {
    let [.., third, fourth] = user.to_be_bytes();
    let port = 1_024 + u16::try_from(number % 60_000).unwrap_or(0);
    SessionRecord {
        id: SocketId {
            boot: BootId("5d3c1f0e-8a64-4a0b-9d6e-2f7c1b0a9e88".to_owned()),
            cookie: SocketCookie(number + 1),
        },
        peer: Endpoint::new([203, 0, third, fourth].into(), port),
        local: Endpoint::new([192, 0, 2, 1].into(), 22),
        pid: Some(Pid(1_000 + u32::from(port))),
        login: Some(Login {
            user: UserName::new(format!("user-{user:05}")),
            method: Some("publickey".to_owned()),
            credential: Some(Credential::new(format!(
                "SHA256:{user:05}YmVuY2hlcyBuZWVkIGtleXMgdG9vLCBvZiBj"
            ))),
        }),
        opened: opened.start(),
        closed: None,
        reading: Reading::default(),
        counters: None,
        total: Traffic::default(),
    }
}

/// What a session moves in a minute: another figure for each.
fn moved(session: u64, minute: Minute) -> Traffic {
    let odd = session
        .wrapping_mul(0x9e37_79b9)
        .wrapping_add(minute.0.unsigned_abs().wrapping_mul(7_919));
    let payload = Flow {
        inbound: 10_000 + odd % 60_000,
        outbound: 100_000 + odd % 9_000_000,
    };
    let headers = Flow {
        inbound: 5_200,
        outbound: 2_080 + odd % 300_000,
    };
    Traffic {
        wire: Some(payload.plus(headers)),
        payload: Some(payload),
    }
}

/// A session's record once it has moved that.
fn count(session: &mut SessionRecord, traffic: Traffic) {
    session.total = session.total.plus(traffic);
    session.reading = Reading(session.total);
}
